package report

import (
	"fmt"
	"html/template"
	"maps"
	"slices"
	"strings"

	"gwdr/drills"
	"gwdr/probes"
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
		Spreads: b.spreads(), Kinds: b.kindRows(), Regions: b.regionRows(), Digests: b.digests(), Checks: b.securityRows(),
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

// card is an objective: what was promised, what was achieved.
type card struct {
	drills.ObjectiveResult
	Label  string
	Main   string // the value without what explains it
	Rest   string
	Method string
	Bar    *picture
}

func (b *Bundle) card(o drills.ObjectiveResult) card {
	c := card{ObjectiveResult: o, Label: objectiveLabel(o), Method: method(o.Metric)}
	c.Main, c.Rest = splitValue(o.Value)
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
		return "Resurrected objects"
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
		return "Every acknowledged deletion and revocation is read back from each surviving region, keys at the data plane too."
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

// phaseRow is a phase with how long it took.
type phaseRow struct {
	drills.TimelineEntry
	Detail   string
	Since    string // since the first injection
	Duration string
}

func (b *Bundle) phaseRows() []phaseRow {
	var rows []phaseRow
	for i, s := range b.phaseSpans() {
		row := phaseRow{TimelineEntry: b.Result.Timeline[i], Duration: human(s.To - s.From)}
		if zero := b.injected().Seconds(); zero > 0 {
			row.Since = signed(s.From - zero)
		}
		rows = append(rows, row)
	}
	return rows
}

// faultRow is a fault with what its verification saw.
type faultRow struct {
	drills.FaultResult
	Detail string
	Held   string
}

func (b *Bundle) faultRows() []faultRow {
	var rows []faultRow
	for _, f := range b.Result.Faults {
		row := faultRow{FaultResult: f, Held: "–"}
		if f.Injected != nil && f.Reverted != nil {
			row.Held = human(f.Reverted.Sub(*f.Injected).Seconds())
		}
		i := slices.IndexFunc(b.Facts.Faults, func(facts drills.FaultFacts) bool { return facts.ID == f.ID })
		if i >= 0 {
			row.Detail = b.Facts.Faults[i].Detail
		}
		rows = append(rows, row)
	}
	return rows
}

// planeRow is the achieved recovery time of a plane.
type planeRow struct {
	Plane string
	drills.RTA
}

func (b *Bundle) planeRows() []planeRow {
	var rows []planeRow
	for _, plane := range []string{string(probes.DataPlane), string(probes.ControlPlane)} {
		if rta, ok := b.Result.RTA[plane]; ok {
			rows = append(rows, planeRow{plane, rta})
		}
	}
	return rows
}

// spread is the latency before, during or after.
type spread struct {
	When string
	drills.Latency
}

func (b *Bundle) spreads() []spread {
	var rows []spread
	for _, when := range []string{"before", "during", "after"} {
		if l, ok := b.Result.Latency[when]; ok {
			rows = append(rows, spread{when, l})
		}
	}
	return rows
}

// kindRow counts the ledger's changes of one kind.
type kindRow struct {
	Kind                                                    probes.ChangeKind
	Made, Acked, Rejected, Indeterminate, Unanswered, Wrong int
}

func (b *Bundle) kindRows() []kindRow {
	kinds := []probes.ChangeKind{probes.RouteChange, probes.SpecChange, probes.KeyChange, probes.RevokeChange}
	var rows []kindRow
	for _, kind := range kinds {
		row := kindRow{Kind: kind, Wrong: b.Result.RPA.ByKind[string(kind)]}
		for _, e := range b.Facts.Ledger {
			row.count(e)
		}
		row.Unanswered = row.Made - row.Acked - row.Rejected - row.Indeterminate
		if row.Made > 0 {
			rows = append(rows, row)
		}
	}
	return rows
}

// count takes a line of the ledger: an intent has no result.
func (r *kindRow) count(e probes.Entry) {
	if e.Change.Kind != r.Kind {
		return
	}
	switch e.Result {
	case probes.Acked:
		r.Acked++
	case probes.Rejected:
		r.Rejected++
	case probes.Indeterminate:
		r.Indeterminate++
	default:
		r.Made++
	}
}

// regionRow is what was read back from a region, at one time, by the two methods.
type regionRow struct {
	Region, When     string
	Listed, Asked    int // objects read through the admin API, and asked for at the data plane
	Unreadable       int
	Revoked, Refused int // keys with a revocation, and those of them that the data plane refused
}

func (b *Bundle) regionRows() []regionRow {
	return append(readBack("fault in effect", b.Facts.Survivors), readBack("after the revert", b.Facts.Final)...)
}

// readBack counts observations by region, in the order of the regions' names.
func readBack(when string, all []probes.Observation) []regionRow {
	byRegion := map[string]*regionRow{}
	for _, o := range all {
		if byRegion[o.Region] == nil {
			byRegion[o.Region] = &regionRow{Region: o.Region, When: when}
		}
		byRegion[o.Region].count(o)
	}
	var rows []regionRow
	for _, region := range slices.Sorted(maps.Keys(byRegion)) {
		rows = append(rows, *byRegion[region])
	}
	return rows
}

func (r *regionRow) count(o probes.Observation) {
	if o.Error != "" {
		r.Unreadable++
		return
	}
	r.Listed++
	if o.Data >= 0 {
		r.Asked++
	}
	if o.Revoked {
		r.Revoked++
		if o.Refused {
			r.Refused++
		}
	}
}

// Agreement says whether the regions have the same configuration.
func (p page) Agreement() string {
	digests := map[string]bool{}
	for _, d := range p.Digests {
		if d.Digest != "" {
			digests[d.Digest] = true
		}
	}
	switch len(digests) {
	case 0:
		return "No configuration digest was taken."
	case 1:
		return "All regions that were asked have the same configuration digest."
	}
	return "The regions have different configuration digests."
}

// securityRow is a check of the gateway's security while it was broken.
type securityRow struct {
	Check   string
	Verdict drills.Verdict
	Found   string
}

func (b *Bundle) securityRows() []securityRow {
	var rows []securityRow
	if refusals, letIn, other := b.security(); refusals+letIn+other > 0 {
		row := securityRow{Check: "A revoked key is refused with 401, throughout the drill", Verdict: drills.Pass,
			Found: fmt.Sprintf("%s of %s refused, %s let in; the others got no answer", grouped(refusals), counted(refusals+letIn+other, "attempt"), grouped(letIn))}
		if other == 0 {
			row.Found = strings.TrimSuffix(row.Found, "; the others got no answer")
		}
		if letIn > 0 {
			row.Verdict = drills.Fail
		}
		rows = append(rows, row)
	}
	if len(b.Facts.Survivors)+len(b.Facts.Final) == 0 {
		return rows
	}
	row := securityRow{Check: "What was deleted or revoked stays so after the recovery", Verdict: drills.Pass,
		Found: fmt.Sprintf("%s came back", counted(b.Result.RPA.Resurrected, "object"))}
	if b.Result.RPA.Resurrected > 0 {
		row.Verdict = drills.Fail
	}
	return append(rows, row)
}
