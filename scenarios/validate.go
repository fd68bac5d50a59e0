package scenarios

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"gwdr/fleet"
	"gwdr/probes"
)

const (
	holdUntilRecovered = "until-recovered"
	orderReverse       = "reverse"
	labFleet           = "lab"
	replicationSync    = "sync" // the regions' control planes are members of one store
)

var idPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// The words that a scenario may use.
var (
	classes      = []string{"cyber", "degraded-quality", "premises", "ict-failure", "staff", "natural", "insider", "political", "power", "third-party"}
	strategies   = []string{"backup-restore", "pilot-light", "warm-standby", "active-active"}
	replications = []string{"none", "async", replicationSync}
	metrics      = []string{MetricRTA, MetricRPA, MetricResurrected, MetricFailed}
	planes       = []string{string(probes.DataPlane), string(probes.ControlPlane)}
	probeKeys    = []string{LiveKey, RevokedKey, NoKey}
	roles        = []string{string(fleet.Control), string(fleet.Data), string(fleet.Upstream), string(fleet.Location)}
	recoveries   = []string{Promote, Restore}
	failbacks    = []string{"measure"}
	formats      = []string{"html", "json", "text"}
)

// validator collects what is wrong with a scenario.
type validator struct {
	file     string
	root     *yaml.Node
	problems Problems
}

func (v *validator) fail(field, format string, args ...any) {
	v.problems = append(v.problems,
		Problem{File: v.file, Line: line(v.root, field), Field: field, Message: fmt.Sprintf(format, args...)})
}

func (v *validator) check(ok bool, field, format string, args ...any) {
	if !ok {
		v.fail(field, format, args...)
	}
}

func (v *validator) oneOf(field, value string, allowed []string) {
	v.check(slices.Contains(allowed, value), field, "%q is none of %s", value, strings.Join(allowed, ", "))
}

func (v *validator) id(field, value string, seen map[string]bool) {
	v.check(idPattern.MatchString(value), field, "%q must be 1 to 63 of a-z, 0-9 and -", value)
	v.check(!seen[value], field, "%q is used twice", value)
	seen[value] = true
}

func (v *validator) between(field string, d Duration, low, high time.Duration) {
	v.check(low <= d.D() && d.D() <= high, field, "%s must be from %s to %s", d, low, high)
}

func (v *validator) scenario(s *Scenario) {
	v.oneOf("apiVersion", s.APIVersion, []string{APIVersion})
	v.oneOf("kind", s.Kind, []string{ScenarioKind})
	v.id("metadata.name", s.Metadata.Name, map[string]bool{})
	v.check(s.Metadata.Title != "", "metadata.title", "is required")
	v.oneOf("metadata.class", s.Metadata.Class, classes)
	v.check(s.Fleet != "", "fleet", noFleet)
	v.topology(s)
	v.targets(s)
	v.objectives(s)
	v.check(0 < s.SLO.Target && s.SLO.Target < 100, "slo.target", "%v must be a percentage above 0 and below 100", s.SLO.Target)
	v.between("slo.window", s.SLO.Window, time.Hour, 366*24*time.Hour)
	v.steadyState(s)
	v.guardrails(s)
	v.between("recovered.stableFor", s.Recovered.StableFor, 100*time.Millisecond, 10*time.Minute)
	v.between("recovered.deadline", s.Recovered.Deadline, s.Recovered.StableFor.D(), 24*time.Hour)
	v.between("safety.lease", s.Safety.Lease, time.Second, 5*time.Minute)
	v.check(s.Safety.MaxTargets > 0, "safety.maxTargets", "%d must be at least 1", s.Safety.MaxTargets)
	v.check(s.Safety.KeepHealthyRegions >= 0, "safety.keepHealthyRegions", "%d is negative", s.Safety.KeepHealthyRegions)
	s.Safety.Bounds.Check(func(field string, err error) { v.fail("safety."+field, "%v", err) })
	v.steps(s)
	v.oneOf("revert.order", s.Revert.Order, []string{orderReverse})
	v.between("revert.settle", s.Revert.Settle, s.Recovered.StableFor.D(), time.Hour)
	if s.Revert.Failback != "" {
		v.oneOf("revert.failback", s.Revert.Failback, failbacks)
	}
	for i, f := range s.Report.Formats {
		v.oneOf(fmt.Sprintf("report.formats[%d]", i), f, formats)
	}
}

func (v *validator) topology(s *Scenario) {
	t := s.Topology
	if s.Fleet == "" && len(t.Regions) == 0 {
		return // nobody knows
	}
	if s.Fleet != "" && s.Fleet != labFleet {
		v.check(len(t.Regions) == 0, "topology", "is for the lab only: this fleet has its own")
		return
	}
	v.oneOf("topology.strategy", t.Strategy, strategies)
	v.oneOf("topology.replication", t.Replication, replications)
	n := len(t.Regions)
	v.check(1 <= n && n <= 9, "topology.regions", "must be 1 to 9, not %d", n)
	v.check(t.Replication != replicationSync || n >= 3 && n%2 == 1, "topology.regions",
		"must be an odd number from 3 on with replication %s, not %d: their majority is the quorum", replicationSync, n)
	seen := map[string]bool{}
	for i, r := range t.Regions {
		field := fmt.Sprintf("topology.regions[%d]", i)
		v.id(field+".name", r.Name, seen)
		v.check(1 <= r.Instances && r.Instances <= 16, field+".instances", "%d must be from 1 to 16", r.Instances)
	}
}

func (v *validator) targets(s *Scenario) {
	for _, name := range slices.Sorted(maps.Keys(s.Targets)) {
		t, field := s.Targets[name], "targets."+name
		v.check(idPattern.MatchString(name), field, "name must be 1 to 63 of a-z, 0-9 and -")
		v.selector(s, field+".select", t.Select)
		v.check(t.Expect.Min >= 0 && t.Expect.Max >= 0, field+".expect", "is negative")
		v.check(t.Expect.Max == 0 || t.Expect.Min <= t.Expect.Max, field+".expect", "min %d is above max %d", t.Expect.Min, t.Expect.Max)
		v.check(t.Pick.Count >= 0, field+".pick.count", "%d is negative", t.Pick.Count)
		v.check(t.Pick.Count > 0 || t.Pick.Seed == 0, field+".pick.count", "is required: how many to pick")
	}
}

func (v *validator) selector(s *Scenario, field string, sel fleet.Selector) {
	v.check(sel != fleet.Selector{}, field, "is empty and matches nothing; allowed: region, role, instance")
	if sel.Role != "" {
		v.oneOf(field+".role", string(sel.Role), roles)
	}
	if sel.Region != "" && s.Fleet == labFleet {
		v.oneOf(field+".region", sel.Region, s.Topology.names())
	}
}

func (v *validator) objectives(s *Scenario) {
	v.check(len(s.Objectives) > 0, "objectives", "are required: a drill without a promise proves nothing")
	seen := map[string]bool{}
	for i, o := range s.Objectives {
		field := fmt.Sprintf("objectives[%d]", i)
		v.id(field+".id", o.ID, seen)
		v.oneOf(field+".metric", o.Metric, metrics)
		timed := o.Metric == MetricRTA || o.Metric == MetricRPA
		v.check(!timed || o.LE != nil && o.EQ == nil, field, "metric %s needs le, a duration, and no eq", o.Metric)
		v.check(timed || o.EQ != nil && o.LE == nil, field, "metric %s needs eq, a number, and no le", o.Metric)
		v.check(o.EQ == nil || *o.EQ >= 0, field+".eq", "is negative")
		if o.Metric == MetricRTA {
			v.oneOf(field+".plane", o.Plane, planes)
			v.check(o.LE == nil || *o.LE > 0 && *o.LE <= s.Recovered.Deadline, field+".le",
				"must be above 0 and no more than recovered.deadline, %s", s.Recovered.Deadline)
		} else {
			v.check(o.Plane == "", field+".plane", "is for metric rta only")
			v.check(!o.AfterFault, field+".afterFault", "is for metric rta only")
		}
		needsLedger := o.Metric == MetricRPA || o.Metric == MetricResurrected || o.Plane == string(probes.ControlPlane)
		v.check(!needsLedger || s.SteadyState.Ledger.Every > 0, field, "needs steadyState.ledger")
	}
}

func (v *validator) steadyState(s *Scenario) {
	st := s.SteadyState
	v.between("steadyState.baseline", st.Baseline, 100*time.Millisecond, time.Hour)
	v.check(st.Backup <= st.Baseline, "steadyState.backup", "%s is after the baseline, %s", st.Backup, st.Baseline)
	v.check(len(st.Probes) > 0, "steadyState.probes", "are required")
	for i, p := range st.Probes {
		field := fmt.Sprintf("steadyState.probes[%d]", i)
		v.check(p.Route != "", field+".route", "is required")
		v.check(s.Fleet == labFleet || s.Fleet == "" || p.Route == "" || strings.HasPrefix(p.Route, "/"), field+".route", "%q: of fleet %s it is a path, which begins with /", p.Route, s.Fleet)
		v.between(field+".every", p.Every, 5*time.Millisecond, time.Minute)
		v.between(field+".timeout", p.Timeout, 10*time.Millisecond, time.Minute)
		v.oneOf(field+".key", p.Key, probeKeys)
		v.check(100 <= p.Expect.Status && p.Expect.Status <= 599, field+".expect.status", "%d is no HTTP status", p.Expect.Status)
		_, err := p.Expect.Expectation()
		v.check(err == nil, field+".expect", "%v", err)
	}
	if st.Ledger.Every == 0 && len(st.Ledger.Kinds) == 0 {
		return
	}
	v.between("steadyState.ledger.every", st.Ledger.Every, 5*time.Millisecond, time.Minute)
	var changeKinds []string
	for _, k := range probes.ChangeKinds() {
		changeKinds = append(changeKinds, string(k))
	}
	v.check(len(st.Ledger.Kinds) > 0, "steadyState.ledger.kinds", "are required; allowed: %s", strings.Join(changeKinds, ", "))
	for i, k := range st.Ledger.Kinds {
		v.oneOf(fmt.Sprintf("steadyState.ledger.kinds[%d]", i), k, changeKinds)
	}
}

func (v *validator) guardrails(s *Scenario) {
	seen := map[string]bool{}
	for i, g := range s.Guardrails {
		field := fmt.Sprintf("guardrails[%d]", i)
		v.id(field+".name", g.Name, seen)
		switch {
		case (g.Success == nil) == (g.Drill == nil):
			v.fail(field, "needs exactly one of success, drill")
		case g.Success != nil:
			v.selector(s, field+".select", g.Select)
			v.check(0 < g.Success.LT && g.Success.LT <= 1, field+".success.lt", "%v must be above 0 and at most 1", g.Success.LT)
			v.between(field+".success.for", g.Success.For, 100*time.Millisecond, time.Hour)
		default:
			v.check(g.Drill.GT > 0, field+".drill.gt", "must be above 0")
		}
	}
}
