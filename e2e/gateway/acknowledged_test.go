//go:build linux

package gateway

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"gwdr/e2e/shell"
	"gwdr/gateway"
	"gwdr/gateway/native"
)

// acknowledged is what clients were told is written, and when.
type acknowledged struct {
	stop    context.CancelFunc
	running sync.WaitGroup

	mu             sync.Mutex
	refs           []gateway.Ref
	at             []time.Time
	works, revoked native.Issued // the last key of each sort
}

// patience is how long a client waits for an answer before it goes on with another key: what it had asked for may be made, or not.
const patience = 500 * time.Millisecond

// writeTo has some clients of each region issue keys there, and revoke every other one.
func writeTo(t *testing.T, clients int, regions ...*server) *acknowledged {
	ctx, stop := context.WithCancel(t.Context())
	a := &acknowledged{stop: stop}
	for _, s := range regions {
		c := s.client()
		for range clients {
			a.running.Go(func() { a.write(ctx, c) })
		}
	}
	t.Cleanup(a.end)
	return a
}

func (a *acknowledged) write(ctx context.Context, c *native.Client) {
	for n := 0; ctx.Err() == nil; n++ {
		if err := a.key(ctx, c, n%2 == 1); err != nil {
			select {
			case <-ctx.Done():
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
}

// key has a key issued, and revoked if it is to be.
func (a *acknowledged) key(ctx context.Context, c *native.Client, revoke bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	key, err := c.IssueKey(ctx, "", nil, time.Time{})
	if err != nil {
		return err
	}
	a.note(gateway.Key, key.ID)
	if !revoke {
		a.keep(&a.works, key)
		return nil
	}
	if err := c.RevokeKey(ctx, key.ID, "leaked"); err != nil {
		return err
	}
	a.note(gateway.Revocation, key.ID)
	a.keep(&a.revoked, key)
	return nil
}

func (a *acknowledged) note(kind gateway.Kind, id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.refs, a.at = append(a.refs, gateway.Ref{Kind: kind, ID: id}), append(a.at, time.Now())
}

func (a *acknowledged) keep(last *native.Issued, key native.Issued) {
	a.mu.Lock()
	defer a.mu.Unlock()
	*last = key
}

// more waits until so many more writes are acknowledged.
func (a *acknowledged) more(t *testing.T, n int) {
	t.Helper()
	until := a.count() + n
	shell.Eventually(t, 60*time.Second, func() error {
		if have := a.count(); have < until {
			return fmt.Errorf("%d writes of %d", have, until)
		}
		return nil
	})
}

func (a *acknowledged) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.refs)
}

// pause returns the longest time since the moment in which nothing was acknowledged.
func (a *acknowledged) pause(since time.Time) (longest time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, at := range a.at {
		if at.After(since) {
			longest, since = max(longest, at.Sub(since)), at
		}
	}
	return longest
}

// took returns the time between the first and the last. The clients have ended.
func (a *acknowledged) took() time.Duration { return a.at[len(a.at)-1].Sub(a.at[0]) }

// end stops the clients.
func (a *acknowledged) end() {
	a.stop()
	a.running.Wait()
}

// revocations counts them. The clients have ended.
func (a *acknowledged) revocations() (n int) {
	for _, ref := range a.refs {
		if ref.Kind == gateway.Revocation {
			n++
		}
	}
	return n
}

// lost returns what was acknowledged and is not there. The clients have ended.
func (a *acknowledged) lost(t *testing.T, s *server) (refs []gateway.Ref) {
	t.Helper()
	_, there, err := s.client().State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, ref := range a.refs {
		if _, found := there.Get(ref); !found {
			refs = append(refs, ref)
		}
	}
	return refs
}
