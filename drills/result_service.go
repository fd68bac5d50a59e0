package drills

import "time"

// Unavailability is how much of a plane's service the drill took from its clients, by its worst series, from the injection to
// the end of the record: the integral of the share of requests that were affected.
type Unavailability struct {
	Series    string  `json:"series"`
	Outages   int     `json:"outages"`    // of the plane: those of several series at the same time are one
	AffectedS float64 `json:"affected_s"` // E = affected attempts / R
	Integral
}

// Integral is an integral of the share of requests that were affected, over the time for which a series was asked.
type Integral struct {
	LowS   float64 `json:"low_s"`   // attempts that were not made count as good
	PointS float64 `json:"point_s"` // as the others
	HighS  float64 `json:"high_s"`  // as affected
	SpanS  float64 `json:"span_s"`
	Budget *Budget `json:"budget,omitempty"` // what it spent of the error budget; of a watch only if an SLO was promised
}

// Budget says between which shares of an error budget were spent: 1 is all of it.
type Budget struct {
	SLO      float64 `json:"slo"`      // percentage of good requests
	WindowS  float64 `json:"window_s"` // for which it must do
	AllowedS float64 `json:"allowed_s"`
	Low      float64 `json:"low"`
	High     float64 `json:"high"`
}

// Brownout is an outage of a part of the requests.
type Brownout struct {
	Series string  `json:"series"`
	Plane  string  `json:"plane"`
	StartS float64 `json:"start_s"` // since the injection
	LowS   float64 `json:"low_s"`
	HighS  float64 `json:"high_s,omitempty"` // none is known while it lasts
	Share  float64 `json:"share"`            // of the attempts that were affected
	// MarginS is how much longer it may have lasted, at each end, than an outage of all requests.
	MarginS float64 `json:"margin_s"`
	Lasting bool    `json:"lasting,omitempty"`
}

// Moment is a turn of events of a drill. Those that were not seen are left out.
type Moment struct {
	Moment string    `json:"moment"`
	Plane  string    `json:"plane,omitempty"`
	At     time.Time `json:"at"`
	SinceS float64   `json:"since_s"` // since the injection
	What   string    `json:"what,omitempty"`
}

// The moments, in the order in which they are expected.
const (
	MomentInject      = "inject"       // just before the first injector call
	MomentImpact      = "impact"       // the first affected attempt was due
	MomentDetected    = "detected"     // somebody who does something about it knew
	MomentDecided     = "decided"      // a recovery action began
	MomentActed       = "acted"        // it was done
	MomentFirstOK     = "first ok"     // the first good answer after an affected attempt, of the worst series
	MomentStable      = "stable"       // every series was shown to be up
	MomentFullService = "full service" // as quick as before, by all instances that are planned to serve
	MomentFailedBack  = "failed back"  // the region leads again that led before
)

// Predicted is what was expected of a plane by its configuration, before anything was broken.
type Predicted struct {
	Detection *Expected `json:"detection,omitempty"`
	Recovery  *Expected `json:"recovery,omitempty"`
	Unknown   string    `json:"unknown,omitempty"`  // why there is no recovery, or nothing at all
	Detected  *Measured `json:"detected,omitempty"` // the measured one; the measured recovery is the plane's RTA
	From      []Input   `json:"from"`
	Surprises []string  `json:"surprises,omitempty"` // what was measured outside of it
}

// Expected is a time since the injection: from BestS to WorstS, on the average of many drills MeanS.
type Expected struct {
	BestS  float64 `json:"best_s"`
	MeanS  float64 `json:"mean_s"`
	WorstS float64 `json:"worst_s"`
}

// Misses reports whether no instant from low to high is one that was expected.
func (e Expected) Misses(low, high float64) bool { return low > e.WorstS || high < e.BestS }

// Measured is a bracket, since the injection.
type Measured struct {
	LowS  float64 `json:"low_s"`
	HighS float64 `json:"high_s"`
}

// Input is one thing that a prediction rests on.
type Input struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}
