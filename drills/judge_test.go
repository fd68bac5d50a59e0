package drills

import (
	"slices"
	"strings"
	"testing"
	"time"

	"gwdr/fleet"
	"gwdr/probes"
	"gwdr/scenarios"
)

const ms = time.Millisecond

// recorded returns the facts of a drill of region-loss that went well: 5 s of baseline, a fault at 5 s, an outage of the
// data plane of 200 ms and of the control plane of 400 ms, one change of 100 lost, revert at 10 s, end at 15 s.
func recorded(t *testing.T) (*scenarios.Scenario, Facts) {
	t.Helper()
	s, err := scenarios.Load("region-loss")
	if err != nil {
		t.Fatal(err)
	}
	f := Facts{
		ID: "run", RunNo: 1, Baseline: Span{To: 5 * time.Second}, Complete: true, Scanned: true, Settled: &SettledFact{OK: true},
		Phases: []TimelineEntry{{Phase: Injecting, OffsetS: 5}, {Phase: Reverting, OffsetS: 10}},
		Faults: []FaultFacts{{ID: "power-cut", Kind: fleet.Kill, Injected: 5 * time.Second, InjectedAt: time.Unix(5, 0), Verified: true,
			Reverted: true, RevertedAt: time.Unix(10, 0)}},
		Series: []probes.Series{
			{Name: "clients", Plane: probes.DataPlane, Interval: 20 * ms, Timeout: time.Second},
			{Name: "echo", Plane: probes.DataPlane, Interval: 20 * ms, Timeout: time.Second, Control: true},
			{Name: probes.AdminSeries, Plane: probes.ControlPlane, Interval: 40 * ms, Timeout: time.Second},
		},
	}
	f.outage("clients", 20*ms, 5*time.Second, 5200*ms)
	f.outage("echo", 20*ms, 0, 0)
	f.outage(probes.AdminSeries, 40*ms, 5*time.Second, 5400*ms)
	for seq := int64(1); seq <= 100; seq++ {
		at := time.Duration(seq) * 50 * ms
		c := probes.Change{Seq: seq, Kind: probes.RouteChange, ID: "r" + time.Duration(seq).String()}
		f.Ledger = append(f.Ledger, probes.Entry{Change: c, Due: at - 10*ms, Sent: at - 10*ms, Done: at - 5*ms, Result: probes.Acked})
		if seq < 100 {
			f.Survivors = append(f.Survivors, probes.Observation{Region: "us-west", Kind: c.Kind, ID: c.ID, Version: seq, Data: seq})
		} else {
			f.Survivors = append(f.Survivors, probes.Observation{Region: "us-west", Kind: c.Kind, ID: c.ID})
		}
	}
	f.revoke()
	f.Final = f.Survivors
	return s, f
}

// outage adds 15 s of attempts of a series, and those due within [from, to) fail.
func (f *Facts) outage(series string, every, from, to time.Duration) {
	for seq := int64(0); seq < int64(15*time.Second/every); seq++ {
		due := time.Duration(seq) * every
		s := probes.Sample{Series: series, Seq: seq, Due: due, Sent: due, Done: due + 2*ms, Class: probes.OK}
		if due >= from && due < to {
			s.Class = probes.FailRefused
		}
		f.Samples = append(f.Samples, s)
	}
}

// TestLedgerStands: what was lost does not depend on the prober, if the fault was in effect; how long it took does.
func TestLedgerStands(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Facts)
		want   []Verdict
	}{
		"control target failed": {func(f *Facts) { f.fail("echo", 5*time.Second, 5200*ms) }, []Verdict{Inconclusive, Inconclusive, Pass, Pass}},
		"not verified":          {func(f *Facts) { f.Faults[0].Verified = false }, []Verdict{Inconclusive, Inconclusive, Inconclusive, Inconclusive}},
	} {
		s, f := recorded(t)
		f.Definitions = definitions
		c.change(&f)
		var got []Verdict
		for _, o := range Judge(s, f).Objectives {
			got = append(got, o.Verdict)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestJudgeAborted shows that a drill which was cut short keeps no promise, and may have broken one.
func TestJudgeAborted(t *testing.T) {
	s, f := recorded(t)
	f.Aborts = []AbortFact{{AbortSignal, "interrupted"}}
	*s.Objectives[0].LE = scenarios.Duration(time.Millisecond)
	r := Judge(s, f)
	if r.Verdict != Aborted || r.Objectives[0].Verdict != Fail {
		t.Errorf("%s, %+v", r.Verdict, r.Objectives[0])
	}
	for _, o := range r.Objectives[1:] {
		if o.Verdict != Aborted || !strings.HasSuffix(o.Value, "(not shown to be stable)") {
			t.Errorf("%+v", o)
		}
	}
}

func TestJudge(t *testing.T) {
	for name, test := range map[string]struct {
		change  func(s *scenarios.Scenario, f *Facts)
		verdict Verdict
		reason  string
		dirty   bool
	}{
		"pass": {func(*scenarios.Scenario, *Facts) {}, Pass, "all 4 objectives met", false},
		"outage too long": {func(s *scenarios.Scenario, f *Facts) {
			*s.Objectives[0].LE = scenarios.Duration(2 * time.Second)
			f.fail("clients", 5*time.Second, 7500*ms)
		}, Fail, "rto (2.5s (±40ms))", false},
		"never back": {func(s *scenarios.Scenario, f *Facts) {
			f.fail("clients", 5*time.Second, time.Hour)
			f.Aborts = []AbortFact{{AbortDeadline, "not recovered within 1m0s"}}
		}, Fail, "rto (> 1m0s)", false},
		"record ends too early": {func(s *scenarios.Scenario, f *Facts) { f.fail("clients", 5*time.Second, time.Hour) }, Inconclusive, "rto", false},
		"bracket over target":   {func(s *scenarios.Scenario, f *Facts) { *s.Objectives[0].LE = scenarios.Duration(190 * ms) }, Inconclusive, "", false},
		"resurrected":           {func(_ *scenarios.Scenario, f *Facts) { f.Survivors = f.resurrected(f.Survivors) }, Fail, "no-resurrection", false},
		"lost only in the end":  {func(_ *scenarios.Scenario, f *Facts) { f.Final = absent(f.Final, 30) }, Fail, "rpo", false},
		"lost all":              {func(_ *scenarios.Scenario, f *Facts) { f.Survivors = absent(f.Survivors, 0) }, Fail, "rpo (at least", false},
		"not read back":         {func(_ *scenarios.Scenario, f *Facts) { f.Survivors, f.Final = nil, nil }, Inconclusive, "not measured", false},
		"resurrected in the end, while something else was lost before": {func(_ *scenarios.Scenario, f *Facts) {
			f.Survivors = absent(f.Survivors, 98)
			f.Final = f.resurrected(f.Final)
		}, Fail, "no-resurrection (1 of 1", false},
		"nothing was revoked": {func(_ *scenarios.Scenario, f *Facts) {
			f.Ledger = f.Ledger[:100]
			f.Survivors, f.Final = f.Survivors[:100], f.Final[:100]
		}, Inconclusive, "no-resurrection (0 of 0", false},
		"not all was read back": {func(_ *scenarios.Scenario, f *Facts) {
			f.Survivors = slices.Clone(f.Survivors)
			f.Survivors[10].Error = "timeout"
		}, Inconclusive, "1 could not be read back", false},
		"a region was not read back in the end": {func(_ *scenarios.Scenario, f *Facts) {
			f.Digests = []DigestFact{{Stage: Preflight, Region: "us-west"}, {Stage: Preflight, Region: "us-east"}}
		}, Inconclusive, "not read back: us-east after the revert", false},
		"a region could not be read back in time": {func(_ *scenarios.Scenario, f *Facts) {
			f.Unread = []UnreadFact{{Sustain, "us-east", "timeout"}}
		}, Inconclusive, "not read back: us-east with the fault in effect", false},
		"a region that was not there before could not be read back in the end": {func(_ *scenarios.Scenario, f *Facts) {
			f.Unread = []UnreadFact{{Reconciling, "us-north", "timeout"}}
		}, Inconclusive, "not read back: us-north after the revert", false},
		"the record of the control target has a gap at an edge": {func(_ *scenarios.Scenario, f *Facts) {
			f.Samples = slices.DeleteFunc(f.Samples, func(s probes.Sample) bool {
				return s.Series == "echo" && s.Due >= 5180*ms && s.Due < 5240*ms
			})
		}, Inconclusive, "missing: echo: the record lacks 3 attempts", false},
		"not verified": {func(_ *scenarios.Scenario, f *Facts) { f.Faults[0].Verified = false }, Inconclusive, "verified", false},
		"not settled": {func(_ *scenarios.Scenario, f *Facts) { f.Settled = &SettledFact{Detail: "us-east-1 is not running"} },
			Fail, "us-east-1 is not running", false},
		"control target failed": {func(_ *scenarios.Scenario, f *Facts) { f.fail("echo", 5*time.Second, 5200*ms) }, Inconclusive, "control", false},
		"control target was not probed to the end": {func(_ *scenarios.Scenario, f *Facts) {
			f.Samples = slices.DeleteFunc(f.Samples, func(s probes.Sample) bool { return s.Series == "echo" && s.Due > 7*time.Second })
		}, Inconclusive, "control", false},
		"unsteady baseline": {func(_ *scenarios.Scenario, f *Facts) { f.fail("clients", time.Second, 1020*ms) }, Inconclusive, "baseline", false},
		"clock stepped":     {func(_ *scenarios.Scenario, f *Facts) { f.Drift = time.Second }, Inconclusive, "drift", false},
		"too coarse":        {func(s *scenarios.Scenario, f *Facts) { *s.Objectives[0].LE = scenarios.Duration(300 * ms) }, Inconclusive, "resolution", false},
		"too coarse, and missed for sure": {func(s *scenarios.Scenario, f *Facts) { *s.Objectives[1].LE = scenarios.Duration(300 * ms) },
			Fail, "rto-admin (402ms (±60ms)) (the measurement cannot be trusted: resolution", false},
		"not sent at the edge, and missed for sure": {func(s *scenarios.Scenario, f *Facts) {
			*s.Objectives[0].LE = scenarios.Duration(2 * time.Second)
			f.fail("clients", 5*time.Second, 7500*ms)
			f.skip("clients", 7500*ms, 7540*ms)
		}, Fail, "rto (2.54s (±40ms)) (the measurement cannot be trusted: unknown", false},
		"missed by a disturbed prober": {func(s *scenarios.Scenario, f *Facts) {
			*s.Objectives[0].LE = scenarios.Duration(2 * time.Second)
			f.fail("clients", 5*time.Second, 7500*ms)
			f.fail("echo", 5*time.Second, 5200*ms)
		}, Inconclusive, "control", false},
		"never stable because attempts were not made": {func(_ *scenarios.Scenario, f *Facts) {
			for at := 5300 * ms; at < 15*time.Second; at += 200 * ms {
				f.skip("clients", at, at+20*ms)
			}
			f.Aborts = []AbortFact{{AbortDeadline, "not recovered within 1m0s"}}
		}, Inconclusive, "unknown", false},
		"resurrected, by a disturbed prober": {func(_ *scenarios.Scenario, f *Facts) {
			f.Survivors = f.resurrected(f.Survivors)
			f.fail("echo", 5*time.Second, 5200*ms)
		}, Fail, "no-resurrection (1 of 1 revocations) (the measurement cannot be trusted: control", false},
		"resurrected, by a fault that was not verified": {func(_ *scenarios.Scenario, f *Facts) {
			f.Survivors = f.resurrected(f.Survivors)
			f.Faults[0].Verified = false
		}, Fail, "no-resurrection (1 of 1 revocations) (not every fault", false},
		"resurrected, by a fault that was not in effect": {func(_ *scenarios.Scenario, f *Facts) {
			f.Survivors = f.resurrected(f.Survivors)
			f.Aborts = []AbortFact{{AbortVerify, "us-east-1 still answers"}}
		}, Fail, "no-resurrection (1 of 1 revocations) (us-east-1 still answers)", false},
		"resurrected, which nobody promised": {func(s *scenarios.Scenario, f *Facts) {
			s.Objectives = s.Objectives[:3]
			f.Survivors = f.resurrected(f.Survivors)
		}, Fail, "objectives missed: resurrected (1 of 1 revocations), rpo", false},
		"resurrected, which nobody promised, by a disturbed prober": {func(s *scenarios.Scenario, f *Facts) {
			s.Objectives = s.Objectives[:3]
			f.Survivors = f.resurrected(f.Survivors)
			f.fail("echo", 5*time.Second, 5200*ms)
		}, Fail, "worth: resurrected (1 of 1 revocations), rpo", false},
		"resurrected, in a drill that was interrupted": {func(_ *scenarios.Scenario, f *Facts) {
			f.Survivors = f.resurrected(f.Survivors)
			f.Aborts = []AbortFact{{AbortSignal, "interrupted"}}
		}, Aborted, "no-resurrection (1 of 1 revocations)", false},
		"lost for sure, by a disturbed prober": {func(_ *scenarios.Scenario, f *Facts) {
			f.Final = absent(f.Final, 30)
			f.fail("echo", 5*time.Second, 5200*ms)
		}, Fail, "rpo (3.51s (3.46s to 3.51s), 70 of 101 changes lost) (the measurement cannot be trusted: control", false},
		"lost, perhaps too much, by a disturbed prober": {func(s *scenarios.Scenario, f *Facts) {
			*s.Objectives[2].LE = scenarios.Duration(10 * ms)
			f.fail("echo", 5*time.Second, 5200*ms)
		}, Inconclusive, "control", false},
		"killed": {func(_ *scenarios.Scenario, f *Facts) { f.Complete = false }, Errored, "killed", false},
		"guardrail": {func(_ *scenarios.Scenario, f *Facts) { f.Aborts = []AbortFact{{AbortGuardrail, "survivor is down"}} },
			Aborted, "survivor is down", false},
		"inject": {func(_ *scenarios.Scenario, f *Facts) { f.Aborts = []AbortFact{{AbortInject, "no permission"}} }, Errored, "no permission", false},
		"refused": {func(_ *scenarios.Scenario, f *Facts) {
			f.Faults, f.Aborts = nil, []AbortFact{{AbortRefused, "us-east-1 is not running"}}
		},
			Refused, "not running", false},
		"refused, by an older build": {func(_ *scenarios.Scenario, f *Facts) {
			f.Faults, f.Aborts, f.Definitions = nil, []AbortFact{{AbortRefused, "us-east-1 is not running"}}, 5
		}, Errored, "not running", false},
		"deadline though all is well": {func(_ *scenarios.Scenario, f *Facts) { f.Aborts = []AbortFact{{AbortDeadline, "promote was not due"}} },
			Inconclusive, "promote was not due", false},
		"not reverted": {func(_ *scenarios.Scenario, f *Facts) { f.Faults[0].Reverted = false }, Pass, "", true},
		"leftover":     {func(_ *scenarios.Scenario, f *Facts) { f.Leftovers = []string{"power-cut"} }, Pass, "", true},
		"not scanned":  {func(_ *scenarios.Scenario, f *Facts) { f.Scanned = false }, Pass, "", true},
		"failed requests": {func(s *scenarios.Scenario, f *Facts) {
			zero := int64(0)
			s.Objectives = append(s.Objectives, scenarios.Objective{ID: "none-failed", Metric: scenarios.MetricFailed, EQ: &zero})
		}, Fail, "none-failed (10 of 750 requests)", false},
	} {
		t.Run(name, func(t *testing.T) {
			s, f := recorded(t)
			f.Definitions = definitions
			test.change(s, &f)
			r := Judge(s, f)
			if r.Verdict != test.verdict || !strings.Contains(r.Reason, test.reason) || r.Clean == test.dirty {
				t.Errorf("%s: %s, clean %v; want %s: %s, clean %v; %v", r.Verdict, r.Reason, r.Clean, test.verdict, test.reason, !test.dirty, r.Findings)
			}
			if ids := withVerdict(r.Objectives, Pass); len(ids) > 0 && (r.Verdict == Errored || r.Verdict == Aborted) {
				t.Errorf("%s, and yet these pass: %v", r.Verdict, ids)
			}
			for i, o := range r.Objectives {
				if distrusted := strings.Contains(r.Reason, "cannot be trusted"); distrusted && o.Verdict == Pass && s.Objectives[i].Metric == scenarios.MetricRTA {
					t.Errorf("%s, and yet %s passes", r.Reason, o.ID)
				}
			}
		})
	}
}

func (f *Facts) fail(series string, from, to time.Duration) {
	for i := range f.Samples {
		if s := &f.Samples[i]; s.Series == series && s.Due >= from && s.Due < to {
			s.Class = probes.FailRefused
		}
	}
}

// skip makes the attempts due within [from, to) be ones that were not made.
func (f *Facts) skip(series string, from, to time.Duration) {
	for i := range f.Samples {
		if s := &f.Samples[i]; s.Series == series && s.Due >= from && s.Due < to {
			s.Class, s.Done = probes.Unknown, s.Sent
		}
	}
}

// resurrected returns the observations with the revocation of the key gone.
func (f *Facts) resurrected(seen []probes.Observation) []probes.Observation {
	all := slices.Clone(seen)
	all[len(all)-1].Revoked, all[len(all)-1].Refused = false, false
	return all
}

// revoke adds a key that was revoked, and still is.
func (f *Facts) revoke() {
	for seq, kind := range map[int64]probes.ChangeKind{101: probes.KeyChange, 102: probes.RevokeChange} {
		c := probes.Change{Seq: seq, Kind: kind, ID: "key"}
		f.Ledger = append(f.Ledger, probes.Entry{Change: c, Sent: time.Duration(seq) * ms, Done: time.Duration(seq) * ms, Result: probes.Acked})
	}
	f.Survivors = append(f.Survivors, probes.Observation{Region: "us-west", Kind: probes.KeyChange, ID: "key", Version: 101, Data: 101, Revoked: true, Refused: true})
}

// absent returns the observations with all but the first keep objects gone.
func absent(seen []probes.Observation, keep int) []probes.Observation {
	var all []probes.Observation
	for i, o := range seen {
		if i >= keep {
			o.Version, o.Data = 0, 0
		}
		all = append(all, o)
	}
	return all
}

func TestJudgeNamesBrownouts(t *testing.T) {
	s, f := recorded(t)
	for at := 5 * time.Second; at < 6*time.Second; at += 40 * ms {
		f.fail("clients", at, at+20*ms)
	}
	want := "a brown-out, not an outage of all requests: clients: 60% of the attempts were affected; it may have lasted up to 260ms longer"
	if r := Judge(s, f); len(r.Findings) != 1 || !strings.HasPrefix(r.Findings[0], want) {
		t.Errorf("%q, want %q", r.Findings, want)
	}
}

func TestJudgeNumbers(t *testing.T) {
	s, f := recorded(t)
	r := Judge(s, f)
	if rta := r.RTA["data"]; rta.LowS != 0.18 || rta.PointS != 0.2 || rta.HighS != 0.202 || rta.ErrorS != 0.04 {
		t.Errorf("data RTA %+v", rta)
	}
	if rta := r.RTA["control"]; rta.HighS != 0.402 {
		t.Errorf("control RTA %+v", rta)
	}
	if r.Requests != (Requests{Sent: 750, OK: 740, Failed: 10}) {
		t.Errorf("requests %+v", r.Requests)
	}
	if r.RPA.Lost != 1 || r.RPA.LowS != 0.005 || r.RPA.HighS != 0.06 || r.RPA.ByKind["route"] != 1 {
		t.Errorf("RPA %+v", r.RPA)
	}
	for _, o := range r.Objectives {
		if o.Verdict != Pass || o.Value == "" || o.Target == "" {
			t.Errorf("objective %+v", o)
		}
	}
}
