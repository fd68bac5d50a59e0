package drills

import (
	"testing"
	"time"

	"gwdr/probes"
	"gwdr/scenarios"
)

// TestJudgeOlderGuards has what the first builds made of evidence whose guards did not hold: the reasons are what they wrote. Their
// reports are signed, and a later gwdr must not call them forged.
func TestJudgeOlderGuards(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*scenarios.Scenario, *Facts)
		want   string
	}{
		"late": {func(_ *scenarios.Scenario, f *Facts) { f.late("clients", 12*ms) },
			"the measurement cannot be trusted: lag: clients: attempts were sent late: p99 12ms, half an interval is 10ms"},
		"late by less than 5 ms": {func(s *scenarios.Scenario, f *Facts) {
			s.SteadyState.Baseline = scenarios.Duration(4 * time.Second)
			f.Series[0].Interval = 8 * ms
			f.late("clients", 4500*time.Microsecond)
		}, "the measurement cannot be trusted: lag: clients: attempts were sent late: p99 4.5ms, half an interval is 4ms"},
		"control target down for a moment": {func(_ *scenarios.Scenario, f *Facts) { f.fail("echo", 7*time.Second, 7060*ms) },
			"the measurement cannot be trusted: control: echo: only 99.4% ok, though no fault touches it: the prober itself was disturbed"},
		"control target late at an edge": {func(_ *scenarios.Scenario, f *Facts) { f.fail("echo", 5*time.Second, 5020*ms) },
			"the measurement cannot be trusted: control: echo: not ok at an edge of the outage of clients, though no fault touches it: the prober itself was disturbed"},
		"control target not quite prompt at an edge": {func(_ *scenarios.Scenario, f *Facts) {
			for i := range f.Samples {
				if s := &f.Samples[i]; s.Series == "echo" && s.Due == 5*time.Second {
					s.Done = s.Due + 15*ms
				}
			}
		}, "all 4 objectives met"},
		"a region was not read back": {func(_ *scenarios.Scenario, f *Facts) {
			f.Digests = []DigestFact{{Stage: Preflight, Region: "us-west"}, {Stage: Preflight, Region: "us-east"}}
		}, "not decided by the measurement: rpo (55ms (5ms to 60ms), 1 of 102 changes lost, us-east not read back after the revert), " +
			"no-resurrection (0 of 1 revocations, us-east not read back after the revert)"},
	} {
		t.Run(name, func(t *testing.T) {
			s, f := recorded(t)
			test.change(s, &f)
			if r := Judge(s, f); r.Reason != test.want {
				t.Errorf("%s\nwant %s", r.Reason, test.want)
			}
		})
	}
}

// late makes the attempts of a series be sent so late.
func (f *Facts) late(series string, by time.Duration) {
	for i := range f.Samples {
		if s := &f.Samples[i]; s.Series == series && s.Class == probes.OK {
			s.Sent, s.Done = s.Due+by, s.Due+by+ms
		}
	}
}
