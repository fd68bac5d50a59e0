package probes

import "time"

// Class says what became of one attempt.
type Class string

// The classes of an attempt. Everything but OK and Unknown is affected.
const (
	OK           Class = "ok"
	Slow         Class = "slow" // valid, but later than the series' limit L
	FailDNS      Class = "fail:dns"
	FailRefused  Class = "fail:refused"
	FailReset    Class = "fail:reset"
	FailTLS      Class = "fail:tls"
	FailTimeout  Class = "fail:timeout"
	FailStatus   Class = "fail:status"
	FailBody     Class = "fail:body"
	FailRevision Class = "fail:revision"
	FailAuth     Class = "fail:auth"
	Unknown      Class = "unknown" // could not be sent on time
)

// Affected reports whether an attempt of this class counts against the gateway.
func (c Class) Affected() bool { return c != OK && c != Unknown }

// Plane names a plane of the gateway.
type Plane string

// The planes.
const (
	DataPlane    Plane = "data"
	ControlPlane Plane = "control"
)

// Sample is one attempt of one series: a line of samples.jsonl.zst. Instants are nanoseconds of the drill's monotonic
// clock since its start t0.
type Sample struct {
	Series   string        `json:"series"`
	Seq      int64         `json:"seq"`
	Due      time.Duration `json:"due_ns"`
	Sent     time.Duration `json:"sent_ns"`
	Done     time.Duration `json:"done_ns"`
	Class    Class         `json:"class"` // as observed; Slow is only decided by the estimator, from the baseline
	Status   int           `json:"status,omitempty"`
	Instance string        `json:"instance,omitempty"` // who answered
	Region   string        `json:"region,omitempty"`
	Reused   bool          `json:"reused,omitempty"` // on a connection that was open before
	Error    string        `json:"error,omitempty"`
}

// Series describes one open-loop stream of attempts: what the samples of that name mean.
type Series struct {
	Name     string        `json:"name"`
	Plane    Plane         `json:"plane"`
	Interval time.Duration `json:"interval_ns"`       // 1/R
	Timeout  time.Duration `json:"timeout_ns"`        // from the due time
	Control  bool          `json:"control,omitempty"` // a control target that no fault touches: judged as a guard only
}

// Outage is one interval in which a series was down: from the first affected attempt to the first ok attempt after the
// last affected one. Start and End are due times since t0; Low and High bracket its length.
type Outage struct {
	Series   string        `json:"series"`
	Plane    Plane         `json:"plane"`
	Start    time.Duration `json:"start_ns"`
	End      time.Duration `json:"end_ns"` // 0 while it lasts
	Low      time.Duration `json:"low_ns"`
	High     time.Duration `json:"high_ns"`
	Affected int           `json:"affected"`
	Flaps    int           `json:"flaps"` // relapses that were merged into it
}
