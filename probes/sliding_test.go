package probes

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// TestSlidingKeepsTheNewest even where foreign evidence has instants that cannot be subtracted from.
func TestSlidingKeepsTheNewest(t *testing.T) {
	w := sliding{length: stable}
	w.add(math.MinInt64, true)
	w.add(math.MinInt64+1, false)
	if n := len(w.marks); n == 0 || w.marks[n-1].ok {
		t.Errorf("%+v", w.marks)
	}
}

// TestSlidingForks feeds a fork and, after it, the window that it was made of: both hold what one that was fed the same from the
// start holds.
func TestSlidingForks(t *testing.T) {
	fed := func(w *sliding, seed uint64, from, n int) {
		r := rand.New(rand.NewPCG(seed, 0))
		for i := from; i < from+n; i++ {
			w.add(time.Duration(i)*tick, r.IntN(3) > 0)
		}
	}
	same := func(a, b *sliding) {
		t.Helper()
		if a.size() != b.size() || a.ok != b.ok || a.oldest() != b.oldest() || a.newest() != b.newest() {
			t.Fatalf("%d of %d ok from %v to %v, want %d of %d from %v to %v",
				a.ok, a.size(), a.oldest(), a.newest(), b.ok, b.size(), b.oldest(), b.newest())
		}
	}
	for seed := range uint64(100) {
		w, alone, both := sliding{length: stable}, sliding{length: stable}, sliding{length: stable}
		before, more := int(seed%7)*40, 1+int(seed%5)*60
		fed(&w, seed, 0, before)
		fork := w.fork()
		fed(&fork, seed+1, before, more)
		fed(&both, seed, 0, before)
		fed(&both, seed+1, before, more)
		same(&fork, &both)
		fed(&w, seed+2, before, more)
		fed(&alone, seed, 0, before)
		fed(&alone, seed+2, before, more)
		same(&w, &alone)
		if most := 50 + 3*(w.size()+1); cap(w.room) > most {
			t.Fatalf("room for %d of %d", cap(w.room), w.size())
		}
	}
}
