package fleet

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParamsCheck(t *testing.T) {
	for name, test := range map[string]struct {
		kind FaultKind
		with Params
		want []string
	}{
		"none taken, none given":   {Kill, Params{}, nil},
		"none taken":               {Kill, Params{Seed: 1}, []string{"seed: fault kill takes no parameters"}},
		"all that it takes":        {Latency, Params{Delay: time.Second, Jitter: time.Second, Peer: Selector{Region: "east"}}, nil},
		"one is missing":           {Latency, Params{Jitter: time.Millisecond}, []string{": fault latency needs delay", "jitter: must be from 1µs to 1µs"}},
		"more jitter than delay":   {Latency, Params{Delay: time.Second, Jitter: 2 * time.Second}, []string{"jitter: must be from 1µs to 1s"}},
		"of another kind":          {Pause, Params{Share: 0.5}, []string{"share: fault pause takes no parameters"}},
		"a clock that is slow":     {ClockOffset, Params{Offset: -5 * time.Minute}, nil},
		"a clock of another day":   {ClockOffset, Params{Offset: 25 * time.Hour}, []string{"offset: must be from -24h0m0s to 24h0m0s"}},
		"more than all":            {Loss, Params{Share: 1.5}, []string{"share: must be from 0.001 to 1"}},
		"a mode":                   {StoreCorrupt, Params{Mode: "truncate"}, nil},
		"a mode of another":        {StoreCorrupt, Params{Mode: "idle"}, []string{"mode: must be one of flip, truncate"}},
		"a mode where there is no": {Latency, Params{Delay: time.Second, Mode: "x"}, []string{"mode: fault latency takes only delay, jitter, peer"}},
		"an unknown kind":          {"nuke", Params{}, []string{`: there is no fault "nuke"`}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			test.with.Check(test.kind, func(name, problem string) { got = append(got, name+": "+problem) })
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
			if err := test.with.Err(test.kind); (err == nil) != (len(got) == 0) {
				t.Errorf("error is %v", err)
			}
		})
	}
}

func TestKindsAreWhole(t *testing.T) {
	seen := map[FaultKind]bool{}
	for _, k := range Kinds() {
		if seen[k.Kind] {
			t.Errorf("%s is there twice", k.Kind)
		}
		seen[k.Kind] = true
		if k.Does == "" || k.Undo == "" || len(k.Roles) == 0 {
			t.Errorf("%s is not described: %+v", k.Kind, k)
		}
		var names []string
		for _, p := range (Params{}).list(k) {
			names = append(names, p.name)
		}
		for _, name := range append(slices.Clone(k.Needs), k.Takes...) {
			if !slices.Contains(names, name) {
				t.Errorf("%s takes %q, which is no parameter", k.Kind, name)
			}
		}
		if takesMode := slices.Contains(append(slices.Clone(k.Needs), k.Takes...), "mode"); takesMode != (len(k.Modes) > 0) {
			t.Errorf("%s takes a mode: %v, and has %v", k.Kind, takesMode, k.Modes)
		}
	}
}
