// Package replica keeps control planes in several regions to one leader: a follower copies the leader's changes as they
// come, and an old leader that comes back after another region was promoted sets aside what it alone knows and follows.
//
// Replication is asynchronous: what the leader acknowledged last may be missing at a follower that is promoted.
package replica

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"time"

	"gwdr/gateway"
	"gwdr/gateway/native"
	"gwdr/gateway/store"
)

// Replica decides on the role of one control plane among its peers.
type Replica struct {
	Store *store.Store
	Peers []native.Client // control planes of the other regions
	Dir   string          // where forked-epoch<N>.ndjson is written
	Lead  bool            // lead, if this store never led nor followed and no peer did either
	Log   *slog.Logger    // nil discards
}

const (
	interval     = time.Second            // between two looks at the peers
	settleWithin = 250 * time.Millisecond // for the look before anything is served
	lookWithin   = 900 * time.Millisecond // for any other
)

// firstEpoch is the one in which a history begins. A leader in it continues no other store.
const firstEpoch = 1

// leader is a peer that says it takes writes.
type leader struct {
	client native.Client
	status gateway.Status
}

// Settle asks the peers once and takes the role that follows from their answers. Call it before anything is served, so that
// an old leader takes no write that is lost when it finds out.
func (r *Replica) Settle(ctx context.Context) error {
	found, epoch := r.look(ctx, settleWithin)
	role := r.Store.Role()
	if found == nil && r.Lead && role.Mode == gateway.ModeFollower && role.Epoch == 0 {
		return r.begin(ctx, epoch)
	}
	return r.decide(ctx, found)
}

// begin makes a new store lead, unless a peer has been part of an epoch: it holds what an earlier leader had, which is for
// people to promote. Promoting the new store instead is their decision too, and is later than the peer's epoch then.
func (r *Replica) begin(ctx context.Context, epoch int64) error {
	if epoch >= firstEpoch {
		r.Log.Warn("store is new, but a peer has followed a leader: promote the one that is to lead", "epoch", epoch)
		return r.Store.Follow(ctx, "", epoch)
	}
	_, err := r.Store.Promote(ctx)
	return err
}

// Run looks at the peers each second and copies the leader, until ctx ends.
func (r *Replica) Run(ctx context.Context) {
	var copying struct {
		from   string // URL and store of the leader that is copied
		cancel context.CancelFunc
		done   sync.WaitGroup
	}
	stop := func() {
		if copying.cancel != nil {
			copying.cancel()
		}
		copying.done.Wait()
		copying.from, copying.cancel = "", nil
	}
	defer stop()
	for ctx.Err() == nil {
		found, _ := r.look(ctx, lookWithin)
		if err := r.decide(ctx, found); err != nil && ctx.Err() == nil {
			r.Log.Error("role could not be changed", "error", err)
		}
		switch follow, known := r.follows(found); {
		case !follow && known:
			stop()
		case follow && copying.from != found.client.URL+" "+found.status.Store:
			stop()
			var copyCtx context.Context
			copyCtx, copying.cancel = context.WithCancel(ctx)
			copying.from = found.client.URL + " " + found.status.Store
			copying.done.Go(func() { r.copy(copyCtx, *found) })
		}
		r.wait(ctx, found)
	}
}

// wait lets the time to the next look pass, which is shorter for a follower that sees no leader.
func (r *Replica) wait(ctx context.Context, found *leader) {
	pause := interval
	if found == nil && r.Store.Role().Mode == gateway.ModeFollower {
		pause = interval / 5
	}
	select {
	case <-time.After(pause):
	case <-ctx.Done():
	}
}

// follows reports whether found is to be copied. Nothing is known if no leader answers: the one that is copied may be back in
// a moment.
func (r *Replica) follows(found *leader) (follow, known bool) {
	role := r.Store.Role()
	switch role.Mode {
	case gateway.ModeLeader, gateway.ModeBlank:
		return false, true
	}
	if found == nil {
		return false, false
	}
	return found.status.Epoch >= role.Epoch && !r.isStranger(found), true
}

// isStranger reports whether the leader's history began without the store that is copied here: following it would delete what
// may be the last copy of that.
func (r *Replica) isStranger(l *leader) bool {
	origin := r.Store.Origin().Store
	return l.status.Epoch == firstEpoch && origin != "" && origin != l.status.Store
}

// decide takes the role that follows from what the peers say. An old leader stops taking writes here, and joins the new one
// in copy.
func (r *Replica) decide(ctx context.Context, found *leader) error {
	role := r.Store.Role()
	if found == nil || found.status.Epoch < role.Epoch {
		return nil
	}
	if r.isStranger(found) {
		r.Log.Error("leader begins anew and is not followed, as a copy of an earlier one is here: promote this store, or empty it",
			"leader", found.client.URL, "store", found.status.Store, "copy_of", r.Store.Origin().Store)
		return nil
	}
	switch role.Mode {
	case gateway.ModeLeader:
		if found.status.Epoch == role.Epoch && r.Store.ID() < found.status.Store {
			return nil // two were promoted while they could not see each other: the lower id leads
		}
		r.Log.Warn("fenced by a later leader", "leader", found.client.URL, "epoch", found.status.Epoch, "led_in", role.Epoch)
		return r.Store.Fence(ctx, found.client.URL, found.status.Epoch)
	case gateway.ModeFenced:
		return nil
	}
	return r.Store.Follow(ctx, found.client.URL, found.status.Epoch)
}

// look asks all peers at once and returns the one that leads in the latest epoch, or nil, and the latest epoch of any.
func (r *Replica) look(ctx context.Context, within time.Duration) (best *leader, epoch int64) {
	if r.Log == nil {
		r.Log = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	answers := make([]leader, len(r.Peers))
	var asking sync.WaitGroup
	for i, peer := range r.Peers {
		asking.Go(func() {
			status, err := peer.Brief(ctx)
			if err != nil {
				r.Log.Debug("peer does not answer", "peer", peer.URL, "error", err)
			}
			answers[i] = leader{client: peer, status: status}
		})
	}
	asking.Wait()
	for _, l := range answers {
		epoch = max(epoch, l.status.Epoch)
		if l.status.Mode == gateway.ModeLeader && (best == nil || l.later(best)) {
			best = &l
		}
	}
	return best, epoch
}

// later reports whether l comes before other as the one to follow.
func (l *leader) later(other *leader) bool {
	return cmp.Or(cmp.Compare(other.status.Epoch, l.status.Epoch), cmp.Compare(l.status.Store, other.status.Store)) < 0
}
