package probes

import (
	"testing"
	"time"
)

func TestFullServiceNeedsCalmAndEveryInstance(t *testing.T) {
	// Down from 1 s, answers again from 1.4 s, slowly until 2.4 s; the second instance answers again from 4.4 s.
	samples := script("5.2x5.9.9.")
	for i := range samples {
		s := &samples[i]
		s.Instance = []string{"us-east-1", "us-west-1"}[i%2]
		if i >= 70 && i < 120 {
			s.Done = s.Due + 60*ms
		}
		if i >= 70 && i < 220 {
			s.Instance = "us-west-1"
		}
	}
	w := Window{Inject: time.Second, Stable: time.Second, Limit: limit}
	all := EstimateAll([]Series{orders}, samples, w)
	for name, c := range map[string]struct {
		planned []string
		low     time.Duration
		ok      bool
	}{
		"one region":  {[]string{"us-west-1"}, 2400 * ms, true},
		"both":        {[]string{"us-west-1", "us-east-1"}, 3400 * ms, true},
		"a third one": {[]string{"us-north-1"}, 0, false},
	} {
		at, ok := FullService(all, samples, w.Inject, c.planned)
		if ok != c.ok || at < c.low || at > c.low+fullStep {
			t.Errorf("%s: %v, %v; want %v, %v", name, at, ok, c.low, c.ok)
		}
	}
}
