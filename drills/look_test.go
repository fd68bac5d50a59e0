package drills

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gwdr/probes"
)

// TestWhoObservesMissesNothing has a screen that is stuck: it misses most of what happens, and an observer nothing.
func TestWhoObservesMissesNothing(t *testing.T) {
	stuck := make(chan struct{})
	var seen []int
	s := newStream(func(int) { <-stuck }, func(i int) { seen = append(seen, i) })
	for i := range 3 * streamSize {
		s.offer(i)
	}
	s.tell(-1)
	close(stuck)
	s.close()
	if len(seen) != 3*streamSize+1 || !slices.IsSorted(seen[:3*streamSize]) || seen[3*streamSize] != -1 {
		t.Errorf("%d events seen, want %d", len(seen), 3*streamSize+1)
	}
}

// TestADrillIsObserved wants every attempt that is on record, and the outage while it lasts and when it is over.
func TestADrillIsObserved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		var mu sync.Mutex
		attempts := map[string]int{}
		lasted, over := false, false
		last := map[string]probes.Course{}
		l.Observe = func(e Event) {
			mu.Lock()
			defer mu.Unlock()
			if e.Sample != nil {
				attempts[e.Sample.Series]++
			}
			for _, c := range e.Courses {
				_, lasts := c.Lasts()
				last[c.Series.Name] = c
				lasted, over = lasted || lasts, over || len(c.Outages) > 0 && !lasts
			}
		}
		r, err := l.run(t, t.Context())
		if err != nil {
			t.Fatal(err)
		}
		facts, _, err := ReadFacts(r.Evidence)
		if err != nil {
			t.Fatal(err)
		}
		recorded := map[string]int{}
		for _, s := range facts.Samples {
			recorded[s.Series]++
		}
		for _, s := range facts.Series {
			if attempts[s.Name] == 0 || attempts[s.Name] != recorded[s.Name] {
				t.Errorf("%s: %d attempts observed, %d on record", s.Name, attempts[s.Name], recorded[s.Name])
			}
		}
		if attempts[probes.AdminSeries] == 0 || !lasted || !over {
			t.Errorf("changes %d, an outage that lasts %v, one that is over %v", attempts[probes.AdminSeries], lasted, over)
		}
		for name, c := range last { // not of the ledger either, which is quiet long before the end
			if o, lasts := c.Lasts(); lasts {
				t.Errorf("%s ends with an outage: %+v", name, o)
			}
		}
	})
}

// TestTheJournalAlone gives all that a trace needs: when things happened, without an attempt.
func TestTheJournalAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		r, err := l.run(t, t.Context())
		if err != nil {
			t.Fatal(err)
		}
		f, err := ReadJournal(r.Evidence)
		if err != nil {
			t.Fatal(err)
		}
		last := f.Phases[len(f.Phases)-1]
		if len(f.Samples) > 0 || !f.Complete || f.Length < seconds(last.OffsetS) || f.Length > time.Hour {
			t.Errorf("%d attempts, complete %v, %s long, %+v", len(f.Samples), f.Complete, f.Length, last)
		}
		power := f.Faults[0]
		if !(power.Injected > 0 && power.Injected <= power.VerifiedOffset && power.VerifiedOffset < power.RevertedOffset) {
			t.Errorf("fault %+v", power)
		}
		if n := len(f.Steps); n < 2 || f.Steps[0].At < power.Injected || f.Steps[1].At < f.Steps[0].At {
			t.Errorf("steps %+v", f.Steps)
		}
	})
}
