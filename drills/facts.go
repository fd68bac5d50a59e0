package drills

import (
	"time"

	"gwdr/fleet"
	"gwdr/probes"
	"gwdr/probes/calibration"
)

// The types of journal entry, and what their data is.
const (
	entryStart     = "start"          // startFact
	entryPlan      = "plan"           // planFact
	entryPhase     = "phase"          // phaseFact
	entryBackup    = "backup"         // Backup
	entrySeries    = "series"         // []probes.Series
	entryBaseline  = "baseline"       // spanFact
	entryIntent    = "fault-intent"   // faultFact
	entryInjected  = "fault-injected" // faultFact
	entryVerified  = "fault-verified" // faultFact
	entryReverted  = "fault-reverted" // faultFact
	entryDetected  = "detected"       // DetectedFact
	entryStep      = "step"           // StepFact
	entryAbort     = "abort"          // AbortFact
	entrySettled   = "settled"        // SettledFact
	entryDigest    = "digest"         // DigestFact
	entryUnread    = "unread"         // UnreadFact
	entryLeftovers = "leftovers"      // leftoversFact
	entryOutlook   = "outlook"        // Outlook
	entryHealth    = "health"         // HealthFact
	entryClock     = "clock"          // clockFact
	entryEnd       = "end"            // endFact
)

// Facts is all that was recorded of a run: what Judge judges. Instants are nanoseconds since t0 unless they are times.
type Facts struct {
	ID       string
	RunNo    int
	Tool     string
	Fleet    string
	Evidence string // directory, as the drill named it
	Previous string // sha256 of the previous run's report.json
	Started  time.Time
	// Calibration is what was known of the prober on this host when the drill began; nil if nothing was.
	Calibration *calibration.Document
	Ended       time.Time     // of the last entry
	Length      time.Duration // from t0 to the last entry of the drill itself
	Definitions int           // what the result consists of: 0 is what the first builds reported

	PlanSHA256 string // as journalled before anything was injected
	calibrated string // hash of the calibration, as journalled at the start
	Phases     []TimelineEntry
	Backups    []Backup
	Series     []probes.Series
	Baseline   Span
	Faults     []FaultFacts
	Outlook    *Outlook // nil: nothing was known
	Health     []HealthFact
	Detected   []DetectedFact
	Steps      []StepFact
	Aborts     []AbortFact
	Settled    *SettledFact
	Digests    []DigestFact
	Unread     []UnreadFact
	Leftovers  []string
	Scanned    bool          // a scan for leftovers was made, after the last revert
	Drift      time.Duration // monotonic against wall clock
	Complete   bool          // the record has an end

	Samples   []probes.Sample
	Ledger    []probes.Entry
	Survivors []probes.Observation // read back with the faults still in effect
	Final     []probes.Observation // read back after everything was reverted and settled
}

// Span is a window of time since t0.
type Span struct {
	From time.Duration `json:"from_ns"`
	To   time.Duration `json:"to_ns"`
}

// FaultFacts is what was recorded of one fault.
type FaultFacts struct {
	ID             string
	Kind           fleet.FaultKind
	Targets        []string
	Injected       time.Duration // just before the injector was called
	InjectedAt     time.Time     // zero if it never was
	Returned       time.Duration // when the injector had returned
	Error          string        // of the injector
	Verified       bool
	VerifiedOffset time.Duration // when it was shown to be in effect
	Detail         string        // what the verification saw
	Released       time.Duration // when its own time was over, and its revert began; 0: it was held to the end of the drill
	Reverted       bool
	RevertedOffset time.Duration // when it was shown to be gone; 0 if not the drill but somebody else reverted it, by another clock
	RevertedAt     time.Time
}

// Backup is a backup that the drill relies on.
type Backup struct {
	Point     string        `json:"point"`
	Time      time.Time     `json:"consistency_time"`
	Locations []string      `json:"locations"` // where it was verified
	Age       time.Duration `json:"age_ns"`    // when it was checked
}

// DetectedFact says when the running measurement saw the outage, and in which series.
type DetectedFact struct {
	At     time.Duration `json:"at_ns"`
	Series string        `json:"series"`
	Plane  probes.Plane  `json:"plane"`
}

// StepFact is a recovery action that began or ended.
type StepFact struct {
	ID     string `json:"id"`
	Action string `json:"action"`
	To     string `json:"to,omitempty"`
	Done   bool   `json:"done"`
	Error  string `json:"error,omitempty"`

	At time.Duration `json:"-"` // when it was journalled
}

// HealthFact says that whoever passes requests on has begun to send them to an instance, or no longer does: after After, when
// it was last asked and said otherwise (0: it was the first time), and by At, when it had said so.
type HealthFact struct {
	Plane    probes.Plane  `json:"plane"`
	Instance string        `json:"instance"`
	Healthy  bool          `json:"healthy"`
	After    time.Duration `json:"after_ns"`
	At       time.Duration `json:"at_ns"`
}

// AbortFact says why a drill did not go on to its end.
type AbortFact struct {
	Cause  AbortCause `json:"cause"`
	Reason string     `json:"reason"`
}

// AbortCause is the kind of thing that ended a drill early.
type AbortCause string

// The causes of an abort.
const (
	AbortSignal    AbortCause = "signal"    // the operator, or the system
	AbortGuardrail AbortCause = "guardrail" // one was breached
	AbortStop      AbortCause = "stop"      // the STOP file
	AbortGuard     AbortCause = "guard"     // the guard process is gone
	AbortLease     AbortCause = "lease"     // the lease of a fault could not be renewed
	AbortInject    AbortCause = "inject"    // a fault could not be injected
	AbortVerify    AbortCause = "verify"    // a fault was not in effect
	AbortRevert    AbortCause = "revert"    // a fault did not end when it was to
	AbortHealth    AbortCause = "health"    // too few regions were healthy for the next fault
	AbortDeadline  AbortCause = "deadline"  // not recovered in time: an objective missed, not the drill's failure
	AbortRefused   AbortCause = "refused"   // not ready, before anything was injected
	AbortError     AbortCause = "error"     // the drill itself failed
)

// SettledFact says whether the steady state came back after the revert, and all regions agreed.
type SettledFact struct {
	OK     bool          `json:"ok"`
	At     time.Duration `json:"at_ns"`
	Detail string        `json:"detail,omitempty"` // what was still missing
	Agreed *AgreedFact   `json:"agreed,omitempty"` // nil: the regions did not agree while it was waited for
}

// DigestFact is the configuration digest of a region.
type DigestFact struct {
	Stage  Phase  `json:"stage"` // Baseline, Sustain or Reconciling
	Region string `json:"region"`
	Digest string `json:"digest,omitempty"`
	Error  string `json:"error,omitempty"`
}

type startFact struct {
	Schema   string `json:"schema"`
	ID       string `json:"id"`
	RunNo    int    `json:"run_no"`
	Scenario string `json:"scenario"`
	Fleet    string `json:"fleet"`
	Tool     string `json:"tool"`
	Evidence string `json:"evidence"`
	Previous string `json:"previous,omitempty"`
	// Calibration is the sha256 of calibration.json.
	Calibration string `json:"calibration,omitempty"`
	// Definitions says what the result consists of.
	Definitions int       `json:"definitions,omitempty"`
	T0          time.Time `json:"t0"`
	PID         int       `json:"pid"`
}

type planFact struct {
	SHA256  string              `json:"sha256"`
	Targets map[string][]string `json:"targets"` // by step
	Worst   time.Duration       `json:"worst_ns"`
}

type phaseFact struct {
	Phase  Phase  `json:"phase"`
	Detail string `json:"detail,omitempty"`
}

type faultFact struct {
	ID      string          `json:"id"`
	Kind    fleet.FaultKind `json:"kind,omitempty"`
	Targets []string        `json:"targets,omitempty"`
	At      time.Duration   `json:"at_ns"` // when; of an injection just before the injector was called
	Detail  string          `json:"detail,omitempty"`
	Error   string          `json:"error,omitempty"`
	Began   time.Duration   `json:"began_ns,omitempty"` // a revert in the middle of the drill
	By      string          `json:"by,omitempty"`       // who reverted it, if not the drill: guard, revert
}

type leftoversFact struct {
	IDs   []string `json:"ids"`
	Error string   `json:"error,omitempty"`
}

type clockFact struct {
	Drift float64 `json:"mono_vs_wall_drift_s"`
}

type endFact struct {
	Clean bool   `json:"clean"`
	By    string `json:"by,omitempty"`
}
