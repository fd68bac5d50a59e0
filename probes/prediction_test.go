package probes

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// notices plays a watcher. The change comes at a random instant of the first period.
func (w Watcher) notices(random *rand.Rand) time.Duration {
	if w.Sources < 2 {
		return w.noticesAlone(random)
	}
	var told []time.Duration
	for range w.Sources {
		phase := time.Duration(random.Int64N(int64(w.Every)))
		for n := range w.Count {
			told = append(told, phase+time.Duration(n)*w.Every+w.answer(random))
		}
	}
	slices.Sort(told)
	return told[w.Count-1]
}

func (w Watcher) answer(random *rand.Rand) time.Duration {
	return w.Answer.Best + time.Duration(random.Int64N(int64(w.Answer.Worst-w.Answer.Best)+1))
}

// noticesAlone plays one as a ticker drives it: it asks at each tick, or as soon as the answer before has come where it
// waits and a tick has passed.
func (w Watcher) noticesAlone(random *rand.Rand) time.Duration {
	changed := time.Duration(random.Int64N(int64(w.Every)))
	tick, free := w.Every, time.Duration(0)
	for told := 0; ; {
		begin := tick
		if w.Waits {
			begin = max(tick, free)
		}
		answer := w.answer(random)
		if told++; told == w.Count {
			return begin + answer - changed
		}
		if free = begin + answer; !w.Waits {
			tick += w.Every
			continue
		}
		tick = max(tick+w.Every, free/w.Every*w.Every) // one tick is kept for it, those before are dropped
	}
}

func drawWatcher(t *rapid.T, name string) Watcher {
	within := func(from, to int, what string) time.Duration {
		return time.Duration(rapid.IntRange(from, to).Draw(t, name+" "+what)) * time.Millisecond
	}
	quick := within(0, 300, "answer")
	w := Watcher{Every: within(10, 500, "every"), Count: rapid.IntRange(1, 5).Draw(t, name+" count"),
		Sources: rapid.IntRange(0, 6).Draw(t, name+" sources"), Answer: Even(quick, quick+within(0, 20, "answer more"))}
	w.Waits = w.Sources < 2 && rapid.Bool().Draw(t, name+" waits")
	return w
}

// TestPredictionHoldsWhatIsSimulated plays watchers with random phases, and compares them with the formulas: never sooner
// than best, never later than worst, and on the average as often said.
func TestPredictionHoldsWhatIsSimulated(t *testing.T) {
	const rounds = 2000
	rapid.Check(t, func(t *rapid.T) {
		watchers := []Watcher{drawWatcher(t, "first")}
		for i := range rapid.IntRange(0, 2).Draw(t, "others") {
			watchers = append(watchers, drawWatcher(t, "other"+string(rune('a'+i))))
		}
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		act := Even(time.Millisecond, 9*time.Millisecond)
		p := Predict(Setup{Notice: Soonest(watchers...), Act: act, TTL: 40 * time.Millisecond})
		mean := 0.0
		for range rounds {
			seen := time.Duration(1<<63 - 1)
			for _, w := range watchers {
				seen = min(seen, w.notices(random))
			}
			if seen < p.Detection.Best || seen > p.Detection.Worst {
				t.Fatalf("noticed after %s, predicted %+v", seen, p.Detection)
			}
			back := seen + act.Best + time.Duration(random.Int64N(int64(act.Worst-act.Best))) + time.Duration(random.Int64N(int64(40*time.Millisecond)))
			if back < p.Recovery.Best || back > p.Recovery.Worst {
				t.Fatalf("back after %s, predicted %+v", back, p.Recovery)
			}
			mean += float64(seen) / rounds
		}
		// The mean of so many varies by a few parts in a hundred of the width, and answers that outlast a period by chance are
		// taken at their mean.
		if near := 0.05*float64(p.Detection.Worst-p.Detection.Best) + float64(6*time.Millisecond); mean < float64(p.Detection.Mean)-near || mean > float64(p.Detection.Mean)+near {
			t.Fatalf("noticed after %s on the average, predicted %+v", time.Duration(mean), p.Detection)
		}
	})
}

func TestPredictByHand(t *testing.T) {
	const s = time.Second
	refused, silent := Spread{}, Even(5*s, 5*s)
	for name, test := range map[string]struct {
		setup               Setup
		detection, recovery Spread
	}{
		"three checks each 10 s, given up after 4 s, a minute of TTL": {
			Setup{Notice: Soonest(Watcher{Every: 10 * s, Count: 3, Answer: Even(4*s, 4*s), Waits: true}), TTL: 60 * s},
			Spread{24 * s, 29 * s, 34 * s}, Spread{24 * s, 59 * s, 94 * s}},
		"HAProxy, two seconds and three times":       {Setup{Notice: Soonest(Watcher{Every: 2 * s, Count: 3, Answer: refused, Waits: true})}, Spread{4 * s, 5 * s, 6 * s}, Spread{4 * s, 5 * s, 6 * s}},
		"checks that wait longer than their pace":    {Setup{Notice: Soonest(Watcher{Every: s, Count: 2, Answer: silent, Waits: true})}, Spread{10 * s, 10*s + s/2, 11 * s}, Spread{10 * s, 10*s + s/2, 11 * s}},
		"attempts that do not":                       {Setup{Notice: Soonest(Watcher{Every: s, Count: 2, Answer: silent})}, Spread{6 * s, 6*s + s/2, 7 * s}, Spread{6 * s, 6*s + s/2, 7 * s}},
		"the sooner of two alike":                    {Setup{Notice: Soonest(Watcher{Every: 3 * s, Count: 1}, Watcher{Every: 3 * s, Count: 1})}, Spread{0, s, 3 * s}, Spread{0, s, 3 * s}},
		"the third of four in a round":               {Setup{Notice: Soonest(Watcher{Every: 5 * s, Count: 3, Sources: 4})}, Spread{0, 3 * s, 5 * s}, Spread{0, 3 * s, 5 * s}},
		"repeated elsewhere":                         {Setup{Notice: Soonest(Watcher{Every: s, Count: 1}), Repeated: true}, Spread{0, s / 2, s}, Spread{}},
		"nothing to notice, and nothing to do":       {Setup{}, Spread{}, Spread{}},
		"what is back must be seen to work, as well": {Setup{Act: Even(s, s), Readmit: &Watcher{Every: 2 * s, Count: 2, Waits: true}}, Spread{}, Spread{3 * s, 4 * s, 5 * s}},
	} {
		p := Predict(test.setup)
		if off := p.Detection.Mean - test.detection.Mean; off.Abs() > time.Millisecond {
			t.Errorf("%s: detection %+v, not %+v", name, p.Detection, test.detection)
		}
		p.Detection.Mean = test.detection.Mean
		p.Recovery.Mean = p.Recovery.Mean.Round(time.Millisecond)
		if p.Detection != test.detection || p.Recovery != test.recovery {
			t.Errorf("%s: %+v, not %+v, %+v", name, p, test.detection, test.recovery)
		}
	}
}
