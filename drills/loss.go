package drills

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"gwdr/probes"
)

// losses is what a ledger and its read-back show, and what they do not.
type losses struct {
	loss   probes.Loss
	unread []string // regions that were not read back, and when
	older  bool     // say it as builds before definitions 1 did
}

// afterRevert marks the regions of the final read-back.
const afterRevert = " after the revert"

// compareLedger judges the loss by both read-backs: with the faults still in effect, and in the end, when whatever came
// back may have taken something away again. Each change counts by the worst that either shows.
func (j *judgement) compareLedger(inject time.Duration) {
	f := &j.facts
	seen := slices.Clone(f.Survivors)
	for _, o := range f.Final {
		o.Region += afterRevert
		seen = append(seen, o)
	}
	loss := probes.EstimateLoss(f.Ledger, seen, inject)
	if before := gone(probes.EstimateLoss(f.Ledger, f.Survivors, inject)); len(f.Survivors) > 0 && gone(loss) > before {
		j.finding("the revert took away what had survived the fault: %s lost before it, %d after", changes(before, f.Definitions, "was", "were"), gone(loss))
	}
	if f.Definitions == 0 {
		loss = loss.WithUnseen()
	}
	j.loss, j.older = loss, f.Definitions == 0
	j.unread = j.regionsUnread()
	j.result.RPA = newRPA(loss)
	for _, u := range f.Unread {
		region := u.Region
		if u.Stage == Reconciling {
			if region += afterRevert; !slices.Contains(j.unread, region) { // one that was not there before the fault
				j.unread = append(j.unread, region)
			}
		} else {
			j.unread = append(j.unread, u.Region+" with the fault in effect")
		}
		j.result.RPA.UnreadRegions = append(j.result.RPA.UnreadRegions, region)
		j.finding("region %s could not be read back, and is not counted: %s", region, u.Error)
	}
	j.result.Findings = append(j.result.Findings, lossFindings(loss, f.Definitions)...)
	if f.Definitions == 0 {
		j.result.RPA.LossDetail = nil
	}
}

// regionsUnread names the regions that were there before the fault and are missing from the final read-back.
func (j *judgement) regionsUnread() []string {
	var missing []string
	for _, d := range j.facts.Digests {
		read := func(o probes.Observation) bool { return o.Region == d.Region }
		if d.Stage == Preflight && !slices.ContainsFunc(j.facts.Final, read) {
			missing = append(missing, d.Region+afterRevert)
		}
	}
	return missing
}

// newRPA is the loss as a result tells it.
func newRPA(l probes.Loss) RPA {
	r := RPA{LowS: l.RPA.Low.Seconds(), HighS: l.RPA.High.Seconds(), Open: l.RPA.Open, Acked: l.Acked, Lost: l.Lost + l.Corrupt, Stale: l.Stale,
		Resurrected: l.Resurrected, Indeterminate: l.Indeterminate, ByKind: map[string]int{}, Statement: l.Statement, LossDetail: newLossDetail(l)}
	for kind, n := range l.ByKind {
		r.ByKind[string(kind)] = n
	}
	return r
}

func newLossDetail(l probes.Loss) *LossDetail {
	d := &LossDetail{Checked: l.Checked, Unseen: l.Unseen, Unread: l.Unread, Corrupt: l.Corrupt, Phantom: l.Phantom, Duplicate: l.Duplicate,
		Rejected: l.Rejected, Recovered: l.Recovered, ByRegion: l.ByRegion, Changes: l.Items}
	if f := l.Fork; f != nil {
		d.Fork = &Fork{FirstS: f.First.Seconds(), LastS: f.Last.Seconds(), Count: f.Count}
	}
	return d
}

// changes counts them, with the verb that goes with the number. Builds before definitions 2 wrote "1 changes are".
func changes(n, definitions int, is, are string) string {
	if n == 1 && definitions > 1 {
		return "1 change " + is
	}
	return fmt.Sprintf("%d changes %s", n, are)
}

// lossFindings says what is odd about a loss, beside its size.
func lossFindings(l probes.Loss, definitions int) (all []string) {
	add := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	if l.Holes > 0 {
		add("what survived is no state of one instant: %s lost although later ones survived", changes(l.Holes, definitions, "is", "are"))
	}
	if l.Fork != nil {
		add("fork window: %s acknowledged after the fault did not survive", changes(l.Fork.Count, definitions, "that was", "that were"))
	}
	if l.Phantom > 0 {
		add("%s rejected or never sent", changes(l.Phantom, definitions, "is there although it was", "are there although they were"))
	}
	if l.Duplicate > 0 {
		add("%s there twice", changes(l.Duplicate, definitions, "is", "are"))
	}
	return all
}

func gone(l probes.Loss) int { return l.Lost + l.Stale + l.Resurrected + l.Corrupt }

// convergence returns how long after the revert all regions agreed, if there are several.
func (j *judgement) convergence() *Convergence {
	regions := map[string]bool{}
	for _, d := range j.facts.Digests {
		regions[d.Region] = true
	}
	s := j.facts.Settled
	if len(regions) < 2 || s == nil || s.Agreed == nil {
		return nil
	}
	a := s.Agreed
	return &Convergence{LowS: (a.Low - a.Healed).Seconds(), HighS: (a.High - a.Healed).Seconds()}
}

// judgeRPA judges the bracket of the recovery point against the promise.
func (j *losses) judgeRPA(r *ObjectiveResult, target time.Duration) {
	l := j.loss
	r.LowS, r.HighS = l.RPA.Low.Seconds(), l.RPA.High.Seconds()
	defer j.doubt(r)
	switch lost := gone(l); {
	case l.Shown() == 0 && lost == 0:
		r.Value, r.Verdict = "not measured", Inconclusive
	case lost == 0:
		r.Value, r.Verdict = fmt.Sprintf("0 of %d changes lost", l.Shown()), Pass
	case l.RPA.Open:
		r.Value = fmt.Sprintf("at least %s, %d of %d changes lost", round(l.RPA.Low), lost, l.Shown())
		r.Verdict = verdictUnless(l.RPA.Low > target, Fail)
	default:
		r.Value = fmt.Sprintf("%s (%s to %s), %d of %d changes lost", round(l.RPA.Point), round(l.RPA.Low), round(l.RPA.High), lost, l.Shown())
		r.Verdict = within(l.RPA.Low, l.RPA.High, target)
	}
}

// judgeResurrected judges how many revocations are undone.
func (j *losses) judgeResurrected(r *ObjectiveResult, want int64) {
	l := j.loss
	r.Value = fmt.Sprintf("%d of %d revocations", l.Resurrected, l.Revoked)
	r.Verdict = verdictIf(int64(l.Resurrected) == want)
	if r.Verdict == Pass && l.Revoked == 0 { // nothing could have come back
		r.Verdict = Inconclusive
	}
	j.doubt(r)
}

// doubt takes a pass back that rests on less than all of what was acknowledged: what was not read may be lost.
func (j *losses) doubt(r *ObjectiveResult) {
	if r.Verdict != Pass {
		return
	}
	if j.loss.Unread > 0 {
		r.Value, r.Verdict = fmt.Sprintf("%s, %d could not be read back", r.Value, j.loss.Unread), Inconclusive
	}
	if len(j.unread) > 0 && j.older {
		names := strings.ReplaceAll(strings.Join(j.unread, ", "), afterRevert, "")
		r.Value, r.Verdict = fmt.Sprintf("%s, %s not read back after the revert", r.Value, names), Inconclusive
	} else if len(j.unread) > 0 {
		r.Value, r.Verdict = fmt.Sprintf("%s; not read back: %s", r.Value, strings.Join(j.unread, ", ")), Inconclusive
	}
}
