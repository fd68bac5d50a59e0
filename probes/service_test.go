package probes

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// served makes a sample every 20 ms for 10 s by two instances in turn: up to 2 s in 1 ms by both, then up to back an outage,
// then slowly up to quick, and by one instance alone up to joined.
func served(back, quick, joined time.Duration) []Sample {
	samples := script("9.", "9.", "9.", "9.", "9.", "5.")
	for i := range samples {
		s := &samples[i]
		s.Instance = []string{"a", "b"}[i%2]
		switch {
		case s.Due < 2*time.Second:
		case s.Due < back:
			s.Class = FailRefused
		case s.Due < quick:
			s.Done = s.Due + 5*ms
		}
		if s.Due >= 2*time.Second && s.Due < joined {
			s.Instance = "a"
		}
	}
	return samples
}

func TestFullServiceIsBackWhenTheLastConditionIs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(label string) time.Duration {
			return 2*time.Second + tick*time.Duration(rapid.IntRange(0, 150).Draw(t, label))
		}
		back := draw("back")
		quick, joined := max(back, draw("quick")), max(back, draw("joined"))
		at, ok := FullService(served(back, quick, joined), Window{Inject: 2 * time.Second, Stable: 2 * time.Second}, "a", "b")
		want := max(back, quick, joined)
		if early := 2 * tick; !ok || at < want-early || at > want+3*tick { // 1 % of the window may still be slow
			t.Errorf("%v %v, want about %v", at, ok, want)
		}
	})
}

func TestFullServiceIsNotSeen(t *testing.T) {
	w := Window{Inject: 2 * time.Second, Stable: 2 * time.Second}
	for name, samples := range map[string][]Sample{
		"slow to the end":             served(3*time.Second, time.Hour, 0),
		"an instance is missing":      served(3*time.Second, 0, time.Hour),
		"observed for too short":      served(9*time.Second, 0, 0),
		"nothing to compare with":     between(served(3*time.Second, 0, 0), 2*time.Second, forever),
		"nothing was observed at all": nil,
	} {
		if at, ok := FullService(samples, w, "a", "b"); ok {
			t.Errorf("%s: %v", name, at)
		}
	}
}
