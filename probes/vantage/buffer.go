package vantage

import (
	"sync"
	"time"

	"gwdr/probes"
)

// The bounds of a buffer and of the lines that are made of it.
const (
	maxBuffered = 100_000 // samples, some 250 bytes each
	maxBatch    = 500
	flushEvery  = 100 * time.Millisecond
	idleEvery   = time.Second // a line without samples says that the agent is alive
)

// buffer keeps the samples that the controller is not known to have, the newest maxBuffered of them. What it had to drop
// shows as a jump of the index. It is safe for concurrent use.
type buffer struct {
	t0 time.Time

	mu      sync.Mutex
	first   int64 // index of samples[0]
	samples []probes.Sample
	end     End           // why there will be no more
	ended   time.Duration // when
	changed chan struct{} // closed at the end
}

func newBuffer(t0 time.Time) *buffer { return &buffer{t0: t0, changed: make(chan struct{})} }

func (b *buffer) add(s probes.Sample) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.samples = append(b.samples, s)
	if len(b.samples) > maxBuffered {
		b.drop(1)
	}
}

// drop forgets the oldest n, with b.mu held. append moves the rest to a new array now and then, so that nothing is kept for long.
func (b *buffer) drop(n int) {
	clear(b.samples[:n])
	b.samples, b.first = b.samples[n:], b.first+int64(n)
}

// acknowledge forgets what is before index n.
func (b *buffer) acknowledge(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n > b.first {
		b.drop(int(min(n-b.first, int64(len(b.samples)))))
	}
}

// close says that there will be no more.
func (b *buffer) close(why End) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.end == "" {
		b.end, b.ended = why, time.Since(b.t0)
		close(b.changed)
	}
}

// batch returns the samples from index n on, at most maxBatch of them, and whether there are more.
func (b *buffer) batch(n int64) (batch Batch, more bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n = max(n, b.first)
	from := int(min(n-b.first, int64(len(b.samples))))
	to := min(from+maxBatch, len(b.samples))
	batch = Batch{First: b.first + int64(from), Now: time.Since(b.t0), Samples: append([]probes.Sample(nil), b.samples[from:to]...)}
	if more = to < len(b.samples); more {
		batch.Now = b.samples[to-1].Done // of what comes later nothing was told
	} else if b.end != "" {
		batch.End, batch.Now = b.end, b.ended
	}
	return batch, more
}
