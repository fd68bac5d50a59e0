// Package calibration makes outages of known length and compares what the prober says of them with the truth.
//
// The truth is known from the monotonic clock of whoever makes the outage: it lies between the instants just before and just
// after the call that began it, and those of the call that ended it. Nothing of it comes from the prober. The estimates are
// those of a drill, under the same guards.
package calibration

import (
	"time"

	"gwdr/probes"
)

// Schema heads the JSON of a Document.
const Schema = "gwdr/calibration/v1"

// Kind is a manner of being down.
type Kind string

// The kinds of outage.
const (
	Refuse    Kind = "refuse"     // connecting fails at once, and open connections are reset
	Blackhole Kind = "black-hole" // what is sent is lost: no answer ever comes
	Hold      Kind = "hold"       // what is sent is kept, and answered when the outage ends
	OneWay    Kind = "one-way"    // requests arrive and are carried out; their answers are kept until the outage ends
	Brownout  Kind = "brown-out"  // every second request, at random, fails with status 503
)

// Kinds lists all of them.
func Kinds() []Kind { return []Kind{Refuse, Blackhole, Hold, OneWay, Brownout} }

// Edge is an instant since t0 that is known to lie in [From, To].
type Edge struct{ From, To time.Duration }

// Known is an outage that was made. Instants are since t0.
type Known struct {
	Kind         Kind
	From         time.Duration // start of its baseline
	Began, Ended Edge
	To           time.Duration // end of its observation
}

// length returns between what the true length lies.
func (k Known) length() Edge {
	return Edge{k.Ended.From - k.Began.To, k.Ended.To - k.Began.From}
}

// recovery returns between what the true recovery time lies, from the instant before the outage was made.
func (k Known) recovery() Edge {
	return Edge{k.Ended.From - k.Began.From, k.Ended.To - k.Began.From}
}

// Record is what was recorded of a calibration: what Judge judges.
type Record struct {
	Plan    Plan
	Seed    uint64
	Started time.Time
	Ended   time.Time
	Series  []probes.Series
	Samples []probes.Sample
	Known   []Known
	Drift   time.Duration // of the monotonic against the wall clock
}

// Verdict is the outcome of a calibration, or of one measurement.
type Verdict string

// The verdicts.
const (
	Pass         Verdict = "pass"         // the truth lay in the bracket, every time
	Fail         Verdict = "fail"         // it did not
	Inconclusive Verdict = "inconclusive" // a guard did not hold: nothing was claimed
)

// Document is the result of a calibration. Seconds are floats.
type Document struct {
	Schema  string    `json:"schema"`
	Verdict Verdict   `json:"verdict"`
	Reason  string    `json:"reason"`
	Tool    string    `json:"tool"`
	Host    Host      `json:"host"`
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended"`
	Seed    uint64    `json:"seed"`   // of the lengths and instants of the outages
	Rounds  int       `json:"rounds"` // outages of each kind
	RateHz  float64   `json:"rate_hz"`
	Rows    []Row     `json:"rows"`
	Trials  []Trial   `json:"trials"`
}

// Host is where a calibration holds.
type Host struct {
	Name   string  `json:"name"`
	Kernel string  `json:"kernel"`
	CPUs   int     `json:"cpus"`
	Load   float64 `json:"load,omitempty"` // average of the last minute, when the calibration began
}

// Trial is what one series says of one outage.
type Trial struct {
	Kind    Kind    `json:"kind"`
	Series  string  `json:"series"`
	Verdict Verdict `json:"verdict"`
	Reason  string  `json:"reason,omitempty"`
	LimitS  float64 `json:"limit_s"` // L
	Length  Bracket `json:"length"`
	RTA     Bracket `json:"rta"`
}

// Bracket is a measured value and the truth, each with its bounds.
type Bracket struct {
	TruthLowS  float64 `json:"truth_low_s"`
	TruthHighS float64 `json:"truth_high_s"`
	LowS       float64 `json:"low_s"`
	PointS     float64 `json:"point_s"`
	HighS      float64 `json:"high_s"`
}

// Row is the error of one series over all outages of one kind: measured minus true length, of the trials that were conclusive.
type Row struct {
	Kind         Kind    `json:"kind"`
	Series       string  `json:"series"`
	N            int     `json:"n"`      // trials
	Inside       int     `json:"inside"` // the truth lay in both brackets
	Outside      int     `json:"outside"`
	Inconclusive int     `json:"inconclusive"`
	BiasS        float64 `json:"bias_s"` // mean
	SDS          float64 `json:"sd_s"`
	MaxS         float64 `json:"max_s"`  // the largest, by its absolute value
	OverS        float64 `json:"over_s"` // mean of RTA high - true RTA: by how much the number that is judged overstates
	BoundS       float64 `json:"bound_s"`
}
