package backup

import (
	"context"
	"fmt"
	"slices"
)

// Inspector reads single objects exactly as Verify does: it is the same function, without the survey of all else.
type Inspector struct{ r *verifying }

// NewInspector verifies everything once, which makes known what each object should be.
func NewInspector(ctx context.Context, copies []Copy, keys Keys) (*Inspector, error) {
	o := VerifyOptions{All: true}
	if err := o.prepare(keys); err != nil {
		return nil, err
	}
	r := newVerifying(ctx, copies, keys, o)
	for _, step := range []func(context.Context) error{r.plan, r.scrub, r.judge, r.conclude} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	if !r.v.Sound() {
		return nil, fmt.Errorf("it is not sound to begin with: %+v", r.v)
	}
	return &Inspector{r}, nil
}

// Objects returns the full names of all objects.
func (i *Inspector) Objects() []string {
	var names []string
	for _, w := range i.r.wanted {
		names = append(names, w.object)
	}
	return slices.Clip(names)
}

// Inspect returns the problem that the object at the location would be.
func (i *Inspector) Inspect(ctx context.Context, l Location, object string) error {
	w := i.r.index[object]
	return i.r.problem(0, w, inspect(ctx, l, w, i.r.keys.Trusted, func(int) {}), true)
}
