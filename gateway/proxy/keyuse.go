package proxy

import (
	"fmt"
	"iter"
	"sync/atomic"
	"time"
)

// KeyUsed returns when the key last opened a route here, to the minute; the zero time if it has not since the gateway began.
func (g *Gateway) KeyUsed(id string) time.Time {
	c := g.live.Load()
	n, ok := keyIDOf(id)
	if c == nil || !ok {
		return time.Time{}
	}
	if k := c.keys.get(n); k != nil {
		return k.lastUsed()
	}
	return time.Time{}
}

// KeysUsed returns since when it is noted which keys are used, and what KeyUsed says of those that were, in any order.
func (g *Gateway) KeysUsed() (since time.Time, used iter.Seq2[string, time.Time]) {
	return g.since, func(yield func(string, time.Time) bool) {
		c := g.live.Load()
		if c == nil {
			return
		}
		for _, shard := range c.keys.shards {
			for id, k := range shard {
				if at := k.lastUsed(); !at.IsZero() && !yield(fmt.Sprintf("%016x", uint64(id)), at) {
					return
				}
			}
		}
	}
}

func (c *credential) lastUsed() time.Time {
	minutes := atomic.LoadUint32(&c.used)
	if minutes == 0 {
		return time.Time{}
	}
	return time.Unix(int64(minutes)*60, 0).UTC()
}
