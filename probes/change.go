package probes

import (
	"context"
	"strings"
	"time"
)

// ChangeKind says what a change of the ledger changes.
type ChangeKind string

// The kinds of change, the words of a scenario's ledger.kinds and of rpa.by_kind.
const (
	RouteChange    ChangeKind = "route"
	SpecChange     ChangeKind = "spec"
	KeyChange      ChangeKind = "key"
	RevokeChange   ChangeKind = "revoke"
	UpstreamChange ChangeKind = "upstream"
	ConsumerChange ChangeKind = "consumer"
	CertChange     ChangeKind = "cert"
	SettingChange  ChangeKind = "setting"
)

// ChangeKinds lists all kinds of change. A key is issued and ends with its revocation, which is for good; all else is created,
// updated and deleted.
func ChangeKinds() []ChangeKind {
	return []ChangeKind{RouteChange, SpecChange, KeyChange, RevokeChange, UpstreamChange, ConsumerChange, CertChange, SettingChange}
}

// Change is one numbered change that a writer makes through the gateway's normal admin path. A version of an object is
// the Seq of the change that made it.
type Change struct {
	Seq    int64      `json:"seq"`
	Kind   ChangeKind `json:"kind"`
	Delete bool       `json:"delete,omitempty"` // the object goes; revoke and key never
	ID     string     `json:"id"`               // of the object; a revoke names the key's id
}

// Result says what is known of a change after it was sent.
type Result string

// The results of a change.
const (
	Acked         Result = "acked"         // 2xx
	Rejected      Result = "rejected"      // it definitely did not happen
	Indeterminate Result = "indeterminate" // timeout, reset, 5xx after bytes were sent: never counted as loss
)

// Entry is one line of ledger.jsonl.zst. An intent (Result empty) is fsynced before the change is sent; a second line
// with the same Seq gives the result. Instants are nanoseconds of the drill's monotonic clock since t0.
type Entry struct {
	Change Change        `json:"change"`
	Due    time.Duration `json:"due_ns"`
	Sent   time.Duration `json:"sent_ns"`
	Done   time.Duration `json:"done_ns,omitempty"`
	Result Result        `json:"result,omitempty"`
	Error  string        `json:"error,omitempty"`
}

// notSent begins the Error of a change that was not sent, as it would have been too late, or its intent not safe.
const notSent = "not sent: "

// Unsent reports whether the change was rejected by the ledger itself: that tells nothing of the gateway.
func (e Entry) Unsent() bool { return e.Result == Rejected && strings.HasPrefix(e.Error, notSent) }

// Observation is what one region showed of one object after the recovery: a line of readback.jsonl.zst.
type Observation struct {
	Region  string     `json:"region"`
	Kind    ChangeKind `json:"kind"` // any but RevokeChange, which is seen at its key
	ID      string     `json:"id"`
	Version int64      `json:"version"` // as listed: Seq of the change that made what is there; 0 is absent, -1 nobody's
	// Object is the same as the object's own address answered it; nil: not asked.
	Object *int64 `json:"object,omitempty"`
	Data   int64  `json:"data"` // the version that the data plane answered with; 0 absent; -1 not asked.
	// Of a key, Data only says whether the data plane was asked (not -1): what it answered is Refused.
	Revoked bool   `json:"revoked"`         // key: the control plane has its revocation, listed and at its own address
	Refused bool   `json:"refused"`         // key: the data plane answered 401
	Error   string `json:"error,omitempty"` // could not be read; counts as neither lost nor present
}

// Admin makes changes and reads them back, through one gateway's own API. Implementations are safe for concurrent use.
type Admin interface {
	// Make makes the change. Nil means acknowledged; the error wraps *RejectedError if it definitely did not happen;
	// any other error is indeterminate.
	Make(ctx context.Context, c Change) error
	// Observe reads the objects that the changes touched from one region: by list, each at its own address, and at the data
	// plane. What is listed twice is observed twice, first under its own name, which is what is judged, and so is what bears
	// the ledger's mark though no change made it. An error says that the region could not be read; an object alone that could
	// not is an Observation with an Error.
	Observe(ctx context.Context, region string, changes []Change) ([]Observation, error)
	// Regions lists the regions to observe: those that survive.
	Regions(ctx context.Context) ([]string, error)
	// Digest returns the region's configuration digest.
	Digest(ctx context.Context, region string) (string, error)
}

// RejectedError says that a change definitely did not happen.
type RejectedError struct{ Err error }

// Error returns the cause's text.
func (e *RejectedError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *RejectedError) Unwrap() error { return e.Err }
