package cmd

import (
	"testing"
	"time"
)

// TestProbeRate wants what connects each time not to use up the ports.
func TestProbeRate(t *testing.T) {
	for rate, want := range map[float64]struct{ keepalive, fresh, control time.Duration }{
		20:    {50 * time.Millisecond, 50 * time.Millisecond, 12500 * time.Microsecond},
		400:   {2500 * time.Microsecond, 2500 * time.Microsecond, 5 * time.Millisecond},
		10000: {100 * time.Microsecond, 2500 * time.Microsecond, 5 * time.Millisecond},
	} {
		o := probeOptions{Rate: rate, Timeout: time.Second}
		w, err := o.watch([]string{"http://127.0.0.1:1/"}, "http://127.0.0.1:2/", nil)
		if err != nil {
			t.Fatal(err)
		}
		for i, s := range w.Plan.Series {
			wanted := want.fresh
			switch {
			case s.Control:
				wanted = want.control
			case !s.Fresh:
				wanted = want.keepalive
			}
			if s.Interval != wanted || w.Probes[i].Series != s.Series {
				t.Errorf("--rate %v: %s every %v, want %v", rate, s.Name, s.Interval, wanted)
			}
		}
	}
}
