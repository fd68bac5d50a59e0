package drills

import (
	"strings"
	"testing"
	"time"

	"gwdr/probes"
)

// half is what was recorded of a watch at 50/s, in which every second attempt of one second failed.
func half() WatchFacts {
	f := WatchFacts{Complete: true, Definitions: definitions, Baseline: Span{To: 2 * sec}, Plan: WatchPlan{Stable: sec, Baseline: 2 * sec,
		RTO: 1100 * time.Millisecond, Targets: []WatchTarget{{URL: "http://gateway/", Expect: 200}, {URL: "http://control/", Expect: 200, Control: true}}}}
	for i, name := range []string{"fresh", "control"} {
		s := probes.Series{Name: name, Plane: probes.DataPlane, Interval: 20 * time.Millisecond, Timeout: sec, Control: i == 1}
		f.Plan.Series = append(f.Plan.Series, WatchSeries{Series: s, Target: i})
		for seq := range int64(300) {
			due := time.Duration(seq) * s.Interval
			a := probes.Sample{Series: name, Seq: seq, Due: due, Sent: due, Done: due + time.Millisecond, Class: probes.OK}
			if i == 0 && due >= 3*sec && due < 4*sec && seq%2 == 0 {
				a.Class = probes.FailStatus
			}
			f.Samples = append(f.Samples, a)
		}
	}
	return f
}

// TestAWatchKnowsNoBetterWhereABrownoutEnds: a promise of 1.1 s is not kept for sure by an outage that was seen for 1 s, and
// spared every second request.
func TestAWatchKnowsNoBetterWhereABrownoutEnds(t *testing.T) {
	r := JudgeWatch(half())
	o := r.Series[0].Outages[0]
	if r.Verdict != Inconclusive || o.LowS > 1 || o.HighS < 1.4 || len(r.Findings) > 0 {
		t.Errorf("%s: %s; %+v, %q", r.Verdict, r.Reason, o, r.Findings)
	}
	if len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "outage of fresh at 3s spared some requests") {
		t.Errorf("%q", r.Warnings)
	}
	f := half()
	f.Marks = []time.Duration{3 * sec}
	if r := JudgeWatch(f); r.Verdict != Inconclusive || r.RTA.HighS < 1.2 || r.RTA.LowS > 1 {
		t.Errorf("from a mark: %s: %s; %+v", r.Verdict, r.Reason, r.RTA)
	}
	f.Definitions = 0
	if r := JudgeWatch(f); r.Verdict != Pass || len(r.Warnings) > 0 {
		t.Errorf("evidence of an older build: %s: %s; %q", r.Verdict, r.Reason, r.Warnings)
	}
}
