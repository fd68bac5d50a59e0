package store

import (
	"context"
	"errors"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Shrink is shrink, and waits until the engine has made room.
func (s *Store) Shrink(ctx context.Context, most int64) error {
	if err := s.shrink(ctx, most); err != nil {
		return err
	}
	first, _, _, _ := s.extent()
	if _, err := s.kv.Compact(ctx, first, clientv3.WithCompactPhysical()); err != nil && !errors.Is(err, rpctypes.ErrCompacted) {
		return err
	}
	return nil
}

// Extent returns the first and the last revision that are known, and how many bytes are in use.
func (s *Store) Extent() (first, head, size int64) {
	first, head, size, _ = s.extent()
	return first, head, size
}
