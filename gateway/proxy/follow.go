package proxy

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"gwdr/gateway"
)

const (
	gather      = 10 * time.Millisecond  // least time between two configurations while changes stream in
	silence     = 5 * time.Second        // a watch that says nothing for so long, not even a heartbeat, is dead
	loadTimeout = 30 * time.Second       // for one whole state
	backoffMin  = 20 * time.Millisecond  // before the first reconnect
	backoffMax  = 500 * time.Millisecond // between reconnects, at most
)

// Source is a control plane, as a data plane follows it.
type Source interface {
	// State returns the whole configuration at the header's revision, or an error if any of it is missing.
	State(ctx context.Context) (gateway.Header, *gateway.State, error)
	// Follow calls each for every revision of the store after from that changed something, in order, and without changes at once
	// and then at least each second. It returns when ctx ends, when each fails, or when it cannot go on, and always with an error:
	// one that wraps gateway.ErrCompacted if the changes after from are no longer known, or if another store is there.
	Follow(ctx context.Context, store string, from int64, each func(gateway.Batch) error) error
}

// Follow keeps the gateway up to date with the source until ctx ends. It loads the whole state once, and then the changes, from where
// it was whenever the watch breaks or is silent. It loads the whole state again if the changes since then are no longer known, or the
// store is another one. While there is nothing to be had, the last good configuration serves.
func (g *Gateway) Follow(ctx context.Context, source Source) {
	backoff, complaint := backoffMin, gateway.Complaint{}
	f := following{Gateway: g, source: source}
	for {
		g.hears.Store(new(false))
		err := f.once(ctx)
		if ctx.Err() != nil {
			return
		}
		if *g.hears.Load() {
			backoff, complaint = backoffMin, gateway.Complaint{}
		}
		if complaint.IsDue(err) {
			g.log.Warn("control plane cannot be followed", "error", err, "retry_in", backoff)
		}
		wait(ctx, backoff/2+rand.N(backoff/2))
		backoff = min(2*backoff, backoffMax)
	}
}

// following is a gateway that follows a source, and how far it is.
type following struct {
	*Gateway
	source Source
	store  string // empty: the whole state is to be read
	at     int64  // revision of the store up to which all changes are known here
}

// once loads the state, if it must, and then the changes, until either fails.
func (f *following) once(ctx context.Context) error {
	if f.store == "" {
		if err := f.load(ctx); err != nil {
			return err
		}
	}
	err := f.watch(ctx)
	if errors.Is(err, gateway.ErrCompacted) {
		f.store = ""
	}
	return err
}

// load reads the whole state.
func (f *following) load(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	h, s, err := f.source.State(ctx)
	if err != nil {
		return fmt.Errorf("read state: %w", err)
	}
	if err := f.Load(h, s); errors.Is(err, ErrRefused) {
		return err
	} else if err != nil { // further changes may heal it
		f.log.Error("configuration is bad, the last good one stays", "revision", h.Revision, "error", err)
	}
	f.store, f.at = h.Store, h.Revision
	f.hears.Store(new(true))
	return nil
}

// watch makes the changes, until the source's watch ends or is silent.
func (f *following) watch(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	batches, ended := make(chan gateway.Batch), make(chan error, 1)
	store, from := f.store, f.at
	go func() {
		ended <- f.source.Follow(ctx, store, from, func(b gateway.Batch) error {
			select {
			case batches <- b:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	err := f.consume(batches, ended)
	cancel()
	return err
}

var errSilent = errors.New("watch is silent")

// consume makes the changes of the batches: the first at once, those that follow closely together.
func (f *following) consume(batches <-chan gateway.Batch, ended <-chan error) error {
	var held gateway.Batch
	var due <-chan time.Time
	var last time.Time
	alarm := time.NewTimer(silence)
	defer alarm.Stop()
	for {
		select {
		case b := <-batches:
			alarm.Reset(silence)
			if !*f.hears.Load() {
				f.hears.Store(new(true))
			}
			if b.Revision <= f.at || len(b.Changes) == 0 { // already in the state, or a heartbeat
				continue
			}
			f.at = b.Revision
			held.Revision, held.Changes = b.Revision, append(held.Changes, b.Changes...)
			if due == nil {
				due = time.After(gather - time.Since(last))
			}
		case <-due:
			f.update(held)
			held, due, last = gateway.Batch{}, nil, time.Now()
		case <-alarm.C:
			f.update(held)
			return errSilent
		case err := <-ended:
			f.update(held)
			if err == nil {
				err = errors.New("it ended")
			}
			return fmt.Errorf("watch: %w", err)
		}
	}
}

func (g *Gateway) update(b gateway.Batch) {
	if len(b.Changes) == 0 {
		return
	}
	if err := g.Update(b); err != nil {
		g.log.Error("configuration is bad, the last good one stays", "revision", b.Revision, "error", err)
	}
}
