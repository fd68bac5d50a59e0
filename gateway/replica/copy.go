package replica

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"gwdr/gateway"
	"gwdr/gateway/native"
	"gwdr/gateway/store"
)

// Waiting times between two attempts to read the leader.
const (
	backoffMin = 20 * time.Millisecond
	backoffMax = 500 * time.Millisecond
)

// copy applies the leader's changes until ctx ends, and starts again whenever the connection breaks.
func (r *Replica) copy(ctx context.Context, from leader) {
	backoff, complaint := backoffMin, gateway.Complaint{}
	for {
		before := r.Store.Origin()
		err := r.copyOnce(ctx, from)
		if ctx.Err() != nil {
			return
		}
		if r.Store.Origin() != before {
			backoff, complaint = backoffMin, gateway.Complaint{}
		}
		if complaint.IsDue(err) {
			r.Log.Warn("leader cannot be copied", "leader", from.client.URL, "error", err, "retry_in", backoff)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(backoff/2 + rand.N(backoff/2)):
		}
		backoff = min(2*backoff, backoffMax)
	}
}

// copyOnce reads the leader's changes from where this store is, or its whole state if they are no longer known.
func (r *Replica) copyOnce(ctx context.Context, from leader) error {
	source := &from.client
	if err := r.join(ctx, source, from); err != nil {
		return err
	}
	at := r.Store.Origin()
	if at.Store != from.status.Store {
		return r.copyAll(ctx, source)
	}
	err := r.copyChanges(ctx, source, at)
	if errors.Is(err, gateway.ErrCompacted) {
		return r.copyAll(ctx, source)
	}
	return err
}

// copyAll takes over the leader's state, as the difference to what is here, and then its changes.
func (r *Replica) copyAll(ctx context.Context, source *native.Client) error {
	h, theirs, err := source.State(ctx)
	if err != nil {
		return err
	}
	if h.Store == "" || h.Epoch < r.Store.Role().Epoch {
		return fmt.Errorf("leader %v has store %q in epoch %d, this one is in epoch %d", source, h.Store, h.Epoch, r.Store.Role().Epoch)
	}
	_, ours, err := r.Store.State(ctx)
	if err != nil {
		return err
	}
	if err := handOver(ctx, source, ours, theirs); err != nil {
		return fmt.Errorf("hand revocations over to the leader: %w", err)
	}
	at := store.Origin{Store: h.Store, Revision: h.Revision}
	changes := gateway.Diff(ours, theirs)
	if err := r.Store.Replicate(ctx, changes, at); err != nil {
		return err
	}
	r.Log.Info("leader's state taken over", "leader", source, "store", at.Store, "revision", at.Revision, "changes", len(changes))
	return r.copyChanges(ctx, source, at)
}

// handOver gives the leader the revocations that it lacks, or has for a later time, and adds them to theirs. A revocation is for
// good, so the leader must have lost it: in a fork, or by the restore of a backup. The revoked key must not work again for that.
// What no key can have as its id revokes nothing, and the leader would refuse it.
func handOver(ctx context.Context, leader *native.Client, ours, theirs *gateway.State) error {
	for e := range ours.Kind(gateway.Revocation) {
		known, there := theirs.Get(e.Ref)
		if there && !gateway.RevokesEarlier(e.Body, known) || !gateway.IsKeyID(e.ID) {
			continue
		}
		_, err := leader.Put(ctx, e, gateway.Condition{Absent: !there})
		if err != nil && !errors.Is(err, gateway.ErrConflict) {
			return err
		}
		theirs.Put(e)
	}
	return nil
}

func (r *Replica) copyChanges(ctx context.Context, source *native.Client, at store.Origin) error {
	return source.Follow(ctx, at.Store, at.Revision, func(b gateway.Batch) error {
		if len(b.Changes) == 0 {
			return nil
		}
		return r.Store.Replicate(ctx, b.Changes, store.Origin{Store: at.Store, Revision: b.Revision})
	})
}
