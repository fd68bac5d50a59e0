//go:build linux

package gateway

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"gwdr/e2e/shell"
	"gwdr/gateway"
	"gwdr/gateway/native"
)

// watched is what somebody saw who watches a region, and goes on where it was whenever the watch ends.
type watched struct {
	stop    context.CancelFunc
	running sync.WaitGroup

	mu    sync.Mutex
	last  int64 // revision
	times map[gateway.Ref]int
	lost  error // why it could not go on
}

// watch begins with what comes next.
func watch(t *testing.T, s *server) *watched {
	t.Helper()
	c := s.client()
	now, err := c.Brief(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	w := &watched{stop: stop, last: now.Revision, times: map[gateway.Ref]int{}}
	w.running.Go(func() { w.run(ctx, c, now.Store) })
	t.Cleanup(w.end)
	return w
}

func (w *watched) run(ctx context.Context, c *native.Client, store string) {
	for ctx.Err() == nil {
		if err := c.Follow(ctx, store, w.last, w.see); errors.Is(err, gateway.ErrCompacted) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.lost = err
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (w *watched) see(b gateway.Batch) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last = b.Revision
	for _, c := range b.Changes {
		w.times[c.Entity.Ref]++
	}
	return nil
}

func (w *watched) end() {
	w.stop()
	w.running.Wait()
}

// saw waits until all up to the revision is seen, and checks that what was acknowledged was seen once.
func (w *watched) saw(t *testing.T, revision int64, acked *acknowledged) {
	t.Helper()
	shell.Eventually(t, 30*time.Second, func() error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.last < revision && w.lost == nil {
			return fmt.Errorf("at revision %d of %d", w.last, revision)
		}
		return nil
	})
	w.end()
	if w.lost != nil {
		t.Error(w.lost)
	}
	for _, ref := range acked.refs {
		if w.times[ref] != 1 {
			t.Errorf("%s was seen %d times", ref, w.times[ref])
		}
	}
}
