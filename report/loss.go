package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"gwdr/drills"
	"gwdr/probes"
)

// maxNamed bounds how many changes of one class the text names; the JSON names all.
const maxNamed = 4

// lossLines say what became of the changes: how many were lost, which, and what is not known.
func lossLines(r drills.RPA) [][2]string {
	if r.Statement == "" {
		return nil
	}
	lines := [][2]string{{"changes", r.Statement}}
	if r.LossDetail == nil {
		return lines
	}
	for _, class := range []probes.LossClass{probes.Resurrected, probes.Lost, probes.Corrupt, probes.Stale, probes.Phantom, probes.Duplicate} {
		if ids := named(r.Changes, class); len(ids) > 0 {
			lines = append(lines, [2]string{string(class), list(ids)})
		}
	}
	if r.Indeterminate > 0 {
		lines = append(lines, [2]string{"unknown", fmt.Sprintf("%s had no clear answer: never counted as lost, %s there",
			counted(r.Indeterminate, "change"), grouped(r.Recovered))})
	}
	return lines
}

// named returns the changes of the class, each once, by kind and number in the ledger; what no change made, by its id.
func named(changes []probes.LossItem, class probes.LossClass) []string {
	changes = slices.DeleteFunc(slices.Clone(changes), func(i probes.LossItem) bool { return i.Class != class })
	slices.SortFunc(changes, func(a, b probes.LossItem) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Seq, b.Seq), cmp.Compare(a.ID, b.ID))
	})
	var ids []string
	for _, i := range changes {
		id := fmt.Sprintf("%s #%d", i.Kind, i.Seq)
		if i.Seq == 0 {
			id = fmt.Sprintf("%s %s", i.Kind, i.ID)
		}
		ids = append(ids, id)
	}
	return slices.Compact(ids)
}

func list(ids []string) string {
	if more := len(ids) - maxNamed; more > 0 {
		return fmt.Sprintf("%s and %s more: see %s", strings.Join(ids[:maxNamed], ", "), grouped(more), drills.ReportFile)
	}
	return strings.Join(ids, ", ")
}

// watchedLedgerLines are lossLines of a watch, with what the recovery point is counted back from.
func watchedLedgerLines(l *drills.WatchedLedger) [][2]string {
	if l == nil {
		return nil
	}
	lines := lossLines(l.RPA)
	if l.Lost+l.Stale+l.Resurrected > 0 {
		from := map[string]string{"mark": "the mark", "first-unacknowledged": "the first change that was not acknowledged", "end": "the last change"}[l.RPAFrom]
		rpa := bracket(l.LowS, l.HighS)
		if l.Open {
			rpa = "at least " + human(l.LowS)
		}
		lines = append(lines, [2]string{"RPA", rpa + " before " + from})
	}
	for _, kind := range slices.Sorted(maps.Keys(l.Uncovered)) {
		lines = append(lines, [2]string{"no ledger", fmt.Sprintf("of %s: %s", kind, l.Uncovered[kind])})
	}
	for _, f := range l.Findings {
		lines = append(lines, [2]string{"finding", f})
	}
	return lines
}
