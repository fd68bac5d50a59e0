package cmd

import (
	"context"
	"runtime"
	"runtime/debug"
	heap "runtime/metrics"
)

// How much garbage a gateway keeps before it collects it. Most of its heap is configuration, which stays, and is looked at each time: half as much
// again is enough where that is large. Where it is small, so little would be collected all the time.
const (
	leastGarbage = 128 << 20 // bytes
	leastGC      = 50        // percent of what stays
	mostGC       = 400
)

// gcPercent is Go's GOGC for so many bytes that stay.
func gcPercent(live uint64) int {
	return int(min(max(leastGarbage*100/max(live, 1), leastGC), mostGC))
}

// tuneGC keeps Go's GOGC at gcPercent until ctx ends. It looks after each collection: a heap that grows must not outgrow what was right for it.
func tuneGC(ctx context.Context) {
	percent := leastGC
	debug.SetGCPercent(percent)
	live := []heap.Sample{{Name: "/gc/heap/live:bytes"}}
	var after func(*[1]*byte)
	after = func(sentinel *[1]*byte) {
		if ctx.Err() != nil {
			return
		}
		heap.Read(live)
		if next := gcPercent(live[0].Value.Uint64()); next != percent {
			percent = next
			debug.SetGCPercent(percent)
		}
		runtime.SetFinalizer(sentinel, after)
	}
	runtime.SetFinalizer(new([1]*byte), after)
}
