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
	keepBytes  = quotaBytes / 2 // entities and history together
	checkEvery = 10 * time.Second
)

// retain shortens the history whenever it is too large, until ctx ends.
func (s *Store) retain(ctx context.Context) {
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := s.shrink(ctx, keepBytes); err != nil && ctx.Err() == nil {
			s.log.Error("history could not be shortened", "error", err)
		}
	}
}

// shrink has the older half of the history forgotten if the store holds more than so many bytes. That takes a while, in which
// it does nothing; if it was not enough, the next call goes on. Entities are not touched.
func (s *Store) shrink(ctx context.Context, most int64) error {
	var first, head, size int64
	var busy bool
	err := s.whileOpen(func() error {
		first, head, size, busy = s.extent()
		return nil
	})
	if err != nil || busy || size <= most || first >= head {
		return err
	}
	to := first + (head-first+1)/2
	if err := s.Compact(ctx, to); err != nil {
		return err
	}
	s.log.Info("history is shortened, as the store is large", "bytes", size, "from", first, "to", to, "head", head)
	return nil
}

// extent returns the first and the last revision that are known, how many bytes are in use, and whether a compaction is on
// its way to free some of them.
func (s *Store) extent() (first, head, size int64, busy bool) {
	kv, backend := s.etcd.Server.KV(), s.etcd.Server.Backend()
	tx := backend.ReadTx()
	tx.RLock()
	scheduled, _ := mvcc.UnsafeReadScheduledCompact(tx)
	finished, _ := mvcc.UnsafeReadFinishedCompact(tx)
	tx.RUnlock()
	return max(1, kv.FirstRev()), kv.Rev(), backend.SizeInUse(), scheduled != finished
}
