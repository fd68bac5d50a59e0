package calibration

import (
	"fmt"
	"math"
	"slices"
	"time"

	"gwdr/probes"
)

// Judge compares the estimates with the truth. It is a pure function of what was recorded; who measured is for the caller to
// add.
func Judge(r Record) Document {
	d := Document{Schema: Schema, Started: r.Started, Ended: r.Ended, Seed: r.Seed, Rounds: r.Plan.Rounds,
		RateHz: math.Round(1e3*float64(time.Second)/float64(r.Plan.Interval)) / 1e3, Trials: []Trial{}}
	for _, k := range r.Known {
		d.Trials = append(d.Trials, r.trials(k)...)
	}
	d.conclude()
	return d
}

// trials judges one outage as a drill would: from the samples around it, by all guards.
func (r Record) trials(k Known) []Trial {
	w := probes.Window{From: k.From, Inject: k.Began.From, Until: k.To, Stable: r.Plan.Stable}
	around := slices.DeleteFunc(slices.Clone(r.Samples), func(s probes.Sample) bool { return s.Due < k.From || s.Due >= k.To })
	estimates := probes.EstimateAll(r.Series, around, w)
	findings := probes.Guards{Baseline: r.Plan.Baseline, Drift: r.Drift}.Check(estimates)
	var all []Trial
	for _, e := range estimates {
		if e.Series.Control {
			continue
		}
		t := Trial{Kind: k.Kind, Series: e.Series.Name, LimitS: e.Limit.Seconds()}
		t.measure(k, e, probes.Brownouts(e.Series, of(around, e.Series.Name), w))
		switch found := len(e.Outages); {
		case len(findings) > 0:
			t.Verdict, t.Reason = Inconclusive, findings[0].String()
		case found != 1:
			t.Verdict, t.Reason = Fail, fmt.Sprintf("%d outages found", found)
		case !e.RTA.Recovered:
			t.Verdict, t.Reason = Inconclusive, "not shown to be up again"
		default:
			t.compare(e.Series.Interval)
		}
		all = append(all, t)
	}
	return all
}

func of(samples []probes.Sample, series string) []probes.Sample {
	return slices.DeleteFunc(slices.Clone(samples), func(s probes.Sample) bool { return s.Series != series })
}

// measure notes truth and estimate. What the record itself shows to be a brown-out has the wider bounds of one.
func (t *Trial) measure(k Known, e probes.Estimate, brown []probes.Brownout) {
	t.Length.truth(k.length())
	t.RTA.truth(k.recovery())
	t.RTA.estimate(e.RTA.Low, e.RTA.Point, e.RTA.High)
	if len(e.Outages) != 1 {
		return
	}
	o := e.Outages[0]
	if len(brown) == 1 {
		o = brown[0].Outage
		t.RTA.HighS = (e.RTA.High + brown[0].Margin).Seconds()
	}
	t.Length.estimate(o.Low, o.End-o.Start, o.High)
}

func (b *Bracket) truth(e Edge) { b.TruthLowS, b.TruthHighS = e.From.Seconds(), e.To.Seconds() }

func (b *Bracket) estimate(low, point, high time.Duration) {
	b.LowS, b.PointS, b.HighS = low.Seconds(), point.Seconds(), high.Seconds()
}

// compare judges both brackets, unless the truth itself is not known well enough.
func (t *Trial) compare(interval time.Duration) {
	doubt := max(t.Length.TruthHighS-t.Length.TruthLowS, t.RTA.TruthHighS-t.RTA.TruthLowS)
	t.Verdict, t.Reason = t.encloses()
	if doubt > interval.Seconds()/2 {
		t.Verdict, t.Reason = Inconclusive, fmt.Sprintf("the truth is only known to %.1fms", 1e3*doubt)
	}
}

// encloses tells whether both brackets hold the truth: all of what it may be.
func (t *Trial) encloses() (Verdict, string) {
	length, why := t.Length.encloses("length")
	rta, whyRTA := t.RTA.encloses("RTA")
	switch {
	case length == Fail:
		return length, why
	case rta == Fail || length == Pass:
		return rta, whyRTA
	}
	return length, why
}

func (b Bracket) encloses(what string) (Verdict, string) {
	switch {
	case b.LowS <= b.TruthLowS && b.TruthHighS <= b.HighS:
		return Pass, ""
	case b.TruthHighS < b.LowS || b.TruthLowS > b.HighS:
		return Fail, fmt.Sprintf("true %s %.4fs is not in [%.4fs, %.4fs]", what, b.mid(), b.LowS, b.HighS)
	}
	return Inconclusive, fmt.Sprintf("a bound of %s lies where the truth is not known", what)
}

func (b Bracket) mid() float64 { return (b.TruthLowS + b.TruthHighS) / 2 }

// conclude makes the table, and the verdict, from the trials alone.
func (d *Document) conclude() {
	d.Rows = rows(d.Trials, d.RateHz)
	outside, inconclusive, thin := 0, 0, ""
	for _, r := range d.Rows {
		outside += r.Outside
		inconclusive += r.Inconclusive
		if 2*r.Inconclusive > r.N {
			thin = fmt.Sprintf("%d of %d measurements of %s, %s", r.Inconclusive, r.N, r.Kind, r.Series)
		}
	}
	switch n := len(d.Trials); {
	case outside > 0:
		d.Verdict, d.Reason = Fail, fmt.Sprintf("the truth lay outside of the bracket in %d of %d measurements", outside, n-inconclusive)
	case n == 0:
		d.Verdict, d.Reason = Inconclusive, "nothing was measured"
	case thin != "":
		d.Verdict, d.Reason = Inconclusive, "too much was inconclusive: "+thin+"; the first: "+d.firstDoubt()
	default:
		d.Verdict, d.Reason = Pass, fmt.Sprintf("the truth lay in the bracket in all of %d measurements", n-inconclusive)
	}
	if inconclusive > 0 && d.Verdict == Pass {
		d.Reason += fmt.Sprintf(", %d were inconclusive", inconclusive)
	}
}

func (d *Document) firstDoubt() string {
	for _, t := range d.Trials {
		if t.Verdict == Inconclusive {
			return t.Reason
		}
	}
	return ""
}

// rows folds the trials, in the order of Kinds and series.
func rows(trials []Trial, rate float64) []Row {
	all := []Row{}
	for _, kind := range Kinds() {
		bySeries := map[string][]Trial{}
		var names []string
		for _, t := range trials {
			if t.Kind != kind {
				continue
			}
			if bySeries[t.Series] == nil {
				names = append(names, t.Series)
			}
			bySeries[t.Series] = append(bySeries[t.Series], t)
		}
		slices.Sort(names)
		for _, name := range names {
			all = append(all, row(bySeries[name], rate))
		}
	}
	return all
}

func row(trials []Trial, rate float64) Row {
	r := Row{Kind: trials[0].Kind, Series: trials[0].Series, N: len(trials)}
	var errors, over []float64
	for _, t := range trials {
		switch t.Verdict {
		case Inconclusive:
			r.Inconclusive++
			continue
		case Pass:
			r.Inside++
		default:
			r.Outside++
		}
		e := t.Length.PointS - t.Length.mid()
		errors, over = append(errors, e), append(over, t.RTA.HighS-t.RTA.mid())
		if math.Abs(e) > math.Abs(r.MaxS) {
			r.MaxS = e
		}
		r.BoundS = max(r.BoundS, 1/rate+t.LimitS)
	}
	r.BiasS, r.SDS = meanSD(errors)
	r.OverS, _ = meanSD(over)
	return r
}

// meanSD returns the mean and the standard deviation of a sample.
func meanSD(values []float64) (mean, sd float64) {
	if len(values) == 0 {
		return 0, 0
	}
	for _, v := range values {
		mean += v / float64(len(values))
	}
	for _, v := range values {
		sd += float64((v - mean) * (v - mean)) // not fused with the addition, so that every machine gets the same
	}
	if len(values) < 2 {
		return mean, 0
	}
	return mean, math.Sqrt(sd / float64(len(values)-1))
}
