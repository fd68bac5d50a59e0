package drills

import (
	"slices"
	"strings"

	"gwdr/probes"
)

// ended says what the drill did not show because faults ended by themselves.
func (j *judgement) ended() {
	for _, plane := range planesInOrder {
		rta, measured := probes.Worst(j.estimates, plane)
		if ids := j.outlasted(plane); len(ids) > 0 && (j.facts.Definitions < 5 || measured && rta.Recovered) {
			j.finding("the %s plane was back only after %s had ended: that shows how it comes back from the fault, not that it does while the fault lasts",
				plane, strings.Join(ids, ", "))
		}
	}
	var over []string
	for _, f := range j.facts.Faults {
		if f.Released > 0 {
			over = append(over, f.ID)
		}
	}
	if len(over) > 0 && len(j.facts.Survivors) > 0 {
		j.finding("%s had ended when the changes were read back: what only their targets had counts as kept", strings.Join(over, ", "))
	}
}

// outlasted returns the ids of the faults that ended by themselves during an outage of the plane: it may have been over because
// the fault was.
func (j *judgement) outlasted(plane probes.Plane) []string {
	var ids []string
	for _, f := range j.facts.Faults {
		if f.Released > 0 && slices.ContainsFunc(j.estimates, func(e probes.Estimate) bool {
			return !e.Series.Control && e.Series.Plane == plane && slices.ContainsFunc(e.Outages, func(o probes.Outage) bool {
				return o.Start < f.Released && (o.End == 0 || f.Released < o.End)
			})
		}) {
			ids = append(ids, f.ID)
		}
	}
	return ids
}
