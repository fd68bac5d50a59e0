package restore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"gwdr/gateway"
)

// readBackTimeout bounds the look at what a failed, or interrupted, restore left.
const readBackTimeout = 30 * time.Second

// Apply makes the planned changes, reads the target back and probes the data plane. The error wraps ErrMoved if the
// target is no longer what was planned for, or, with Rate, what the pieces before have made of it; ErrDigest; or ErrDataPlane.
// If not all of the changes were made, Result.Incomplete says which were.
func (r *Restore) Apply(ctx context.Context, p *Plan) (*Result, error) {
	start := time.Now()
	res := newResult(p)
	watch := startWatch()
	err := r.apply(ctx, p, res, &watch)
	res.Phases = slices.Concat(p.Source.Phases(), watch.phases)
	res.Duration = (p.took + time.Since(start)).Seconds()
	res.Verified = err == nil
	return res, err
}

func (r *Restore) apply(ctx context.Context, p *Plan, res *Result, watch *stopwatch) error {
	base, err := r.unmoved(ctx, p)
	if err != nil && len(p.made) > 0 {
		return res.fail(p, r.incomplete(ctx, p, err), err)
	}
	if err != nil {
		res.tally(nil, p.Total)
		return fmt.Errorf("%w; nothing was restored", err)
	}
	r.progress("making %s", changes(len(p.Changes)))
	if err := r.change(ctx, p.Changes, base); err != nil { // also without changes: it ends the target's wait for a restore
		return res.fail(p, r.incomplete(ctx, p, err), fmt.Errorf("apply changes: %w", err))
	}
	res.tally(slices.Concat(p.made, p.Steps), p.Total)
	watch.lap("apply")
	r.progress("reading the gateway back")
	after, err := r.Target.Export(ctx)
	if err != nil {
		return fmt.Errorf("all %d changes were made, but the gateway cannot be read back: %w", len(p.Changes), err)
	}
	res.Actual, res.Store = after.State.Digest(), after.Store
	watch.lap("read back")
	if res.Actual != res.Expected {
		return differs(p, after)
	}
	defer watch.lap("prove")
	return r.probe(ctx, p, res)
}

// fencedTarget is a Target that can refuse changes when it is no longer at the revision that they were planned for. The
// error wraps gateway.ErrConflict then.
type fencedTarget interface {
	ApplyBulk(ctx context.Context, changes []gateway.Change, b gateway.Bulk) (revision int64, err error)
}

// change applies the changes to a target that is still at the revision base, as far as the target can tell: at once, or no
// faster than Rate says, in pieces.
func (r *Restore) change(ctx context.Context, changes []gateway.Change, base int64) error {
	piece := len(changes)
	if r.Rate > 0 {
		piece = max(1, int(r.Rate/piecesPerSecond))
	}
	for made := 0; ; {
		n := min(piece, len(changes)-made)
		begun := time.Now()
		revision, err := r.changePiece(ctx, changes[made:made+n], base)
		if err != nil {
			return madeBefore(made, err)
		}
		if made += n; made == len(changes) {
			return nil
		}
		if base = revision; !pause(ctx, time.Duration(float64(n)/r.Rate*float64(time.Second))-time.Since(begun)) {
			return madeBefore(made, ctx.Err())
		}
		r.progress("made %d of %d changes", made, len(changes))
	}
}

// piecesPerSecond is in how many pieces the changes of a second are made, if there are as many.
const piecesPerSecond = 4

// madeBefore adds to the error of a piece that others were made before it.
func madeBefore(made int, err error) error {
	if made == 0 {
		return err
	}
	if partial := (*gateway.PartialError)(nil); errors.As(err, &partial) {
		made += partial.Applied
	}
	return &gateway.PartialError{Applied: made, Err: err}
}

// pause reports whether the time passed before ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// changePiece returns the revision that the target is at afterwards, or 0 if it does not tell.
func (r *Restore) changePiece(ctx context.Context, changes []gateway.Change, base int64) (revision int64, err error) {
	target, ok := r.Target.(fencedTarget)
	if !ok {
		return 0, r.Target.Apply(ctx, changes)
	}
	revision, err = target.ApplyBulk(ctx, changes, gateway.Bulk{Base: base, Restore: true})
	if errors.Is(err, gateway.ErrConflict) {
		return 0, fmt.Errorf("%w: %w", ErrMoved, err)
	}
	return revision, err
}

// unmoved makes sure that what was shown and agreed to is still what will be done, and returns the target's revision.
func (r *Restore) unmoved(ctx context.Context, p *Plan) (revision int64, err error) {
	now, err := r.Target.Export(ctx)
	if err != nil {
		return 0, fmt.Errorf("read gateway: %w", err)
	}
	if now.Store == p.Store && now.Revision == p.Base || now.State.Digest() == p.live.Digest() {
		return now.Revision, nil
	}
	return 0, fmt.Errorf("%w: from revision %d to %d", ErrMoved, p.Base, now.Revision)
}

// incomplete finds out what a failed Apply changed: by reading the target, and only if that fails by what it said. What a target
// refused because it had moved, it did not make, though it may have come to the same by itself.
func (r *Restore) incomplete(ctx context.Context, p *Plan, cause error) *Incomplete {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readBackTimeout)
	defer cancel()
	n := &Incomplete{Made: append([]Step{}, p.made...), Of: len(p.made) + len(p.Changes)}
	told := 0
	if partial := (*gateway.PartialError)(nil); errors.As(cause, &partial) {
		told = min(partial.Applied, len(p.Steps))
	}
	after, err := r.Target.Export(ctx)
	if err != nil {
		r.log().Warn("gateway cannot be read after the failed restore", "error", err)
		n.Made = append(n.Made, p.Steps[:told]...)
		return n
	}
	n.ReadBack = true
	sent := p.Changes
	if errors.Is(cause, ErrMoved) {
		sent = p.Changes[:told]
	}
	for i, c := range sent {
		if body, there := after.State.Get(c.Entity.Ref); there == (c.Op != gateway.Delete) && bytes.Equal(body, c.Entity.Body) {
			n.Made = append(n.Made, p.Steps[i])
		}
	}
	return n
}

// differs names the first few entities that are not as planned.
func differs(p *Plan, after *gateway.Export) error {
	var shown []string
	changes := gateway.Diff(p.Wanted, after.State)
	for _, c := range changes[:min(3, len(changes))] {
		shown = append(shown, c.Entity.Ref.String())
	}
	return fmt.Errorf("%w: %d entities differ, such as %v: is somebody else writing?", ErrDigest, len(changes), shown)
}

func (r *Restore) probe(ctx context.Context, p *Plan, res *Result) error {
	if r.Probe == nil {
		return nil
	}
	r.progress("probing the data plane")
	res.DataPlane = r.Probe(ctx, p.Wanted)
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("restored, but the data plane was not probed to the end: %w", err)
	}
	return unserved(res.DataPlane)
}
