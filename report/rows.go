package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"gwdr/drills"
	"gwdr/probes"
	"gwdr/scenarios"
)

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
	var rows []kindRow
	for _, kind := range probes.ChangeKinds() {
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
			Found: fmt.Sprintf("%s of %s refused, %s let in; the others failed", grouped(refusals), counted(refusals+letIn+other, "attempt"), grouped(letIn))}
		if other == 0 {
			row.Found = strings.TrimSuffix(row.Found, "; the others failed")
		}
		if letIn > 0 {
			row.Verdict = drills.Fail
		}
		rows = append(rows, row)
	}
	if row, ok := b.revokedStay(); ok {
		rows = append(rows, row)
	}
	return rows
}

// revokedStay is the check of the keys that the ledger revoked, if any was read back. An objective for them decides.
func (b *Bundle) revokedStay() (securityRow, bool) {
	read := 0
	for _, r := range b.regionRows() {
		read += r.Revoked
	}
	row := securityRow{Check: "A key that was revoked during the drill stays dead after the recovery", Verdict: drills.Pass,
		Found: fmt.Sprintf("%s read back, %s work again", counted(read, "revocation"), grouped(b.Result.RPA.Resurrected))}
	if b.Result.RPA.Resurrected > 0 {
		row.Verdict = drills.Fail
	}
	for _, o := range b.Result.Objectives {
		if o.Metric == scenarios.MetricResurrected {
			row.Verdict = o.Verdict
		}
	}
	return row, read > 0 || b.Result.RPA.Resurrected > 0
}
