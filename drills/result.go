package drills

import (
	"math"
	"time"

	"gwdr/probes"
)

// Schema heads the JSON of a Result.
const Schema = "gwdr/drill/v1"

// Verdict is the outcome of a drill.
type Verdict string

// The verdicts. Inconclusive is never shown as pass.
const (
	Pass         Verdict = "pass"
	Fail         Verdict = "fail"
	Inconclusive Verdict = "inconclusive"
	Aborted      Verdict = "aborted"
	Refused      Verdict = "refused" // not ready, or not approved: nothing was injected
	Errored      Verdict = "error"
)

// Result is what a drill found: the document of `gwdr drill run --json` and of report.json.
type Result struct {
	Schema     string             `json:"schema"`
	ID         string             `json:"id"`
	RunNo      int                `json:"run_no"`
	Scenario   string             `json:"scenario"`
	Title      string             `json:"title"`
	Fleet      string             `json:"fleet"`
	Strategy   string             `json:"strategy"`
	Verdict    Verdict            `json:"verdict"`
	Clean      bool               `json:"clean"` // no fault is left in effect, proven by a scan
	Reason     string             `json:"reason"`
	PlanSHA256 string             `json:"plan_sha256"`
	Started    time.Time          `json:"started"`
	Ended      time.Time          `json:"ended"`
	Objectives []ObjectiveResult  `json:"objectives"`
	RTA        map[string]RTA     `json:"rta"` // by plane
	RPA        RPA                `json:"rpa"`
	Requests   Requests           `json:"requests"`
	Faults     []FaultResult      `json:"faults"`
	Timeline   []TimelineEntry    `json:"timeline"`
	Latency    map[string]Latency `json:"latency,omitempty"` // before, during, after
	Outages    []probes.Outage    `json:"outages,omitempty"`
	// What follows is not there in reports of builds that did not know of it.
	Unavailability map[string]Unavailability `json:"unavailability,omitempty"` // by plane
	Brownouts      []Brownout                `json:"brownouts,omitempty"`
	Breakdown      []Moment                  `json:"breakdown,omitempty"` // in the order of their time
	Predicted      map[string]Predicted      `json:"predicted,omitempty"` // by plane
	Findings       []string                  `json:"findings,omitempty"`  // guards that did not hold, relapses, what surprised
	// Convergence is the time from the revert to the same configuration in all regions; nil where there is one region, or
	// they did not agree in time.
	Convergence *Convergence `json:"convergence,omitempty"`
	// Calibration says what was known of the prober on this host when the drill began; empty if nothing was.
	Calibration string `json:"calibration,omitempty"`
	Previous    string `json:"previous,omitempty"` // sha256 of the previous run's report.json
	Tool        string `json:"tool"`
	Evidence    string `json:"evidence"` // directory
}

// ObjectiveResult is one judged promise. Target is "<= 5s" or "== 0"; Value is what was achieved, for people.
type ObjectiveResult struct {
	ID      string  `json:"id"`
	Metric  string  `json:"metric"`
	Plane   string  `json:"plane,omitempty"`
	Target  string  `json:"target"`
	LowS    float64 `json:"low_s"`
	HighS   float64 `json:"high_s"`
	Value   string  `json:"value"`
	Verdict Verdict `json:"verdict"`
}

// RTA is the achieved recovery time of a plane, from just before the first injector call.
type RTA struct {
	LowS   float64 `json:"low_s"`
	PointS float64 `json:"point_s"`
	HighS  float64 `json:"high_s"` // the number that is judged
	ErrorS float64 `json:"error_s"`
	// Recovered is false if the series was not shown to be up while the fault lasted: then HighS is no bound, only how long
	// it was observed.
	Recovered bool   `json:"recovered"`
	Impact    string `json:"impact"`           // "outage", "blip", or "none": no attempt was affected
	Series    string `json:"series,omitempty"` // the worst series

	// Since the injection; what was not seen is left out.
	FirstAffectedS *float64 `json:"first_affected_s,omitempty"`
	FirstSuccessS  *float64 `json:"first_success_s,omitempty"`
	StableS        *float64 `json:"stable_s,omitempty"`
	FullServiceS   *float64 `json:"full_service_s,omitempty"`
}

// Bracket is when the plane was back: from LowS to HighS, or to any time if it was not shown to be up.
func (r RTA) Bracket() Measured {
	if !r.Recovered {
		return Measured{LowS: r.LowS, HighS: math.Inf(1)}
	}
	return Measured{LowS: r.LowS, HighS: r.HighS}
}

// RPA is the achieved recovery point, with the ledger's counts. A change counts once in each number, by its worst class in any
// region.
type RPA struct {
	LowS          float64        `json:"low_s"`
	HighS         float64        `json:"high_s"`
	Open          bool           `json:"open,omitempty"` // the loss may reach further back than HighS: no bound is known
	Acked         int            `json:"acked"`
	Lost          int            `json:"lost"`        // absent, or there in a form that nobody wrote
	Stale         int            `json:"stale"`       // there in an older version, or again after its delete
	Resurrected   int            `json:"resurrected"` // revoked keys that work again
	Indeterminate int            `json:"indeterminate"`
	ByKind        map[string]int `json:"by_kind"`   // lost + stale + resurrected, by kind of change
	Statement     string         `json:"statement"` // never a bare "RPO 0"

	*LossDetail // nil in reports of builds that did not know of it
}

// LossDetail is what else the ledger shows, and by which changes.
type LossDetail struct {
	Checked   int `json:"checked"` // acknowledged changes that were read back in every region
	Unseen    int `json:"unseen"`  // those of Checked that were made and deleted again: no part of the n of "0 of n"
	Unread    int `json:"unread"`  // acknowledged changes that were not, for their object gave no answer
	Corrupt   int `json:"corrupt"` // those of Lost that are there in a form that nobody wrote
	Rejected  int `json:"rejected"`
	Recovered int `json:"recovered"` // those of Indeterminate that are there
	Phantom   int `json:"phantom"`   // there, though rejected or never sent
	Duplicate int `json:"duplicate"` // listed twice
	// ByRegion counts each class in each region; a region is named once more for the read-back after the revert.
	ByRegion map[string]map[probes.LossClass]int `json:"by_region,omitempty"`
	// Changes names every change that did not fare as acknowledged, in each region that shows it.
	Changes []probes.LossItem `json:"changes,omitempty"`
	// Fork is the time after the injection in which a stale leader acknowledged changes that did not survive.
	Fork *Fork `json:"fork,omitempty"`
	// UnreadRegions could not be read back, and count for nothing.
	UnreadRegions []string `json:"unread_regions,omitempty"`
}

// Fork is when the first and the last of those changes were acknowledged, since t0.
type Fork struct {
	FirstS float64 `json:"first_s"`
	LastS  float64 `json:"last_s"`
	Count  int     `json:"count"`
}

// Convergence is how long after the heal all regions had the same configuration: the truth lies in [LowS, HighS].
type Convergence struct {
	LowS  float64 `json:"low_s"`
	HighS float64 `json:"high_s"`
}

// Requests counts the attempts of all series that are not control targets.
type Requests struct {
	Sent    int `json:"sent"`
	OK      int `json:"ok"`
	Slow    int `json:"slow"`
	Failed  int `json:"failed"`
	Unknown int `json:"unknown"`
}

// FaultResult is one fault of the drill.
type FaultResult struct {
	ID       string     `json:"id"`
	Kind     string     `json:"kind"`
	Targets  []string   `json:"targets"`
	Verified bool       `json:"verified"`
	Injected *time.Time `json:"injected,omitempty"`
	Reverted *time.Time `json:"reverted,omitempty"`
}

// TimelineEntry is a phase of the drill; OffsetS is from t0.
type TimelineEntry struct {
	Phase   Phase     `json:"phase"`
	At      time.Time `json:"at"`
	OffsetS float64   `json:"offset_s"`
}

// Latency is of ok and slow attempts.
type Latency struct {
	P50S  float64 `json:"p50_s"`
	P99S  float64 `json:"p99_s"`
	P999S float64 `json:"p999_s"`
}
