package probes

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestBaselineSaysWhatTheEvidenceSays folds attempts in the order in which they ended, and compares L, and what the guard says,
// with what is computed from all of them at the end.
func TestBaselineSaysWhatTheEvidenceSays(t *testing.T) {
	const from, to = time.Second, 11 * time.Second
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 0))
		length := 10 * time.Second
		if seed%3 == 0 {
			length = 11 * time.Second // longer than it was observed
		}
		b := Baseline{Series: orders, From: from, To: to}
		var samples []Sample
		for due := time.Duration(0); due < 12*time.Second; due += tick {
			s := Sample{Series: "orders", Due: due, Sent: due, Class: OK}
			s.Done = due + time.Duration(r.ExpFloat64()*float64(ms))
			if r.IntN(500) == 0 {
				s.Class = []Class{FailReset, Unknown, FailRefused}[r.IntN(3)]
			}
			if s.Done < to || due >= to { // at the end, none is under way
				samples = append(samples, s)
				b.Add(&s)
			}
		}
		limit, ok := b.Limit()
		if want := Limits(samples, from, to)["orders"]; !ok || limit != want {
			t.Fatalf("seed %d: L is %v, want %v", seed, limit, want)
		}
		e := EstimateOutage(orders, samples, Window{From: from, Inject: to, Stable: time.Second})
		var want []Finding
		for _, f := range (Guards{Baseline: length}).Check([]Estimate{e}) {
			if f.Guard == GuardBaseline {
				want = append(want, f)
			}
		}
		if diff := cmp.Diff(want, b.Check(length)); diff != "" {
			t.Fatalf("seed %d: %s", seed, diff)
		}
	}
}

func TestABaselineWithoutAttemptsIsInDoubt(t *testing.T) {
	b := Baseline{Series: orders, To: time.Second}
	if limit, ok := b.Limit(); ok || limit != MaxLimit || len(b.Check(time.Second)) != 1 {
		t.Errorf("L is %v, %v, and %v", limit, ok, b.Check(time.Second))
	}
	b.Series.Control = true
	if found := b.Check(time.Second); found != nil {
		t.Errorf("of a control target: %v", found)
	}
}
