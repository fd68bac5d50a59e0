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
	Vantages    []WatchedVantage  `json:"vantages,omitempty"`
	Ledger      *WatchedLedger    `json:"ledger,omitempty"`
	Findings    []string          `json:"findings"`           // guards that did not hold
	Warnings    []string          `json:"warnings,omitempty"` // what to see to, though nothing here depends on it
	Tool        string            `json:"tool"`
	Evidence    string            `json:"evidence"` // directory
}

// WatchedSeries is how one series fared.
type WatchedSeries struct {
	Name         string         `json:"name"`
	Target       string         `json:"target"` // URL, without the values of its query
	Fresh        bool           `json:"fresh"`  // a new connection for each attempt, else kept alive
	Control      bool           `json:"control"`
	Vantage      string         `json:"vantage,omitempty"` // from where it was asked; empty is from here
	IntervalS    float64        `json:"interval_s"`        // 1/R
	LimitS       float64        `json:"limit_s"`           // L: a right answer that took longer is slow
	Requests     Requests       `json:"requests"`
	Classes      map[string]int `json:"classes"`       // attempts by class
	Availability float64        `json:"availability"`  // share of ok among the attempts that were made
	UnavailableS float64        `json:"unavailable_s"` // affected attempts / R
	Latency      Latency        `json:"latency"`
	Phases       *WatchPhases   `json:"phases,omitempty"` // none in evidence whose targets have no kind
	TLS          *WatchTLS      `json:"tls,omitempty"`    // likewise
	Outages      []WatchOutage  `json:"outages"`
	Flaps        int            `json:"flaps"` // relapses, of all outages
	RTA          *RTA           `json:"rta,omitempty"`
	// Unavailability is over all that was observed; the budget is that of 30 days, or of what was to be observed if that is
	// longer. It is not there in reports of builds that did not know of it.
	Unavailability *Integral `json:"unavailability,omitempty"`
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

// WatchedVantage is another host that was probed from. Its clock was read over the network: what is to be added to it to have
// ours lies in [OffsetLowS, OffsetHighS] at the instant AtS.
type WatchedVantage struct {
	Name        string  `json:"name"`
	Agent       string  `json:"agent"` // URL
	Tool        string  `json:"tool"`
	Readings    int     `json:"readings"` // of its clock
	OffsetLowS  float64 `json:"offset_low_s"`
	OffsetHighS float64 `json:"offset_high_s"`
	HalfWidthS  float64 `json:"half_width_s"` // by so much RTA's bounds are wider
	AtS         float64 `json:"at_s"`         // since Started: the mark, or the end of the baseline
	Cuts        int     `json:"cuts"`         // of the connection to its agent
	Unknown     int     `json:"unknown"`      // attempts of which nothing was heard
	Whole       bool    `json:"whole"`        // its agent told everything to the end
	Reason      string  `json:"reason,omitempty"`
}
