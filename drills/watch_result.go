package drills

import "time"

// WatchSchema heads the JSON of a WatchResult.
const WatchSchema = "gwdr/probe/v1"

// WatchResult is what a watch found: the document of `gwdr probe --json` and of its report.json.
type WatchResult struct {
	Schema      string            `json:"schema"`
	ID          string            `json:"id"`
	Verdict     Verdict           `json:"verdict,omitempty"` // none if nothing was promised
	Reason      string            `json:"reason"`
	Started     time.Time         `json:"started"`
	Ended       time.Time         `json:"ended"`
	ObservedS   float64           `json:"observed_s"`
	Interrupted bool              `json:"interrupted"`    // before its time was over
	Mark        *time.Time        `json:"mark,omitempty"` // when somebody said that something is broken now
	Targets     []WatchTarget     `json:"targets"`
	Objectives  []ObjectiveResult `json:"objectives"`
	RTA         *RTA              `json:"rta,omitempty"` // from the mark on, of the worst series; only if there is a mark
	Series      []WatchedSeries   `json:"series"`
	Ledger      *WatchedLedger    `json:"ledger,omitempty"`
	Findings    []string          `json:"findings"` // guards that did not hold
	Tool        string            `json:"tool"`
	Evidence    string            `json:"evidence"` // directory
}

// WatchedSeries is how one series fared.
type WatchedSeries struct {
	Name         string         `json:"name"`
	Target       string         `json:"target"` // URL, without the values of its query
	Fresh        bool           `json:"fresh"`  // a new connection for each attempt, else kept alive
	Control      bool           `json:"control"`
	IntervalS    float64        `json:"interval_s"` // 1/R
	LimitS       float64        `json:"limit_s"`    // L: a right answer that took longer is slow
	Requests     Requests       `json:"requests"`
	Classes      map[string]int `json:"classes"`       // attempts by class
	Availability float64        `json:"availability"`  // share of ok among the attempts that were made
	UnavailableS float64        `json:"unavailable_s"` // affected attempts / R
	Latency      Latency        `json:"latency"`
	Outages      []WatchOutage  `json:"outages"`
	Flaps        int            `json:"flaps"` // relapses, of all outages
	RTA          *RTA           `json:"rta,omitempty"`
}

// WatchOutage is one outage of a series: its true length lies in [LowS, HighS].
type WatchOutage struct {
	Start    time.Time  `json:"start"`
	End      *time.Time `json:"end,omitempty"` // none while it lasts
	StartS   float64    `json:"start_s"`       // since Started
	LowS     float64    `json:"low_s"`
	PointS   float64    `json:"point_s,omitempty"`
	HighS    float64    `json:"high_s,omitempty"` // no bound is known while it lasts
	Affected int        `json:"affected"`
	Flaps    int        `json:"flaps"`
	Lasting  bool       `json:"lasting"` // not shown to be over when the watch ended
}
