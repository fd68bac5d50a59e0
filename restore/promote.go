package restore

import (
	"context"
	"fmt"
	"time"
)

// PlanOf is Plan of a snapshot that was read before.
func (r *Restore) PlanOf(ctx context.Context, s *Snapshot) (*Plan, error) {
	start := time.Now()
	live, err := r.Target.Export(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTarget, err)
	}
	p := r.compare(live, s)
	p.took = time.Since(start)
	return p, nil
}
