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
