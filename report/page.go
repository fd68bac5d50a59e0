package report

import (
	"fmt"
	"html/template"
	"strings"

	"gwdr/drills"
	"gwdr/probes"
	"gwdr/scenarios"
)

// page is what the template of the HTML report shows.
type page struct {
	*Bundle
	Style      template.CSS
	Cards      []card
	Chart      picture
	Legend     []group
	Attempts   *picture
	AttemptsOf closeUp
	Phases     []phaseRow
	Faults     []faultRow
	Planes     []planeRow
	Spreads    []spread
	Service    []serviceRow
	Predicted  []predictionRow
	Kinds      []kindRow
	Regions    []regionRow
	Digests    []drills.DigestFact
	Checks     []securityRow
	Controls   []control
	Bound      float64
}

func newPage(b *Bundle) page {
	s := b.story()
	p := page{
		Bundle: b, Chart: timelineChart(s), Legend: s.Groups, Phases: b.phaseRows(), Faults: b.faultRows(), Planes: b.planeRows(),
		Spreads: b.spreads(), Service: b.serviceRows(), Predicted: predictionRows(b.Result), Kinds: b.kindRows(), Regions: b.regionRows(), Digests: b.digests(), Checks: b.securityRows(),
		Controls: controlsOf(b.Scenario.Report.Controls), Bound: passBound(b.Passes),
	}
	for _, o := range b.Result.Objectives {
		p.Cards = append(p.Cards, b.card(o))
	}
	if u, ok := b.closeUp(s); ok {
		drawn := attemptsChart(u)
		p.Attempts, p.AttemptsOf = &drawn, u
	}
	return p
}

// Calibrated says how well the prober is known to measure on the drill's host.
func (p page) Calibrated() string { return calibrated(p.Result) }

// card is an objective: what was promised, what was achieved.
type card struct {
	drills.ObjectiveResult
	Label  string
	Main   string // the value without what explains it
	Rest   string
	Method string
	Bar    *picture
	Open   bool // nobody knows a bound: HighS is only how far was looked
}

// Bracket says between what the value lies.
func (c card) Bracket() string {
	if c.Open {
		return "at least " + human(c.LowS)
	}
	return bracket(c.LowS, c.HighS)
}

func (b *Bundle) card(o drills.ObjectiveResult) card {
	c := card{ObjectiveResult: o, Label: objectiveLabel(o), Method: method(o.Metric)}
	c.Main, c.Rest = splitValue(o.Value)
	rta, measured := b.Result.RTA[o.Plane]
	c.Open = o.Metric == scenarios.MetricRTA && measured && !rta.Recovered || o.Metric == scenarios.MetricRPA && b.Result.RPA.Open
	if promised := b.promised(o.ID); promised > 0 {
		bar := promiseBar(promised, o.LowS, o.HighS, o.Verdict)
		c.Bar = &bar
	}
	return c
}

// splitValue cuts a value where its explanation begins: "1.2s (±40ms)", "3 of 424 changes".
func splitValue(value string) (main, rest string) {
	i := strings.IndexAny(value, "(,")
	if of := strings.Index(value, " of "); of >= 0 && (i < 0 || of < i) {
		i = of
	}
	if i <= 0 {
		return value, ""
	}
	return strings.TrimSpace(value[:i]), strings.TrimSpace(strings.TrimPrefix(value[i:], ","))
}

// promised returns the bound of an objective in seconds, or 0 if it is a count.
func (b *Bundle) promised(id string) float64 {
	for _, o := range b.Scenario.Objectives {
		if o.ID == id && o.LE != nil {
			return o.LE.D().Seconds()
		}
	}
	return 0
}

func objectiveLabel(o drills.ObjectiveResult) string {
	switch {
	case o.Metric == "rta" && o.Plane == string(probes.DataPlane):
		return "Clients are served again"
	case o.Metric == "rta" && o.Plane == string(probes.ControlPlane):
		return "Changes are accepted again"
	case o.Metric == "rpa":
		return "Changes lost, in time"
	case o.Metric == "resurrected":
		return "Revoked keys revived"
	case o.Metric == "failed":
		return "Requests that failed"
	}
	return o.Metric
}

func method(metric string) string {
	switch metric {
	case "rta":
		return "From just before the first injector call to the end of the first right answer after the last bad one; attempts are " +
			"sent on schedule, whatever became of earlier ones; the worst series counts."
	case "rpa":
		return "From the newest acknowledged change before which nothing was lost to the injection; every change is read back from " +
			"each surviving region."
	case "resurrected":
		return "Every acknowledged revocation is read back from each surviving region, and each such key is tried at the data plane."
	case "failed":
		return "Every idempotent request that did not bring the right answer before its deadline."
	}
	return ""
}

// promiseBar draws the achieved bracket against the promise; the promise is the middle of three quarters of the bar.
func promiseBar(promised, low, high float64, v drills.Verdict) picture {
	const width, height = 260.0, 22.0
	p := picture{Width: width, Height: height, Title: "Achieved against promised",
		Desc: fmt.Sprintf("Achieved %s, promised %s.", bracket(low, high), human(promised))}
	x := scale{from: 0, to: max(promised, high) * 4 / 3, at: 1, end: width - 1}
	p.rect("bar-base", 1, 8, width-2, 6)
	p.rect("bar "+string(v), 1, 8, max(x.pos(high)-1, 2), 6)
	p.line("bar-target", x.pos(promised), 3, x.pos(promised), 19)
	return p
}
