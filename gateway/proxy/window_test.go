package proxy

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestWindowForgets compares with a list of all events.
func TestWindowForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWindow(10 * time.Second)
		var events []time.Time
		born := time.Now()
		for i, pause := range []time.Duration{0, 1, 500, 499, 1000, 3000, 0, 7000, 2000, 9000, 9999, 10_000, 60_000, 100, 900, 8999} {
			time.Sleep(pause * time.Millisecond)
			now := time.Now()
			events = append(events, now)
			got := w.add(tally{all: 1, marked: 2}, now)
			var want int64
			for _, at := range events {
				if now.Sub(born)/time.Second-at.Sub(born)/time.Second < 10 {
					want++
				}
			}
			if got.all != want || got.marked != 2*want {
				t.Errorf("event %d: %+v, want %d", i, got, want)
			}
		}
	})
}
