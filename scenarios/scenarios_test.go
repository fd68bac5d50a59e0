package scenarios

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gwdr/fleet"
)

func TestCatalogue(t *testing.T) {
	all, err := Catalogue()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range all {
		names = append(names, s.Metadata.Name)
		if len(s.Metadata.FalsePass) == 0 {
			t.Errorf("%s does not say what could make it pass falsely", s.Metadata.Name)
		}
		p, err := s.Plan(s.Topology.Instances())
		if err != nil {
			t.Errorf("%s cannot be planned on its own topology: %v", s.Metadata.Name, err)
			continue
		}
		plan, err := p.YAML()
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse("plan.yaml", plan)
		if err != nil {
			t.Fatalf("plan of %s: %v\n%s", s.Metadata.Name, err, plan)
		}
		if diff := cmp.Diff(s, again); diff != "" {
			t.Errorf("plan of %s reads as another scenario (-want +got):\n%s", s.Metadata.Name, diff)
		}
	}
	if diff := cmp.Diff([]string{
		"backup-corrupted", "backups-deleted", "bad-config", "connection-flood", "instance-crash", "instance-hang", "instance-slow", "key-store-wiped", "latency-between-regions",
		"load-spike", "location-lost", "one-way-partition", "quorum-loss", "region-isolated", "region-loss", "region-loss-sync", "retry-storm", "store-corrupted", "store-wiped", "two-locations-lost", "upstream-brownout", "upstream-down",
	}, names); diff != "" {
		t.Errorf("catalogue (-want +got):\n%s", diff)
	}
}

func TestLoad(t *testing.T) {
	_, err := Load("region-lost")
	if !errors.Is(err, ErrUnknown) || !strings.Contains(err.Error(), "region-loss") {
		t.Errorf("unknown name: %v", err)
	}
	if _, err := Load("./absent.yaml"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent file: %v", err)
	}
	file := filepath.Join(t.TempDir(), "mine.yml")
	if err := os.WriteFile(file, example(t), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := Load(file); err != nil || s.Metadata.Name != "region-loss" {
		t.Errorf("file: %v", err)
	}
}

func example(t testing.TB) []byte {
	t.Helper()
	b, err := catalogue.ReadFile("catalogue/region-loss.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestExample: the scenario that docs/fleets.md links is one for the fleet that is described there.
func TestExample(t *testing.T) {
	s, err := Load("../docs/examples/stop-us-east.yaml")
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.Plan([]fleet.Instance{{ID: "gw-1", Region: "us-east", Role: fleet.Data, Running: true}, {ID: "gw-2", Region: "us-west", Role: fleet.Data, Running: true}})
	if err != nil || len(p.Injections) != 1 || p.Injections[0].Targets[0] != "gw-1" || p.Worst > s.Guardrails[0].Drill.GT.D() {
		t.Errorf("%+v, %v", p, err)
	}
}

// TestNoFleet: that there is no fleet is said with all the rest, and nothing is said of a fleet that nobody named.
func TestNoFleet(t *testing.T) {
	for name, c := range map[string]struct {
		old, new string
		problems int
	}{
		"alone":                      {"maxTargets: 3", "maxTargets: 3", 1},
		"with a value out of bounds": {"maxTargets: 3", "maxTargets: 0", 2},
		"with an unknown field":      {"maxTargets: 3", "maxTarget: 3", 2},
		"with a value of no use":     {"lease: 5s", "lease: 5", 2},
	} {
		text := strings.Replace(strings.Replace(string(example(t)), "fleet: lab\n", "", 1), c.old, c.new, 1)
		_, err := Parse("s.yaml", []byte(text))
		problems := Problems{}
		if !errors.As(err, &problems) || len(problems) != c.problems || !strings.Contains(err.Error(), "s.yaml:1: fleet: is required: lab, or the name") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestParseErrors changes one thing in a valid scenario and wants to be told where, and what is allowed.
func TestParseErrors(t *testing.T) {
	for _, test := range []struct{ old, new, want string }{
		{"kind: Scenario", "kind: Scenery", `s.yaml:2: kind: "Scenery" is none of Scenario`},
		{"fleet: lab", "flet: lab", "s.yaml:17: flet: unknown field; allowed: apiVersion, kind, metadata, fleet"},
		{"fault: kill", "fault: nuke", `steps[0].fault: "nuke" is none of kill, pause, restart-loop`},
		{"target: east", "target: north", `steps[0].target: "north" is none of east`},
		{"target: east, ", "target: east, colour: red, ", "steps[0].colour: unknown field; allowed: id, fault, with, target"},
		{"class: ict-failure", "class: bad-luck", `metadata.class: "bad-luck" is none of cyber`},
		{"name: region-loss", "name: Region Loss", `metadata.name: "Region Loss" must be`},
		{"replication: async", "replication: snyc", `topology.replication: "snyc" is none of none, async, sync`},
		{"replication: async", "replication: sync", `topology.regions: must be an odd number from 3 on with replication sync, not 2`},
		{"replication: async", "replication: sync", `steps[1].recover: with replication sync there is nobody to promote`},
		{"{select: {region: us-east}, expect: {min: 3, max: 3}}", "{select: {}}", "targets.east.select: is empty and matches nothing"},
		{"{select: {region: us-east},", "{select: {region: mars},", `targets.east.select.region: "mars" is none of us-east, us-west`},
		{"min: 3, max: 3", "min: 4, max: 3", "min 4 is above max 3"},
		{"plane: data, le: 5s", "plane: data, le: 5", "objectives[0].le: 5: say a unit, like 5s: one of ms, s, m, h or whole d"},
		{"  baseline: 5s", "\tbaseline: 5s", "s.yaml:32: a tab or another character that YAML is not indented by"},
		{"plane: data, le: 5s", "plane: data, le: 5sec", `objectives[0].le: "5sec" is no duration: it takes a number and a unit`},
		{"lease: 5s", "lease: -5s", "safety.lease: -5s is negative"},
		{"success: {lt: 0.9, for: 3s}", "success: {lt: 90%, for: 3s}", "guardrails[0].success.lt: 90%: say it as a share of 1, like 0.9"},
		{"success: {lt: 0.9, for: 3s}", "success: {lt: most, for: 3s}", `guardrails[0].success.lt: "most" is no number`},
		{"fleet: lab", "fleet: lab\nslo: {target: 99.9%}", "slo.target: 99.9%: it is per cent already, like 99.9"},
		{"fleet: lab", "fleet: lab\nslo: 5", "slo: must be a mapping of fields"},
		{"verify: true", "verify: maybe", `revert.verify: "maybe" is neither true nor false`},
		{"maxTargets: 3", "maxTargets: 3, \"a\\tb\": 1", "safety.a b: unknown field"},
		{"plane: data, le: 5s", "plane: data, le: 2m", "no more than recovered.deadline, 1m0s"},
		{"plane: data, le: 5s", "plane: data, eq: 5", "metric rta needs le"},
		{"plane: data, le: 5s", "plane: both, le: 5s", `"both" is none of data, control`},
		{"metric: resurrected, eq: 0", "metric: resurrected, eq: -1", "is negative"},
		{"metric: rpa, le: 2s", "metric: luck, le: 2s", `"luck" is none of rta, rpa, resurrected, failed`},
		{"id: rpo", "id: rto", `"rto" is used twice`},
		{"key: revoked", "key: lost", `steadyState.probes[1].key: "lost" is none of live, revoked, none`},
		{"every: 50ms", "every: 1ms", "steadyState.probes[0].every: 1ms must be from 5ms to 1m0s"},
		{"every: 50ms, kinds: [route, spec, key, revoke]", "every: 50ms, kinds: [rout]", `kinds[0]: "rout" is none of route, spec, key, revoke`},
		{"status: 401", "status: 4010", "4010 is no HTTP status"},
		{"status: 401", "status: many", `steadyState.probes[1].expect.status: "many" is no whole number`},
		{"status: 401", "body: /(/", "steadyState.probes[1].expect: body: error parsing regexp"},
		{"status: 401", `header: {"a b": c}`, "steadyState.probes[1].expect: header \"a b\" is no name of a header"},
		{"status: 401", `header: {"a: b": c}`, "is no name of a header"},
		{"status: 401", "header: {a: /(/}", "steadyState.probes[1].expect: header A: error parsing regexp"},
		{"status: 401", "colour: red", "unknown field; allowed: status, header, body"},
		{"success: {lt: 0.9, for: 3s}", "success: {lt: 9, for: 3s}", "9 must be above 0 and at most 1"},
		{"drill: {gt: 5m}", "select: {}", "guardrails[1]: needs exactly one of success, drill"},
		{"maxTargets: 3", "maxTargets: 0", "safety.maxTargets: 0 must be at least 1"},
		{"lease: 5s", "lease: 5ms", "safety.lease: 5ms must be from 1s"},
		{"hold: until-recovered+2s", "hold: forever", `steps[0].hold: "forever" is none of until-recovered, until-recovered+5s, 10s`},
		{"hold: until-recovered+2s", "hold: 0s", "steps[0].hold: 0s is no time to be held"},
		{"hold: until-recovered+2s", "hold: 5s", "objectives[2].metric: rpa needs a fault that is held until recovered"},
		{"hold: until-recovered+2s", "hold: 5s, repeat: {times: 3, every: 2s}", "steps[0].repeat.every: 2s is shorter than hold, 5s"},
		{"hold: until-recovered+2s", "repeat: {times: 3, every: 2s}", "steps[0].repeat: needs hold, a duration"},
		{"hold: until-recovered+2s", "hold: 1s, repeat: {every: 2s}", "steps[0].repeat.times: 0 must be from 1 to 100"},
		{"hold: until-recovered+2s", "stagger: 2h", "steps[0].stagger: 2h0m0s is above 1h"},
		{"hold: until-recovered+2s", "after: promote", `steps[0].after: "promote" is no step above`},
		{"when: detected", "after: power-cut", "steps[1].after: power-cut is held until recovered, and ends only with the drill"},
		{"when: detected", "stagger: 1s", "stagger and repeat are for a fault only"},
		{"{select: {region: us-east},", "{select: {region: us-east}, pick: {count: -1},", "targets.east.pick.count: -1 is negative"},
		{"{select: {region: us-east},", "{select: {region: us-east}, pick: {seed: 7},", "targets.east.pick.count: is required"},
		{"maxTargets: 3", "maxTargets: 3, windows: [{days: [sat], from: 2 a.m., to: 04:00, zone: UTC}]", `safety.windows[0]: "2 a.m." is no time`},
		{"maxTargets: 3", "maxTargets: 3, windows: [{days: [sat], from: 02:00, to: 04:00}]", `safety.windows[0]: "" is no time zone such as Europe/Berlin or UTC`},
		{"maxTargets: 3", "maxTargets: 3, windows: [{days: [saturday], from: 02:00, to: 04:00, zone: UTC}]", `safety.windows[0].days: "saturday" is none of mon`},
		{"maxTargets: 3", "maxTargets: 3, blackout: [{from: 2026-12-27, to: 2026-12-24, zone: UTC}]", "safety.blackout[0]: 2026-12-24 is before 2026-12-27"},
		{"maxTargets: 3", "maxTargets: 3, blackout: [{from: 2026-12-24, to: 2026-12-24, zone: Mars/Base}]", `"Mars/Base" is no time zone`},
		{"maxTargets: 3", "maxTargets: 3, protect: [{}]", "safety.protect[0]: is empty and protects nothing"},
		{"maxTargets: 3", "maxTargets: 3, protect: [{role: king}]", `safety.protect[0].role: "king" is none of control`},
		{"when: detected", "when: noticed", `"noticed" is neither detected nor a delay`},
		{"recover: promote", "recover: pray", `"pray" is none of promote, restore`},
		{"to: us-west", "to: mars", `steps[1].to: "mars" is none of us-east, us-west`},
		{"order: reverse", "order: random", `"random" is none of reverse`},
		{"settle: 20s", "settle: 1s", "revert.settle: 1s must be from 2s"},
		{"formats: [html, json]", "formats: [html, docx]", `report.formats[1]: "docx" is none of html`},
		{"ledger: {every: 50ms, kinds: [route, spec, key, revoke]}", "ledger: {}", "needs steadyState.ledger"},
		{"fleet: lab\n", "fleet: lab\nslo: {target: 100}\n", "slo.target: 100 must be a percentage above 0 and below 100"},
		{"fleet: lab\n", "fleet: lab\nslo: {window: 1m}\n", "slo.window: 1m0s must be from 1h0m0s"},
		{"fleet: lab\n", "fleet: lab\nslo: {window: 1.5d}\n", `slo.window: "1.5d" is no duration: it takes a number and a unit, one of ms, s, m, h or whole d, like 30s`},
		{"fleet: lab\n", "fleet: &f lab\n", "anchors and aliases are not supported"},
		{"fleet: lab\n", "fleet: [lab]\n", "fleet: must be a single value"},
		{"kind: Scenario\n", "kind: Scenario\nkind: Scenario\n", "already defined"},
		{"kind: Scenario\n", "kind: Scenario\n---\n", "more than one YAML document"},
		{"kind: Scenario\n", "kind: \"Scenario\n", "s.yaml"},
	} {
		t.Run(test.new, func(t *testing.T) {
			text := string(example(t))
			if !strings.Contains(text, test.old) {
				t.Fatalf("the example has no %q", test.old)
			}
			_, err := Parse("s.yaml", []byte(strings.Replace(text, test.old, test.new, 1)))
			if problems := (Problems)(nil); !errors.As(err, &problems) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
		})
	}
}

func TestParseEmpty(t *testing.T) {
	for text, want := range map[string]string{"": "empty", "[]": "not a mapping", "a: b: c": "mapping values", "null": "not a mapping"} {
		if _, err := Parse("s.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestPlanIsSafe(t *testing.T) {
	for name, test := range map[string]struct {
		change func(s *Scenario, all []fleet.Instance)
		want   error
	}{
		"as written":     {func(*Scenario, []fleet.Instance) {}, nil},
		"too many":       {func(s *Scenario, _ []fleet.Instance) { s.Safety.MaxTargets = 2 }, ErrUnsafe},
		"no region left": {func(s *Scenario, _ []fleet.Instance) { s.Safety.KeepHealthyRegions = 2 }, ErrUnsafe},
		"survivor is ill": {func(_ *Scenario, all []fleet.Instance) {
			for i, in := range all {
				all[i].Running = in.Region != "us-west"
			}
		}, ErrUnsafe},
		"matches nothing": {func(s *Scenario, all []fleet.Instance) {
			s.Targets["east"] = Target{Select: fleet.Selector{Instance: "x"}}
		}, fleet.ErrNoTarget},
		"expects more": {func(s *Scenario, _ []fleet.Instance) {
			s.Targets["east"] = Target{Select: fleet.Selector{Region: "us-east"}, Expect: Expect{Min: 4}}
		}, ErrUnsafe},
		"expects fewer": {func(s *Scenario, _ []fleet.Instance) {
			s.Targets["east"] = Target{Select: fleet.Selector{Region: "us-east"}, Expect: Expect{Max: 2}}
		}, ErrUnsafe},
		"protected": {func(s *Scenario, _ []fleet.Instance) {
			s.Safety.Protect = []fleet.Selector{{Instance: "us-east-2"}}
		}, ErrUnsafe},
		"protects nothing": {func(s *Scenario, _ []fleet.Instance) {
			s.Safety.Protect = []fleet.Selector{{Region: "eu-north"}}
		}, fleet.ErrNoTarget},
		"the last location": {func(s *Scenario, all []fleet.Instance) {
			s.Targets["east"] = Target{Select: fleet.Selector{Role: fleet.Location}}
		}, ErrUnsafe},
		"one of three locations": {func(s *Scenario, all []fleet.Instance) {
			s.Targets["east"] = Target{Select: fleet.Selector{Instance: "nas"}}
		}, nil},
		"never the edge": {func(s *Scenario, _ []fleet.Instance) {
			s.Targets["east"] = Target{Select: fleet.Selector{Instance: "edge"}}
		}, fleet.ErrNoTarget},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Load("region-loss")
			if err != nil {
				t.Fatal(err)
			}
			all := s.Topology.Instances()
			test.change(s, all)
			if _, err := s.Plan(all); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}

func TestPlan(t *testing.T) {
	s, err := Load("region-loss")
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.Plan(s.Topology.Instances())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"us-east-1", "us-east-2", "us-east-control"}, p.Actions[0].Targets); diff != "" {
		t.Errorf("targets (-want +got):\n%s", diff)
	}
	if want := 6*5*time.Second + time.Minute + 2*time.Second + (VerifyLimit + RevertLimit) + 2*ReadBackLimit + 3*20*time.Second; p.Worst != want {
		t.Errorf("worst case %s, want %s", p.Worst, want)
	}
}

func TestSLO(t *testing.T) {
	for text, want := range map[string]SLO{
		"":                                    {99.9, Duration(720 * time.Hour)},
		"slo: {target: 99.95, window: 28d}\n": {99.95, Duration(672 * time.Hour)},
	} {
		s, err := Parse("s.yaml", append(example(t), text...))
		if err != nil || s.SLO != want {
			t.Errorf("%q: %+v, %v", text, s.SLO, err)
		}
	}
}

func TestServing(t *testing.T) {
	s, err := Load("region-loss")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ lost, want []string }{
		{nil, []string{"us-east-1", "us-east-2"}},
		{[]string{"us-east-control"}, []string{"us-east-1", "us-east-2"}},
		{[]string{"us-east-1"}, []string{"us-east-2"}},
		{[]string{"us-east-1", "us-east-2", "us-east-control"}, []string{"us-west-1", "us-west-2"}},
		{[]string{"us-east-1", "us-east-2", "us-west-1", "us-west-2"}, nil},
	} {
		if got := s.Topology.Serving(test.lost); !slices.Equal(got, test.want) {
			t.Errorf("without %v: %v, not %v", test.lost, got, test.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	all, err := Catalogue()
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range all {
		b, err := catalogue.ReadFile("catalogue/" + s.Metadata.Name + ".yaml")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte("a: &a [*a]"))
	f.Add([]byte("metadata: {name: 1}\n---\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := Parse("s.yaml", b)
		if err != nil {
			if problems := (Problems)(nil); !errors.As(err, &problems) || len(problems) == 0 {
				t.Fatalf("error is no list of problems: %v", err)
			}
			return
		}
		plan, err := (&Plan{Scenario: s}).YAML()
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse("plan.yaml", plan)
		if err != nil {
			t.Fatalf("%v\n%s", err, plan)
		}
		second, err := (&Plan{Scenario: again}).YAML()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(plan), string(second)); diff != "" {
			t.Errorf("a plan that is read and written changes (-want +got):\n%s", diff)
		}
	})
}

// TestAnswersAreExpectedAsPeopleWriteThem also wants the expectation to come through the plan, which is JSON.
func TestAnswersAreExpectedAsPeopleWriteThem(t *testing.T) {
	text := strings.Replace(string(example(t)), "status: 401", "status: 401, body: /no (key|token)/, header: {x-region: us-east, etag: }", 1)
	s, err := Parse("s.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	document, err := json.Marshal(s.SteadyState.Probes[1])
	if err != nil {
		t.Fatal(err)
	}
	var p Probe
	if err := json.Unmarshal(document, &p); err != nil {
		t.Fatal(err)
	}
	want, err := p.Expect.Expectation()
	if err != nil || want.Match.String() != "no (key|token)" || !want.Header["X-Region"].MatchString("us-east") ||
		want.Header["X-Region"].MatchString("us-east-1") || len(want.Header) != 2 || want.Header["Etag"] != nil {
		t.Errorf("%+v, %v from %s", want, err, document)
	}
}

// TestPlanSaysHowTheFleetIsReached: who approves a plan approves the commands and the engine that it would be carried out by.
func TestPlanSaysHowTheFleetIsReached(t *testing.T) {
	s, err := Load("region-loss")
	if err != nil {
		t.Fatal(err)
	}
	hashes := map[string]bool{}
	for _, reach := range [][]string{nil, {`host: "unix:///run/a.sock"`}, {`host: "unix:///run/b.sock"`}} {
		text, err := (&Plan{Scenario: s, Fleet: reach}).YAML()
		if err != nil {
			t.Fatal(err)
		}
		hashes[Hash(text)] = true
		if _, err := Parse("plan.yaml", text); err != nil {
			t.Error(err)
		}
	}
	if len(hashes) != 3 {
		t.Errorf("%d hashes of 3 plans", len(hashes))
	}
}
