package scenarios

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gwdr/fleet"
)

// composed is region-loss with other steps, no objective that needs a fault to the end, and no cap.
func composed(t testing.TB, steps ...string) (*Scenario, error) {
	t.Helper()
	text, _, _ := strings.Cut(string(example(t)), "\nsteps:")
	text = strings.NewReplacer("  - {id: rpo, metric: rpa, le: 2s}\n", "", "maxTargets: 3, keepHealthyRegions: 1", "maxTargets: 9").Replace(text)
	text += "\nsteps:\n  - " + strings.Join(steps, "\n  - ") + "\nrevert: {order: reverse, verify: true, settle: 20s}\n"
	text = strings.Replace(text, "targets:", "targets:\n  one: {select: {instance: us-east-1}}\n  two: {select: {instance: us-west-1}}\n  all: {select: {role: data}}", 1)
	return Parse("s.yaml", []byte(text))
}

func planned(t testing.TB, steps ...string) (*Plan, error) {
	t.Helper()
	s, err := composed(t, steps...)
	if err != nil {
		t.Fatal(err)
	}
	return s.Plan(s.Topology.Instances())
}

// TestExpand shows what becomes of each way to compose steps.
func TestExpand(t *testing.T) {
	for name, test := range map[string]struct {
		steps []string
		want  []string
	}{
		"one":      {[]string{"{id: a, fault: kill, target: one}"}, []string{"a: us-east-1 at 0s until recovered+0s"}},
		"parallel": {[]string{"{id: a, fault: kill, target: one, when: 3s}", "{id: b, fault: pause, target: two, when: 3s, hold: 10s}"}, []string{"a: us-east-1 at 0s until recovered+0s", "b: us-west-1 at 0s for 10s"}},
		"delayed":  {[]string{"{id: a, fault: kill, target: one, when: 2s}", "{id: b, fault: kill, target: two, when: 5s}"}, []string{"a: us-east-1 at 0s until recovered+0s", "b: us-west-1 at 5s until recovered+0s"}},
		"serial": {[]string{"{id: a, fault: kill, target: one, hold: 10s}", "{id: b, fault: kill, target: one, after: a, when: 2s}"},
			[]string{"a: us-east-1 at 0s for 10s", "b: us-east-1 2s after a at 12s until recovered+0s"}},
		"staggered": {[]string{"{id: a, fault: kill, target: all, stagger: 2s, hold: until-recovered+5s}"},
			[]string{"a-1: us-east-1 at 0s until recovered+5s", "a-2: us-east-2 at 2s until recovered+5s", "a-3: us-west-1 at 4s until recovered+5s", "a-4: us-west-2 at 6s until recovered+5s"}},
		"one by one": {[]string{"{id: a, fault: kill, target: all, stagger: 2s, hold: 2s}"},
			[]string{"a-1: us-east-1 at 0s for 2s", "a-2: us-east-2 2s behind a-1 at 2s for 2s", "a-3: us-west-1 4s behind a-2 at 4s for 2s", "a-4: us-west-2 6s behind a-3 at 6s for 2s"}},
		"repeated": {[]string{"{id: a, fault: kill, target: one, hold: 5s, repeat: {times: 3, every: 20s}}"},
			[]string{"a-1: us-east-1 at 0s for 5s", "a-2: us-east-1 20s behind a-1 at 20s for 5s", "a-3: us-east-1 40s behind a-2 at 40s for 5s"}},
		"below a recovery": {[]string{"{id: a, fault: kill, target: one}", "{id: p, recover: promote, to: us-west}", "{id: b, fault: kill, target: two, when: 3s}"},
			[]string{"a: us-east-1 at 0s until recovered+0s", "b: us-west-1 3s after p until recovered+0s"}},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := planned(t, test.steps...)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, in := range p.Injections {
				got = append(got, described(p, in))
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("injections (-want +got):\n%s", diff)
			}
		})
	}
}

func described(p *Plan, in Injection) string {
	text := in.ID + ": " + strings.Join(in.Targets, " ")
	if in.Start.After != "" {
		text += fmt.Sprintf(" %s after %s", in.Start.Delay, in.Start.After)
	}
	if in.Start.Behind != "" {
		text += fmt.Sprintf(" %s behind %s", in.Start.Delay, in.Start.Behind)
	}
	if at, known := p.Begins(in); known {
		text += fmt.Sprintf(" at %s", at)
	}
	if in.End.Recovered {
		return text + fmt.Sprintf(" until recovered+%s", in.End.Hold)
	}
	return text + fmt.Sprintf(" for %s", in.End.Hold)
}

// TestPlanRefusesWhatCannotBe wants to be told which steps do not go together.
func TestPlanRefusesWhatCannotBe(t *testing.T) {
	for name, test := range map[string]struct {
		steps []string
		want  string
	}{
		"crossed":        {[]string{"{id: a, fault: kill, target: one, hold: 10s}", "{id: b, fault: pause, target: all, when: 2s, hold: 20s}"}, "a and b may be in effect in us-east-1 at the same time"},
		"at once":        {[]string{"{id: a, fault: kill, target: one, hold: 10s}", "{id: b, fault: pause, target: one}"}, "a and b may be in effect in us-east-1"},
		"inner one ends": {[]string{"{id: a, fault: kill, target: one}", "{id: b, fault: pause, target: one, when: 2s, hold: 2s}"}, ""},
		"both to end":    {[]string{"{id: a, fault: kill, target: one}", "{id: b, fault: pause, target: one}"}, ""},
		"in turn":        {[]string{"{id: a, fault: kill, target: one, hold: 1s}", "{id: b, fault: pause, target: two, after: a, hold: 1s}", "{id: c, fault: kill, target: one, after: b, hold: 1s}"}, ""},
		"too long":       {[]string{"{id: a, fault: kill, target: one, hold: 25s, repeat: {times: 3, every: 25s}}"}, "a-3 would last until 1m15s after the first fault, and recovered.deadline ends the drill after 1m0s"},
		"same name":      {[]string{"{id: a, fault: kill, target: all, stagger: 1s}", "{id: a-2, fault: kill, target: one, when: 5s}"}, "a fault of step a would be called a-2"},
		"too many":       {[]string{"{id: a, fault: kill, target: all, hold: 100ms, stagger: 100ms, repeat: {times: 26, every: 400ms}}"}, "104 faults would be injected, at most 100"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := planned(t, test.steps...)
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

// TestRollingKeepsRegions shows that faults which come one after another count one by one.
func TestRollingKeepsRegions(t *testing.T) {
	s, err := composed(t, "{id: a, fault: kill, target: all, stagger: 2s, hold: 2s}")
	if err != nil {
		t.Fatal(err)
	}
	s.Safety.KeepHealthyRegions = 2
	if _, err := s.Plan(s.Topology.Instances()); err != nil {
		t.Errorf("one by one: %v", err)
	}
	s.Steps[0].Hold = "3s"
	if _, err := s.Plan(s.Topology.Instances()); !errors.Is(err, ErrUnsafe) {
		t.Errorf("overlapping: %v", err)
	}
}

// TestPick shows that a seed picks the same instances of the same ones in any order, and that seeds are drawn once.
func TestPick(t *testing.T) {
	s, err := composed(t, "{id: a, fault: kill, target: all}")
	if err != nil {
		t.Fatal(err)
	}
	all := s.Topology.Instances()
	s.Targets["all"] = Target{Select: fleet.Selector{Role: fleet.Data}, Pick: Pick{Count: 2}}
	n := uint64(40)
	draw := func() uint64 { n++; return n }
	if drawn := s.DrawSeeds(draw); !slices.Equal(drawn, []string{"all"}) || s.Targets["all"].Pick.Seed != 41 {
		t.Errorf("drawn %v: %+v", drawn, s.Targets["all"])
	}
	if drawn := s.DrawSeeds(draw); drawn != nil {
		t.Errorf("drawn again: %v", drawn)
	}
	first, err := s.Plan(all)
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(all)
	second, err := s.Plan(all)
	if err != nil || len(first.Injections[0].Targets) != 2 {
		t.Fatalf("%+v, %v", first.Injections, err)
	}
	if diff := cmp.Diff(first.Injections, second.Injections); diff != "" {
		t.Errorf("picked in another order (-first +second):\n%s", diff)
	}
	if want := []string{"us-east-2", "us-west-2"}; !slices.Equal(first.Injections[0].Targets, want) {
		t.Errorf("seed 41 picks %v, and picked %v when it was written down", first.Injections[0].Targets, want)
	}
	s.Targets["all"] = Target{Select: fleet.Selector{Role: fleet.Data}, Pick: Pick{Count: 5, Seed: 1}}
	if _, err := s.Plan(all); !errors.Is(err, ErrUnsafe) {
		t.Errorf("five of four: %v", err)
	}
}

// TestPlansHold composes steps at random, and plays each plan with random times that a drill allows: every injection has one
// end, those in one instance end in reverse order, those that come after others do, and no drill takes longer than the worst
// case.
func TestPlansHold(t *testing.T) {
	planned := 0
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 1))
		s, err := composed(t, randomSteps(r)...)
		if err != nil {
			continue // an rpa that is not there, a repeat that is too quick: refused, and well so
		}
		p, err := s.Plan(s.Topology.Instances())
		if err != nil {
			continue
		}
		planned++
		play(t, p, r)
		if t.Failed() {
			t.Fatalf("seed %d: %+v", seed, s.Steps)
		}
	}
	if planned < 300 {
		t.Errorf("only %d plans were played", planned)
	}
}

func randomSteps(r *rand.Rand) []string {
	var steps []string
	for i := range 1 + r.IntN(4) {
		if i > 0 && r.IntN(5) == 0 {
			steps = append(steps, fmt.Sprintf("{id: s%d, recover: promote, to: us-west, when: %dms}", i, r.IntN(3000)))
			continue
		}
		text := fmt.Sprintf("{id: s%d, fault: kill, target: %s", i, []string{"one", "two", "all"}[r.IntN(3)])
		for _, field := range []string{
			fmt.Sprintf("hold: %dms", 100+r.IntN(5000)), fmt.Sprintf("when: %dms", r.IntN(3000)), fmt.Sprintf("after: s%d", r.IntN(i+1)),
			fmt.Sprintf("stagger: %dms", 1+r.IntN(3000)), fmt.Sprintf("repeat: {times: %d, every: %dms}", 1+r.IntN(4), 100+r.IntN(8000)),
		} {
			if r.IntN(2) == 0 {
				text += ", " + field
			}
		}
		steps = append(steps, text+"}")
	}
	return steps
}

// played is one injection as it went.
type played struct {
	Injection
	from, to time.Duration
}

// play is a drill without a fleet: everything takes as long as chance has it, within what a drill allows.
func play(t *testing.T, p *Plan, r *rand.Rand) {
	t.Helper()
	upTo := func(d time.Duration) time.Duration { return time.Duration(r.Int64N(int64(d) + 1)) }
	over := map[string]time.Duration{} // steps and injections
	deadline := p.Scenario.Recovered.Deadline.D()
	var all []played
	last := time.Duration(0)
	for _, step := range p.Scenario.Steps {
		if step.Recover != "" {
			start := p.Scenario.Recovery(step)
			over[step.ID] = over[start.After] + start.Delay + upTo(2*time.Second)
			last = max(last, over[step.ID])
			continue
		}
		for _, in := range p.Injections {
			if in.Step != step.ID {
				continue
			}
			one := played{Injection: in, from: max(over[in.Start.After]+in.Start.Delay, over[in.Start.Behind]), to: 1 << 62}
			if !in.End.Recovered {
				one.to = one.from + upTo(time.Second) + in.End.Hold + upTo(time.Second)
				over[in.ID], over[step.ID] = one.to, max(over[step.ID], one.to)
				last = max(last, one.to)
			}
			last = max(last, one.from)
			all = append(all, one)
		}
	}
	total := p.Scenario.BaselineLimit() + min(last+upTo(deadline), deadline) + p.Scenario.Sustain() + 2*upTo(ReadBackLimit) + 3*upTo(p.Scenario.Revert.Settle.D())
	for range all {
		total += upTo(VerifyLimit) + upTo(RevertLimit)
	}
	if total > p.Worst {
		t.Errorf("took %s, the worst case is %s", total, p.Worst)
	}
	if len(all) != len(p.Injections) {
		t.Errorf("%d of %d injections were played", len(all), len(p.Injections))
	}
	for i, a := range all {
		for _, b := range all[i+1:] {
			a, b := a, b
			if b.from < a.from {
				a, b = b, a
			}
			if shared := slices.ContainsFunc(a.Targets, func(id string) bool { return slices.Contains(b.Targets, id) }); shared && b.from < a.to && a.to < b.to {
				t.Errorf("%s (%s to %s) and %s (%s to %s) cross", a.ID, a.from, a.to, b.ID, b.from, b.to)
			}
			if !p.Together(a.Injection, b.Injection) && b.from < a.to {
				t.Errorf("%s and %s are together", a.ID, b.ID)
			}
		}
	}
}
