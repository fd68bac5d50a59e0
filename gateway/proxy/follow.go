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
	// Watch calls each for every revision after from that changed something, in order, and with a heartbeat at least each
	// second. It returns when ctx ends, when each fails, or when it cannot go on, and always with an error.
	Watch(ctx context.Context, from int64, each func(gateway.Batch) error) error
}

// Follow keeps the gateway up to date with the source until ctx ends. Whenever the watch breaks, is silent or has been
// compacted, or the store is another one, it loads the whole state again; while that cannot be had, the last good
// configuration serves.
func (g *Gateway) Follow(ctx context.Context, source Source) {
	backoff := backoffMin
	for {
		g.hears.Store(new(false))
		loaded, err := g.followOnce(ctx, source)
		if ctx.Err() != nil {
			return
		}
		if loaded {
			backoff = backoffMin
		}
		g.log.Warn("control plane cannot be followed", "error", err, "retry_in", backoff)
		wait(ctx, backoff/2+rand.N(backoff/2))
		backoff = min(2*backoff, backoffMax)
	}
}

// followOnce loads the state and then the changes, until either fails.
func (g *Gateway) followOnce(ctx context.Context, source Source) (loaded bool, err error) {
	loading, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	h, s, err := source.State(loading)
	if err != nil {
		return false, fmt.Errorf("read state: %w", err)
	}
	if err := g.Load(h, s); errors.Is(err, ErrRefused) {
		return false, err
	} else if err != nil { // further changes may heal it
		g.log.Error("configuration is bad, the last good one stays", "revision", h.Revision, "error", err)
	}
	g.hears.Store(new(true))
	return true, g.watch(ctx, source, h.Revision)
}

// watch makes the changes after the revision, until the source's watch ends or is silent.
func (g *Gateway) watch(ctx context.Context, source Source, from int64) error {
	ctx, cancel := context.WithCancel(ctx)
	batches, ended := make(chan gateway.Batch), make(chan error, 1)
	go func() {
		ended <- source.Watch(ctx, from, func(b gateway.Batch) error {
			select {
			case batches <- b:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	err := g.consume(batches, ended, from)
	cancel()
	return err
}

var errSilent = errors.New("watch is silent")

// consume makes the changes of the batches: the first at once, those that follow closely together.
func (g *Gateway) consume(batches <-chan gateway.Batch, ended <-chan error, from int64) error {
	var held gateway.Batch
	var due <-chan time.Time
	var last time.Time
	alarm := time.NewTimer(silence)
	defer alarm.Stop()
	for {
		select {
		case b := <-batches:
			alarm.Reset(silence)
			if b.Revision <= from || len(b.Changes) == 0 { // already in the state, or a heartbeat
				continue
			}
			held.Revision, held.Changes = b.Revision, append(held.Changes, b.Changes...)
			if due == nil {
				due = time.After(gather - time.Since(last))
			}
		case <-due:
			g.update(held)
			held, due, last = gateway.Batch{}, nil, time.Now()
		case <-alarm.C:
			g.update(held)
			return errSilent
		case err := <-ended:
			g.update(held)
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
