package vantage

import (
	"testing"
	"time"
)

func TestALeaseOutlivesABeatThatIsLost(t *testing.T) {
	for lease, want := range map[time.Duration]time.Duration{
		10 * time.Minute: beatEvery, 10 * time.Second: beatEvery, time.Second: time.Second / 4, 0: leastBeat, -time.Hour: leastBeat,
	} {
		r := &receiver{Session: &Session{opened: Opened{Lease: lease}}}
		if got := r.beatEvery(); got != want {
			t.Errorf("lease %s: a beat each %s, want %s", lease, got, want)
		}
	}
}
