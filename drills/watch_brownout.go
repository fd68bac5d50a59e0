package drills

import (
	"fmt"
	"time"

	"gwdr/probes"
)

// brownouts gives the outages that spared some requests the wider bounds of such. So it does with RTA if the last of them is
// one: here nobody but the prober says what was broken, and a promise must not be kept by what it was too lucky to see.
func (j *watchJudgement) brownouts(e *probes.Estimate, all []probes.Brownout) {
	margin := time.Duration(0) // of the last outage
	for i, o := range e.Outages {
		margin = 0
		for _, b := range all {
			if b.End == o.End {
				e.Outages[i], margin = b.Outage, b.Margin
				j.result.Warnings = append(j.result.Warnings, fmt.Sprintf("outage of %s at %s spared some requests: it may have begun %s earlier, and ended as much later",
					e.Series.Name, round(o.Start), round(b.Margin)))
			}
		}
	}
	if e.RTA.Impact != probes.NoImpact && e.RTA.Recovered {
		e.RTA.High += margin
		e.RTA.Error += margin
	}
}
