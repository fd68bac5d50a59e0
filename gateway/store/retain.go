package store

import (
	"context"
	"time"

	"go.etcd.io/etcd/server/v3/storage/mvcc"
)

// How much of the past is kept: two days, so that a backup each day finds all that happened since the last, but no more than
// fits into half of the quota, as a store that is full takes no writes. After a restart the two days begin anew.
const (
	history    = "48h"
	checkEvery = 10 * time.Second
)

// keeps returns how many bytes entities and history may take together before the history is shortened.
func (s *Store) keeps() int64 { return s.quota / 2 }

// retain shortens the history whenever it is too large, and makes room where there is none, until ctx ends.
func (s *Store) retain(ctx context.Context) {
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	for full := false; ; {
		if err := s.tidy(ctx, full); err != nil && ctx.Err() == nil {
			s.log.Error("history could not be shortened", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			full = false
		case <-s.tight:
			full = true
		}
	}
}

// tidy keeps the store from being full, or ends that.
func (s *Store) tidy(ctx context.Context, full bool) error {
	if full || len(s.alarms()) > 0 {
		return s.makeRoom(ctx)
	}
	x, err := s.extent()
	if err == nil && x.file > s.quota*3/4 && x.free() >= s.quota/4 { // the quota counts what is free, too
		err = s.defragment()
	}
	if err != nil {
		return err
	}
	return s.shrink(ctx, s.keeps())
}

// shrink has the older half of the history forgotten if the store holds more than so many bytes. That takes a while, in which
// it does nothing; if it was not enough, the next call goes on. Entities are not touched.
func (s *Store) shrink(ctx context.Context, most int64) error {
	x, err := s.extent()
	if err != nil || x.busy || x.used <= most || x.first >= x.head {
		return err
	}
	if err := s.Compact(ctx, x.half()); err != nil {
		return err
	}
	s.log.Info("history is shortened, as the store is large", "bytes", x.used, "from", x.first, "to", x.half(), "head", x.head)
	return nil
}

// extent is how much there is.
type extent struct {
	first, head int64 // the first and the last revision that are known
	used, file  int64 // bytes: what is in use, and with what is free in the file
	busy        bool  // a compaction is on its way to free some of them
}

// half is the revision before which the older half of the history lies.
func (x extent) half() int64 { return x.first + (x.head-x.first+1)/2 }

func (x extent) free() int64 { return x.file - x.used }

func (s *Store) extent() (x extent, err error) {
	err = s.whileOpen(func() error {
		kv, backend := s.etcd.Server.KV(), s.etcd.Server.Backend()
		tx := backend.ReadTx()
		tx.RLock()
		scheduled, _ := mvcc.UnsafeReadScheduledCompact(tx)
		finished, _ := mvcc.UnsafeReadFinishedCompact(tx)
		tx.RUnlock()
		x = extent{first: max(1, kv.FirstRev()), head: kv.Rev(), used: backend.SizeInUse(), file: backend.Size(), busy: scheduled != finished}
		return nil
	})
	return x, err
}
