package restore

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"gwdr/backup"
)

const (
	// defaultPatience is how long a location or a witness may take to answer a first, small question.
	defaultPatience = 15 * time.Second
	// haste is how long a location may take to do so where another one has: as long as the drivers try to connect.
	haste = 5 * time.Second
	// behind is how much later than the first one the others may be in any case: where that one is slow, all may be.
	behind = 2 * time.Second
)

func (r *Source) patience() time.Duration {
	if r.Patience > 0 {
		return r.Patience
	}
	return defaultPatience
}

// answering returns the copies whose locations answer at all, so that nobody waits for a dead one with the patience that
// a slow transfer deserves, and names the others. A slow one is waited for unless another one answers. The fast ones come
// first: they are read from where all have the same.
func (r *Source) answering(ctx context.Context, s *Snapshot, copies []backup.Copy) []backup.Copy {
	ctx, leave := context.WithCancelCause(ctx)
	defer leave(nil)
	heard := make(chan struct{}, len(copies)+1)
	if len(s.copies) > 0 {
		heard <- struct{}{}
	}
	go hurry(ctx, heard, leave)
	errs, took := make([]error, len(copies)), make([]time.Duration, len(copies))
	var wait sync.WaitGroup
	begun := time.Now()
	for i, c := range copies {
		wait.Go(func() {
			if errs[i] = answers(ctx, c.Location, r.patience()); errs[i] == nil {
				heard <- struct{}{}
			}
			took[i] = time.Since(begun).Truncate(alike)
		})
	}
	wait.Wait()
	var alive []int
	for i, c := range copies {
		if errs[i] != nil {
			s.note(c.Name, "cannot be read: %v", errs[i])
			continue
		}
		alive = append(alive, i)
	}
	slices.SortStableFunc(alive, func(a, b int) int { return cmp.Compare(took[a], took[b]) })
	sorted := make([]backup.Copy, len(alive))
	for i, a := range alive {
		sorted[i] = copies[a]
	}
	return sorted
}

// alike is a difference between two answers that says nothing: the order of the configuration counts.
const alike = 100 * time.Millisecond

// hurry leaves whoever has not answered after haste, or, where the first answer came late, a while after that.
func hurry(ctx context.Context, heard <-chan struct{}, leave context.CancelCauseFunc) {
	begun := time.Now()
	select {
	case <-heard:
	case <-ctx.Done():
		return
	}
	first := time.Since(begun)
	limit := max(haste, first+behind)
	select {
	case <-time.After(limit - first):
		leave(fmt.Errorf("no answer within %s", limit.Round(time.Second)))
	case <-ctx.Done():
	}
}

// withOriginals adds, behind the copies, views of what was overwritten or deleted in those that keep it: whoever damaged a
// location may not have got at that.
func withOriginals(ctx context.Context, copies []backup.Copy) []backup.Copy {
	views := make([]backup.Location, len(copies))
	var wait sync.WaitGroup
	for i, c := range copies {
		if h, ok := c.Location.(backup.Historian); ok {
			wait.Go(func() {
				if view, ok := h.Originals(ctx); ok {
					views[i] = view
				}
			})
		}
	}
	wait.Wait()
	all := slices.Clone(copies)
	for i, view := range views {
		if view != nil {
			c := copies[i]
			c.Name, c.Location = c.Name+" (first versions)", view
			all = append(all, c)
		}
	}
	return all
}

// answers asks for objects that cannot be there. A driver that does not come back (a dead NFS mount does not) is left
// behind.
func answers(ctx context.Context, l backup.Location, patience time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("no answer within %s", patience))
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := l.List(ctx, "gwdr1/none/")
		done <- err
	}()
	select {
	case err := <-done:
		if err == nil || ctx.Err() == nil {
			return err
		}
	case <-ctx.Done():
	}
	return context.Cause(ctx)
}

func names(copies []backup.Copy) string {
	all := make([]string, len(copies))
	for i, c := range copies {
		all[i] = c.Name
	}
	return strings.Join(all, ", ")
}
