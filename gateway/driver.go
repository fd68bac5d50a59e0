package gateway

import (
	"context"
	"errors"
	"time"
)

// Export is a snapshot of a gateway's configuration at one revision.
type Export struct {
	State       *State
	Store       string    // id of the store, new whenever it starts anew
	Revision    int64     // the store's revision that the State shows
	Time        time.Time // UTC of the consistency point: the start of the read
	Unreachable []Kind    // kinds that the gateway would not give
}

// Source reads a gateway's whole configuration at one revision, or fails: a torn or partial read is an error, but for
// kinds named in Export.Unreachable.
type Source interface {
	Export(ctx context.Context) (*Export, error)
}

// Streamer is a Source that can be read entity by entity, so that its reader need not hold all of it.
type Streamer interface {
	// Stream calls begin with what the read shows, then each with every entity, in reference order, then by id, and
	// returns nil once the end was seen: what each got before counts for nothing if there is an error. It ends with the
	// first error of begin or each. A body belongs to each only until it returns.
	Stream(ctx context.Context, begin func(Header) error, each func(Entity) error) error
}

// Tracker is a Source that remembers its latest changes. The error of both methods wraps ErrCompacted if the changes
// after from are no longer known, or if another store has taken the place of the one named.
type Tracker interface {
	// Changes calls each for every revision after from that changed entities, in order and never in parts, up to the
	// newest at the time of the call. The Header says which that is: its Time is that of the start of the read, and
	// its Revision is at least that of the last batch.
	Changes(ctx context.Context, store string, from int64, each func(Batch) error) (Header, error)
	// Follow is Changes without an end, with a batch without changes at least each second. It always returns an error.
	Follow(ctx context.Context, store string, from int64, each func(Batch) error) error
}

// Target takes a configuration back. Apply makes the changes in the order given, as one step where the gateway can; if
// it fails, the error wraps *PartialError when some of the changes were made. Apply also ends the target's wait for a
// restore (see ModeBlank) once all changes are made.
type Target interface {
	Source
	Apply(ctx context.Context, changes []Change) error
}

// PartialError says how far an Apply came.
type PartialError struct {
	Applied int // the first Applied changes were made
	Err     error
}

// Error names the cause and how many changes were made.
func (e *PartialError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *PartialError) Unwrap() error { return e.Err }

// ErrConflict is wrapped by errors that say the entity changed meanwhile (If-Match failed).
var ErrConflict = errors.New("entity was changed meanwhile")

// ErrNotLeader is wrapped by errors that say this control plane takes no writes: a follower, fenced, or blank.
var ErrNotLeader = errors.New("control plane takes no writes")

// ErrNotFound is wrapped by errors that say the entity is not there.
var ErrNotFound = errors.New("entity not found")
