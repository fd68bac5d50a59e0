package cmd

import (
	"context"
	"errors"
	"sync"
	"syscall"

	"gwdr/gateway"
	"gwdr/gateway/native"
	"gwdr/probes"
)

// ledgerWriter makes one change through a gateway's normal admin path. Nil means acknowledged. The error wraps
// *probes.RejectedError if nothing was changed for certain; any other may have been made.
type ledgerWriter interface {
	Put(ctx context.Context, e gateway.Entity) error
	Delete(ctx context.Context, r gateway.Ref) error
}

var (
	_ ledgerWriter = nativeWriter{}
	_ ledgerWriter = (*targetWriter)(nil)
)

// nativeWriter is the bundled gateway's admin API, as administrators use it: Apply would be a restore.
type nativeWriter struct{ client *native.Client }

func (w nativeWriter) Put(ctx context.Context, e gateway.Entity) error {
	_, err := w.client.Put(ctx, e, gateway.Condition{})
	return rejected(err)
}

func (w nativeWriter) Delete(ctx context.Context, r gateway.Ref) error {
	_, err := w.client.Delete(ctx, r, gateway.Condition{})
	if errors.Is(err, gateway.ErrNotFound) {
		return nil
	}
	return rejected(err)
}

// targetWriter is any gateway, through its driver: each change is an Apply of its own.
type targetWriter struct {
	target gateway.Target

	mu   sync.Mutex
	made map[gateway.Ref]bool // that a Put was sent for
}

func (w *targetWriter) Put(ctx context.Context, e gateway.Entity) error {
	c := gateway.Change{Op: gateway.Update, Entity: e}
	if w.first(e.Ref) {
		c.Op = gateway.Create
	}
	return rejected(w.target.Apply(ctx, []gateway.Change{c}))
}

func (w *targetWriter) Delete(ctx context.Context, r gateway.Ref) error {
	return rejected(w.target.Apply(ctx, []gateway.Change{{Op: gateway.Delete, Entity: gateway.Entity{Ref: r}}}))
}

// first reports whether there was no Put of the entity yet.
func (w *targetWriter) first(r gateway.Ref) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.made[r] {
		return false
	}
	if w.made == nil {
		w.made = map[gateway.Ref]bool{}
	}
	w.made[r] = true
	return true
}

// rejected marks an error that says for certain that nothing was changed.
func rejected(err error) error {
	if didNotHappen(err) {
		return &probes.RejectedError{Err: err}
	}
	return err
}

// didNotHappen reports whether the error says for certain that nothing was changed: the gateway answered so, or nothing
// listens there.
func didNotHappen(err error) bool {
	if errors.As(err, new(*gateway.PartialError)) {
		return false
	}
	answer := (*native.Error)(nil)
	if errors.As(err, &answer) {
		return answer.Status/100 == 4 && answer.Applied == 0
	}
	for _, sure := range []error{gateway.ErrConflict, gateway.ErrNotLeader, gateway.ErrMissing, gateway.ErrNotFound, syscall.ECONNREFUSED} {
		if errors.Is(err, sure) {
			return true
		}
	}
	return false
}

// ledgerUncovered says which of the kinds cannot be ledgered on the gateway, and why: what it does not give cannot be read
// back.
func ledgerUncovered(e *gateway.Export, kinds []probes.ChangeKind) map[probes.ChangeKind]string {
	withheld := map[gateway.Kind]bool{}
	for _, k := range e.Unreachable {
		withheld[k] = true
	}
	uncovered := map[probes.ChangeKind]string{}
	for _, kind := range kinds {
		needs := []gateway.Kind{ledgerKind(kind)}
		if kind == probes.RevokeChange {
			needs = append(needs, gateway.Key) // without keys there is nothing to revoke
		}
		for _, k := range needs {
			if withheld[k] {
				uncovered[kind] = "the gateway does not give its entities of kind " + string(k)
			}
		}
	}
	return uncovered
}
