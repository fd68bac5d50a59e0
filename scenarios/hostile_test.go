package scenarios

import (
	"fmt"
	"strings"
	"testing"
)

// TestIDsOfFaultsAndStepsAreDistinct: the faults of a step that has several are numbered, and no other step may go by such an id.
func TestIDsOfFaultsAndStepsAreDistinct(t *testing.T) {
	twice := "{id: a, fault: kill, target: one, hold: 1s, repeat: {times: 2, every: 5s}}"
	for name, steps := range map[string][]string{
		"a fault":           {twice, "{id: a-1, fault: kill, target: two, hold: 1s}"},
		"several faults":    {twice, "{id: a-1, fault: kill, target: two, hold: 1s, repeat: {times: 2, every: 5s}}"},
		"a recovery":        {twice, "{id: a-2, recover: promote, to: us-west}"},
		"a recovery before": {"{id: b, fault: kill, target: two}", "{id: a-2, recover: promote, to: us-west}", twice},
	} {
		s, err := composed(t, steps...)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := s.Plan(s.Topology.Instances()); err == nil || !strings.Contains(err.Error(), "give one of the steps another id") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestMeasuresAreNumbers: NaN is neither below a bound nor above it.
func TestMeasuresAreNumbers(t *testing.T) {
	for _, share := range []string{".nan", ".inf", "-.inf"} {
		if _, err := composed(t, "{id: a, fault: slow, target: one, with: {share: "+share+"}}"); err == nil || !strings.Contains(err.Error(), "with.share: must be from") {
			t.Errorf("share %s: %v", share, err)
		}
	}
}

// TestTimesOfStepsAreBounded: what would come after all drills, or last longer, is a mistake, and adding to it would overflow.
func TestTimesOfStepsAreBounded(t *testing.T) {
	for step, want := range map[string]string{
		"{id: b, fault: kill, target: two, hold: 1s, when: 2562047h}":  "when: 2562047h0m0s must be from 0s to 24h0m0s",
		"{id: b, recover: promote, to: us-west, when: 2562047h}":       "when: 2562047h0m0s must be from 0s to 24h0m0s",
		"{id: b, fault: kill, target: two, hold: 2562047h}":            "hold: 2562047h0m0s must be from 0s to 24h0m0s",
		"{id: b, fault: kill, target: two, hold: until-recovered+25h}": "hold: 25h0m0s must be from 0s to 24h0m0s",
	} {
		if _, err := composed(t, "{id: a, fault: kill, target: one}", step); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", step, err)
		}
	}
}

// TestStepsAreBounded: what would take hours to plan is refused before.
func TestStepsAreBounded(t *testing.T) {
	var steps []string
	for i := range maxInjections + 1 {
		steps = append(steps, fmt.Sprintf("{id: s%d, fault: kill, target: one, hold: 1s, repeat: {times: 100, every: 2s}}", i))
	}
	if _, err := composed(t, steps...); err == nil || !strings.Contains(err.Error(), "steps: are 101, at most 100 are allowed") {
		t.Error(err)
	}
}
