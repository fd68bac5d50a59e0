package probes

import (
	"strings"
	"time"
)

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
	Class    Class         `json:"class"`              // as observed; Slow is only decided by the estimator, from the baseline
	Status   int           `json:"status,omitempty"`   // of HTTP; of DNS the RCODE
	Instance string        `json:"instance,omitempty"` // who answered
	Region   string        `json:"region,omitempty"`
	Reused   bool          `json:"reused,omitempty"` // on a connection that was open before
	Error    string        `json:"error,omitempty"`

	// How long each phase took, 0 if there was none or it did not end. The three that make a connection belong to the
	// attempt that it was made for.
	DNS       time.Duration `json:"dns_ns,omitempty"`
	Connect   time.Duration `json:"connect_ns,omitempty"`
	Handshake time.Duration `json:"tls_ns,omitempty"`
	FirstByte time.Duration `json:"first_byte_ns,omitempty"` // from having a connection to the answer's first byte
	TLS       *TLS          `json:"tls,omitempty"`           // of the first attempt on a connection
}

// maxName and maxError bound what a target can put into a sample, in bytes: a line of the record must stay readable.
const (
	maxName  = 128
	maxError = 512
)

// clip returns no more of text than the first most bytes, and says so.
func clip(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// TLS is what a handshake showed.
type TLS struct {
	Version  string     `json:"version,omitempty"`  // like TLS 1.3; empty if the certificate was refused
	NotAfter time.Time  `json:"not_after,omitzero"` // when the server's own certificate expires
	Problem  TLSProblem `json:"problem,omitempty"`  // why it was refused
}

// TLSProblem says why a certificate was refused.
type TLSProblem string

// The problems of a certificate.
const (
	Expired          TLSProblem = "expired" // or not valid yet
	WrongHost        TLSProblem = "host"
	UnknownAuthority TLSProblem = "authority"
	Invalid          TLSProblem = "invalid" // anything else
)

// Series describes one open-loop stream of attempts: what the samples of that name mean.
type Series struct {
	Name     string        `json:"name"`
	Plane    Plane         `json:"plane"`
	Interval time.Duration `json:"interval_ns"`       // 1/R
	Timeout  time.Duration `json:"timeout_ns"`        // from the due time
	Control  bool          `json:"control,omitempty"` // a control target that no fault touches: judged as a guard only
}

// minLate is what every series allows: half an interval of a fast one is less than a machine takes to wake up. A quarter of the
// least L: lateness is part of the time since an attempt was due, which L bounds, so that no bracket depends on it.
const minLate = MinLimit / 4

// MaxLate is how late an attempt may be sent: half an interval, and at least 5 ms.
func (s Series) MaxLate() time.Duration { return max(s.Interval/2, minLate) }

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
