package restore

import (
	"bytes"
	"context"
	"fmt"

	"gwdr/gateway"
)

// Rebase is for a plan that Apply refused with ErrMoved: it returns what is left of it, if the target has moved nowhere but
// to where the plan leads. So it does while it makes the last changes that a killed restore had sent. Nothing needs to be
// agreed to again: what is left was in the plan. What was revoked meanwhile stays revoked. What the Apply made that res came
// of, or those before, counts as made by the next one. The error wraps ErrMoved if anything else was changed.
func (r *Restore) Rebase(ctx context.Context, p *Plan, res *Result) (*Plan, error) {
	now, err := r.Target.Export(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTarget, err)
	}
	next := *p
	next.Wanted = p.Wanted.Clone()
	for _, c := range gateway.Diff(p.live, now.State) {
		ref := c.Entity.Ref
		body, there := now.State.Get(ref)
		want, wanted := p.Wanted.Get(ref)
		if there && ref.Kind == gateway.Revocation {
			if !wanted || !gateway.RevokesEarlier(want, body) {
				next.Wanted.Put(gateway.Entity{Ref: ref, Body: body})
			}
			continue
		}
		if wanted != there || !bytes.Equal(want, body) {
			return nil, fmt.Errorf("%w: %s is neither what it was nor what it should be", ErrMoved, ref)
		}
	}
	next.live, next.Store, next.Base = now.State, now.Store, now.Revision
	next.Changes = gateway.Diff(now.State, next.Wanted)
	next.Expected = next.Wanted.Digest()
	next.count(p.restored)
	if res.Incomplete != nil {
		next.made = res.Incomplete.Made
	}
	for _, s := range next.made {
		next.Total = next.Total.plus(s.Op)
	}
	return &next, nil
}
