package backup

import (
	"context"
	"errors"
	"sync"
	"time"

	"gwdr/gateway"
)

// watcher listens to a gateway, to know at once that something has changed, and that the gateway is there. What has changed
// is for the writer to read: a watch does not say by when it is complete.
type watcher struct {
	tracker gateway.Tracker
	store   string
	turned  func(*watcher) // is called after each change of what follows
	stop    func()         // ends it, and waits until it has ended

	mu        sync.Mutex
	changed   int64     // newest revision that changed something
	spoke     time.Time // when the gateway was heard last
	err       error     // why it is not heard now
	forgotten bool      // it does not know the changes after a revision: the watch has ended
}

const (
	reconnectFirst = 100 * time.Millisecond
	reconnectMost  = 5 * time.Second
)

// watch starts a watcher of what comes after the revision.
func watch(ctx context.Context, tracker gateway.Tracker, store string, from int64, turned func(*watcher)) *watcher {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	w := &watcher{tracker: tracker, store: store, turned: turned}
	w.stop = func() {
		cancel()
		select {
		case <-done:
		case <-time.After(grace):
		}
	}
	go func() {
		defer close(done)
		w.run(ctx, from)
	}()
	return w
}

func (w *watcher) run(ctx context.Context, from int64) {
	retry := backoff{first: reconnectFirst, most: reconnectMost}
	for ctx.Err() == nil {
		err := w.tracker.Follow(ctx, w.store, from, func(b gateway.Batch) error {
			from = max(from, b.Revision)
			retry.reset()
			w.hear(b)
			return ctx.Err()
		})
		if ctx.Err() != nil {
			return
		}
		w.mu.Lock()
		w.err, w.forgotten = err, errors.Is(err, gateway.ErrCompacted)
		forgotten := w.forgotten
		w.mu.Unlock()
		w.turned(w)
		if forgotten {
			return
		}
		pause(ctx, retry.wait())
	}
}

func (w *watcher) hear(b gateway.Batch) {
	w.mu.Lock()
	if len(b.Changes) > 0 {
		w.changed = max(w.changed, b.Revision)
	}
	w.spoke, w.err = time.Now(), nil
	w.mu.Unlock()
	w.turned(w)
}

// heard returns the newest revision that changed something, why the gateway is not heard now, and whether it has forgotten
// what came after the revision.
func (w *watcher) heard() (changed int64, err error, forgotten bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.changed, w.err, w.forgotten
}
