package probes

import (
	"fmt"
	"time"
)

// The bounds of the guards.
const (
	baselineOK   = 0.999                 // share of ok attempts in the baseline
	baselineMade = 0.99                  // share of the attempts of the baseline that were made at all
	controlOK    = 0.99                  // share of ok attempts of a control target, throughout
	maxDrift     = 50 * time.Millisecond // between the monotonic and the wall clock
	coarseShare  = 10                    // 1/R + L may be so small a part of the promise
)

// Quality says how far the measurement of a series can be trusted.
type Quality struct {
	Baseline   time.Duration `json:"baseline_ns"`    // how long the baseline [From, Inject) was observed
	BaselineOK float64       `json:"baseline_ok"`    // share of the attempts made in it that were ok
	OK         float64       `json:"ok"`             // share of the attempts in [From, Until) that were ok
	Down       bool          `json:"down,omitempty"` // there was an outage in [From, Until); of a control target, a long one
	LagP99     time.Duration `json:"lag_p99_ns"`     // from due to sent, from From until stability was shown
	Unknown    int           `json:"unknown"`        // attempts not made where the first affected and the first ok one lie
	Missing    int           `json:"missing"`        // attempts that the record lacks
}

// Guards are the conditions without which a measurement is inconclusive.
type Guards struct {
	Baseline time.Duration           // how long the baseline must have been
	Targets  map[Plane]time.Duration // the smallest promised RTA of each plane that has one
	Drift    time.Duration           // of the monotonic against the wall clock during the drill
	Older    bool                    // hold to, and say, what builds before definitions 1 did: their reports stay verifiable
}

// The names of the guards.
const (
	GuardBaseline   = "baseline"
	GuardControl    = "control"
	GuardLag        = "lag"
	GuardUnknown    = "unknown"
	GuardMissing    = "missing"
	GuardResolution = "resolution"
	GuardDrift      = "drift"
)

// Finding is a guard that did not hold.
type Finding struct {
	Guard  string `json:"guard"`
	Series string `json:"series,omitempty"`
	Text   string `json:"text"`
}

// String returns the finding as a sentence for people.
func (f Finding) String() string {
	if f.Series == "" {
		return f.Guard + ": " + f.Text
	}
	return f.Guard + ": " + f.Series + ": " + f.Text
}

// Check returns every guard that does not hold, in the order of the estimates; none means that the measurement can be
// judged.
func (g Guards) Check(estimates []Estimate) []Finding {
	var all []Finding
	control := false
	for _, e := range estimates {
		if e.Series.Control {
			control = true
			all = append(all, g.checkControl(e, estimates)...)
		} else {
			all = append(all, g.checkSeries(e)...)
		}
	}
	if !control {
		all = append(all, Finding{Guard: GuardControl, Text: "no control target was probed"})
	}
	if g.Drift.Abs() >= maxDrift {
		text := fmt.Sprintf("clocks drifted apart by %s, %s is the limit", g.Drift, maxDrift)
		all = append(all, Finding{Guard: GuardDrift, Text: text})
	}
	return all
}

// checkControl holds a control target to the definition of up: it was never down, and at least 99 % ok; and more where the
// bounds of the others come from. What the record lacks may have been just there.
func (g Guards) checkControl(e Estimate, estimates []Estimate) []Finding {
	if n := e.Quality.Missing; n > 0 && !g.Older {
		return []Finding{{Guard: GuardMissing, Series: e.Series.Name, Text: fmt.Sprintf("the record lacks %d attempts", n)}}
	}
	if !e.Quality.Down && e.Quality.OK >= controlOK {
		for _, other := range estimates {
			if disturbed := g.checkEdges(e, other); disturbed != nil {
				return disturbed
			}
		}
		return nil
	}
	return []Finding{{Guard: GuardControl, Series: e.Series.Name, Text: fmt.Sprintf(
		"only %.1f%% ok, though no fault touches it: the prober itself was disturbed", 100*e.Quality.OK)}}
}

func (g Guards) checkSeries(e Estimate) []Finding {
	var all []Finding
	add := func(guard, format string, args ...any) {
		all = append(all, Finding{Guard: guard, Series: e.Series.Name, Text: fmt.Sprintf(format, args...)})
	}
	q := e.Quality
	all = append(all, g.checkBaseline(e.Series.Name, q)...)
	if late := e.Series.Interval / 2; g.Older && q.LagP99 >= late {
		add(GuardLag, "attempts were sent late: p99 %s, half an interval is %s", round(q.LagP99), late)
	}
	if late := e.Series.MaxLate(); !g.Older && q.LagP99 >= late {
		add(GuardLag, "attempts were sent late: p99 %s, %s is the limit", round(q.LagP99), late)
	}
	if q.Unknown > 0 {
		add(GuardUnknown, "%d attempts were not made at the edges of the outage", q.Unknown)
	}
	if q.Missing > 0 {
		add(GuardMissing, "the record lacks %d attempts", q.Missing)
	}
	if target, ok := g.Targets[e.Series.Plane]; ok && e.RTA.Error > target/coarseShare {
		add(GuardResolution, "1/R + L is %s: too coarse for a promise of %s", round(e.RTA.Error), target)
	}
	return all
}

func (g Guards) checkBaseline(series string, q Quality) []Finding {
	var all []Finding
	if q.Baseline < g.Baseline || q.Baseline == 0 {
		text := fmt.Sprintf("observed for %s, not %s", round(q.Baseline), g.Baseline)
		all = append(all, Finding{Guard: GuardBaseline, Series: series, Text: text})
	}
	if q.BaselineOK < baselineOK {
		text := fmt.Sprintf("%.2f%% ok, %.1f%% is the least", 100*q.BaselineOK, 100*baselineOK)
		all = append(all, Finding{Guard: GuardBaseline, Series: series, Text: text})
	}
	return all
}

func round(d time.Duration) time.Duration { return d.Round(time.Millisecond / 10) }

func qualityOf(s Series, samples []Sample, w Window, r RTA) Quality {
	baseline, all := between(samples, w.From, w.Inject), between(samples, w.From, w.Until)
	q := Quality{
		BaselineOK: baselineShare(baseline, w), Unknown: unknownAtEdges(samples, w, r), Missing: missing(samples),
	}
	q.Down, q.OK = len(outages(s, all, w)) > 0, share(all, func(a *Sample) bool { return judge(a, w.Limit) == good })
	if s.Control && !w.Older {
		q.Down = stalled(outages(s, all, w))
		q.OK = share(all, func(a *Sample) bool { return calm(a, s.Interval, w.Limit) })
	}
	if s.Control { // an attempt that the record lacks at its end, or altogether, was not ok either
		q.OK *= madeShare(s, all, w)
	}
	if n := len(baseline); n > 0 {
		q.Baseline = baseline[n-1].Due - baseline[0].Due + 2*s.Interval
	}
	decisive := w.Until
	if r.Recovered {
		decisive = r.StableAt
	}
	q.LagP99 = lag(between(samples, w.From, decisive))
	return q
}

// baselineShare returns the share of ok attempts among those of a baseline that were made, for one that was not tells of the prober,
// and lag judges that; and without those that were in flight at the injection and not yet late: what the fault did to them is
// not the baseline's fault. It copies none: there may be millions.
func baselineShare(baseline []Sample, w Window) float64 {
	made, ok := 0, 0
	for i := range baseline {
		s := &baseline[i]
		if met := s.Due > w.Inject-w.Limit && s.Done >= w.Inject; met || s.Class == Unknown {
			continue
		}
		made++
		if judge(s, w.Limit) == good {
			ok++
		}
	}
	if made == 0 {
		return 1
	}
	return float64(ok) / float64(made)
}

// madeShare returns how many of the attempts that were due in [From, Until) there are; all where Until is not known.
func madeShare(s Series, samples []Sample, w Window) float64 {
	due := 1.0
	if w.Until != forever {
		due = float64((w.Until - w.From) / s.Interval)
	}
	return min(float64(len(samples))/max(due, 1), 1)
}

// share returns the share of samples for which it holds; of none, it holds for all.
func share(samples []Sample, holds func(*Sample) bool) float64 {
	if len(samples) == 0 {
		return 1
	}
	n := 0
	for i := range samples {
		if holds(&samples[i]) {
			n++
		}
	}
	return float64(n) / float64(len(samples))
}

// lag returns the p99 of the time from due to sent.
func lag(samples []Sample) time.Duration {
	h := newHistogram()
	for i := range samples {
		record(h, samples[i].Sent-samples[i].Due)
	}
	return at(h, 99)
}

// unknownAtEdges counts the attempts that were not made where the estimate takes its bounds from: between the last ok and
// the first affected attempt, and between the last affected one and the next that was ok.
func unknownAtEdges(samples []Sample, w Window, r RTA) int {
	if r.Impact == NoImpact {
		return 0
	}
	unknown, sinceOK := 0, 0
	for i := range samples {
		s := &samples[i]
		switch {
		case s.Class != Unknown:
			if s.Due == r.FirstAffected {
				unknown += sinceOK
			}
			sinceOK = 0
		case s.Due > w.Inject+r.Low && s.Due < w.Inject+r.Point:
			unknown++
		default:
			sinceOK++
		}
	}
	return unknown
}

// missing counts the gaps in the sequence numbers.
func missing(samples []Sample) int {
	if len(samples) == 0 {
		return 0
	}
	return int(samples[len(samples)-1].Seq-samples[0].Seq) + 1 - len(samples)
}
