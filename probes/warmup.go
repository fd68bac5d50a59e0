package probes

import (
	"context"
	"sync"
	"time"
)

// WarmUp is how long a Prober takes at most, before its first attempt is due, to make connections. Else all attempts of the first
// instants would dial, one each, and be late for it: of the machine, not of the target.
const WarmUp = 50 * time.Millisecond

// warmUp makes the connections, and the workers, that the attempts need which may be under way after the longest delay that is
// allowed. What becomes of these requests is nobody's business: who does not answer now is found out by the attempts. The first
// one goes alone: over HTTP/2 all others share its connection, and if there is no answer, none is to be had.
func (r *proberRun) warmUp(ctx, attempts context.Context) {
	n := int(r.Series.MaxLate() / r.Series.Interval)
	if n < 1 || !r.Request.keepsAlive() {
		return
	}
	deadline := time.Now().Add(min(WarmUp, r.Series.Timeout))
	var first Sample
	r.sender.send(ctx, deadline, &first)
	if first.Class == FailTimeout || first.Class == FailRefused {
		return
	}
	var warming sync.WaitGroup
	for range min(n, r.maxInFlight()) {
		r.started++
		warming.Add(1)
		r.workers.Go(func() {
			r.sender.send(ctx, deadline, new(Sample))
			warming.Done()
			r.work(attempts)
		})
	}
	warming.Wait()
}
