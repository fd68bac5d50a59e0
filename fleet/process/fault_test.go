package process

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"gwdr/fleet"
	"gwdr/fleet/fleettest"
)

func TestConformance(t *testing.T) {
	lab := up(t, newOptions(t)) // one lab for all: every test ends with a healthy fleet, or fails
	newLocation(t, lab, "local")
	newLocation(t, lab, "nas")
	fleettest.Run(t, fleettest.Suite{
		Open: func(t *testing.T) fleet.Fleet {
			t.Cleanup(func() { // so that one failure is one
				faults, _ := lab.Faults(context.Background())
				for _, f := range faults {
					lab.do(context.Background(), http.MethodDelete, "/faults/"+f.ID, nil, nil)
				}
			})
			return lab
		},
		Reopen: func(t *testing.T, u fleet.Undo) fleet.Fleet {
			other, err := Reopen(u)
			if err != nil {
				t.Fatal(err)
			}
			return other
		},
		Faults: possible(t, map[fleet.FaultKind]fleettest.Case{
			fleet.Kill:           {Selector: fleet.Selector{Region: "us-east"}},
			fleet.Pause:          {Selector: fleet.Selector{Instance: "us-east-1"}},
			fleet.Slow:           {Selector: fleet.Selector{Instance: "us-east-1"}, With: fleet.Params{Share: 0.3}},
			fleet.RestartLoop:    {Selector: fleet.Selector{Instance: "us-east-1"}, With: fleet.Params{Every: 100 * time.Millisecond}},
			fleet.CPUPressure:    {Selector: fleet.Selector{Instance: "us-east-1"}, With: fleet.Params{Count: 1}},
			fleet.MemoryPressure: {Selector: fleet.Selector{Instance: "us-east-1"}, With: fleet.Params{Bytes: 32 << 20}},
			fleet.ClockOffset:    {Selector: fleet.Selector{Instance: "us-east-1"}, With: fleet.Params{Offset: -time.Hour}},

			fleet.UpstreamError: {Selector: fleet.Selector{Role: fleet.Upstream}, With: fleet.Params{Share: 0.5}},
			fleet.UpstreamSlow:  {Selector: fleet.Selector{Instance: echoID}, With: fleet.Params{Delay: 200 * time.Millisecond}},

			fleet.Isolate:   {Selector: fleet.Selector{Region: "us-east"}},
			fleet.Partition: {Selector: fleet.Selector{Instance: "us-east-control"}, With: fleet.Params{Peer: fleet.Selector{Region: "us-west"}}},
			fleet.Latency:   {Selector: fleet.Selector{Instance: "us-east-1"}, With: fleet.Params{Delay: 50 * time.Millisecond, Jitter: 20 * time.Millisecond}},
			fleet.Bandwidth: {Selector: fleet.Selector{Role: fleet.Upstream}, With: fleet.Params{Rate: 1 << 20}},
			fleet.Reset:     {Selector: fleet.Selector{Region: "us-east", Role: fleet.Data}, With: fleet.Params{Peer: fleet.Selector{Role: fleet.Edge}}},
			fleet.BlackHole: {Selector: fleet.Selector{Role: fleet.Upstream}},

			fleet.StoreWipe:    {Selector: fleet.Selector{Instance: "us-east-control"}},
			fleet.StoreCorrupt: {Selector: fleet.Selector{Instance: "us-east-control"}},
			fleet.DiskFull:     {Selector: fleet.Selector{Instance: "us-east-control"}},

			fleet.LocationDeny:    {Selector: fleet.Selector{Instance: "nas"}},
			fleet.LocationCorrupt: {Selector: fleet.Selector{Instance: "nas"}, With: fleet.Params{Count: 2, Seed: 3}},
			fleet.LocationDelete:  {Selector: fleet.Selector{Role: fleet.Location}},
		}),
	})
}

// possible leaves out what cannot be done on this system or by this user, and says so.
func possible(t *testing.T, cases map[fleet.FaultKind]fleettest.Case) map[fleet.FaultKind]fleettest.Case {
	t.Helper()
	for kind, c := range cases {
		if refuse := injectors()[kind].refuse; refuse != nil {
			if err := refuse(fleet.Fault{Kind: kind, With: c.With}); errors.Is(err, fleet.ErrUnsupported) {
				t.Logf("not tested: %s: %v", kind, err)
				delete(cases, kind)
			}
		}
	}
	return cases
}

func TestPrepareRefuses(t *testing.T) {
	lab := up(t, newOptions(t))
	all, err := lab.Instances(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	data := fleet.Selector{Instance: "us-east-1"}.Select(all)
	for want, test := range map[string]struct {
		fault   fleet.Fault
		targets []fleet.Instance
	}{
		"fault store-wipe of us-east-1, whose role is data: fault is not supported": {
			fleet.Fault{ID: "a", Kind: fleet.StoreWipe, Lease: time.Hour}, data},
		"fault a needs a lease":                 {fleet.Fault{ID: "a", Kind: fleet.Kill}, data},
		"fault id \"../a\" is not of the form":  {fleet.Fault{ID: "../a", Kind: fleet.Kill, Lease: time.Hour}, data},
		"target us-east-1 is there twice":       {fleet.Fault{ID: "a", Kind: fleet.Kill, Lease: time.Hour}, append(data, data...)},
		"fault is not supported by this fleet":  {fleet.Fault{ID: "a", Kind: fleet.Kill, Lease: time.Hour}, []fleet.Instance{{ID: echoID}}},
		"the lab has no instance \"us-east-9\"": {fleet.Fault{ID: "a", Kind: fleet.Kill, Lease: time.Hour}, []fleet.Instance{{ID: "us-east-9"}}},
	} {
		if _, err := lab.Prepare(t.Context(), test.fault, test.targets); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
}

// content returns what the fake gateway's store holds.
func content(t *testing.T, lab *Lab) string {
	t.Helper()
	text, err := os.ReadFile(fakeStore{lab.dir.node("us-east-control")}.content())
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestWipedStoreComesBack(t *testing.T) {
	lab := up(t, newOptions(t))
	before := content(t, lab)
	u := prepare(t, lab, fleet.StoreWipe, fleet.Selector{Instance: "us-east-control"})
	if err := lab.Inject(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	if p := processes(t, lab)["us-east-control"]; !p.Running {
		t.Errorf("control plane without a store does not run: %+v", p)
	}
	if err := lab.Revert(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	if after := content(t, lab); after != before {
		t.Errorf("store is another one after the revert: %q, not %q", after, before)
	}
	nothingAside(t, lab)
}

func TestRestoredStoreStays(t *testing.T) {
	lab := up(t, newOptions(t))
	before := content(t, lab)
	u := prepare(t, lab, fleet.StoreWipe, fleet.Selector{Instance: "us-east-control"})
	if err := lab.Inject(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post(lab.ControlURL("us-east")+"/v1/apply", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	restored := content(t, lab)
	if err := lab.Revert(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	if after := content(t, lab); after != restored || after == before {
		t.Errorf("store holds %q after the revert, not %q", after, restored)
	}
	nothingAside(t, lab)
}

func nothingAside(t *testing.T, lab *Lab) {
	t.Helper()
	entries, err := os.ReadDir(lab.dir.node("us-east-control"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.Contains(e.Name(), "before") || strings.Contains(e.Name(), "undamaged") {
			t.Errorf("%s is left", e.Name())
		}
	}
}

// TestFaultsOnTopOfEachOther kills a control plane whose store was wiped: only the reverse order works.
func TestFaultsOnTopOfEachOther(t *testing.T) {
	lab := up(t, newOptions(t))
	before := content(t, lab)
	control := fleet.Selector{Instance: "us-east-control"}
	wipe := prepare(t, lab, fleet.StoreWipe, control)
	if err := lab.Inject(t.Context(), wipe); err != nil {
		t.Fatal(err)
	}
	kill := prepare(t, lab, fleet.Kill, control)
	kill.Fault.ID = "on-top"
	if err := lab.Inject(t.Context(), kill); err != nil {
		t.Fatal(err)
	}
	if err := lab.Revert(t.Context(), wipe); err == nil || !strings.Contains(err.Error(), "kept down by fault on-top") {
		t.Errorf("revert in the wrong order: %v", err)
	}
	faults, err := lab.Faults(t.Context())
	if err != nil || len(faults) != 2 || faults[1].Problem == "" {
		t.Errorf("faults %+v, %v; want the problem of the second", faults, err)
	}
	for _, u := range []fleet.Undo{kill, wipe} {
		if err := lab.Revert(t.Context(), u); err != nil {
			t.Fatal(err)
		}
	}
	if after := content(t, lab); after != before {
		t.Errorf("store is another one after the reverts: %q, not %q", after, before)
	}
}

// TestLeaseKeepsTryingToHeal lets two leases run out in an order in which the first cannot be healed at once.
func TestLeaseKeepsTryingToHeal(t *testing.T) {
	lab := up(t, newOptions(t))
	control := fleet.Selector{Instance: "us-east-control"}
	wipe := prepare(t, lab, fleet.StoreWipe, control)
	wipe.Fault.Lease = time.Second
	if err := lab.Inject(t.Context(), wipe); err != nil {
		t.Fatal(err)
	}
	kill := prepare(t, lab, fleet.Kill, control)
	kill.Fault.ID, kill.Fault.Lease = "on-top", 2*time.Second
	if err := lab.Inject(t.Context(), kill); err != nil {
		t.Fatal(err)
	}
	until(t, "both faults heal", func() bool {
		left, err := lab.Leftovers(t.Context())
		return err == nil && len(left) == 0
	})
	if p := processes(t, lab)["us-east-control"]; !p.Running {
		t.Errorf("control plane does not run: %+v", p)
	}
}

func TestFaultIsGoneWithItsLab(t *testing.T) {
	o := newOptions(t)
	lab := up(t, o)
	u := prepare(t, lab, fleet.Kill, fleet.Selector{Region: "us-east"})
	if err := lab.Inject(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	if err := lab.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
	next := up(t, o) // another lab in the same place has nothing to do with it
	for name, l := range map[string]*Lab{"the lab": lab, "reopened": reopen(t, u)} {
		if left, err := l.Leftovers(t.Context()); err != nil || len(left) > 0 {
			t.Errorf("%s: leftovers %v, %v", name, left, err)
		}
		if err := l.Revert(t.Context(), u); err != nil {
			t.Errorf("%s: revert: %v", name, err)
		}
		if seen, err := l.Verify(t.Context(), u); err == nil {
			t.Errorf("%s: verify says %q", name, seen)
		}
	}
	if err := next.Inject(t.Context(), u); err == nil || !strings.Contains(err.Error(), "prepared for another lab") {
		t.Errorf("inject into another lab: %v", err)
	}
}

func reopen(t *testing.T, u fleet.Undo) *Lab {
	t.Helper()
	l, err := Reopen(u)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestSupervisorAsksForItsToken(t *testing.T) {
	lab := up(t, newOptions(t))
	stranger, err := Open(lab.Dir())
	if err != nil {
		t.Fatal(err)
	}
	stranger.file.Token = "wrong"
	if _, err := stranger.Instances(t.Context()); err == nil || !strings.Contains(err.Error(), "token is missing or wrong") {
		t.Errorf("got %v", err)
	}
}

func TestUndoHoldsNoSecret(t *testing.T) {
	lab := up(t, newOptions(t))
	text, err := json.Marshal(prepare(t, lab, fleet.Kill, fleet.Selector{Region: "us-east"}))
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{lab.file.Token, lab.file.AdminToken, lab.file.LinksToken} {
		if secret == "" || strings.Contains(string(text), secret) {
			t.Errorf("undo %s holds the secret %q", text, secret)
		}
	}
}

func FuzzDecodeUndo(f *testing.F) {
	target := Process{Instance: fleet.Instance{ID: "us-east-1"}, Ports: []string{"127.0.0.1:1"}}
	u, err := encodeUndo("/lab", identity{PID: 1, Start: 2}, fleet.Fault{ID: "a", Kind: fleet.Kill}, []Process{target})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(Driver, []byte(u.Data))
	f.Add("other", []byte(u.Data))
	f.Add(Driver, []byte(`{"lab":{"pid":-1},"dir":"x","targets":[{}]}`))
	f.Add(Driver, []byte(`{"lab":{"pid":1},"dir":"x","targets":[{"id":"a","ports":["b"],"links":[{"link":"c","state":{"mode":"shape"}}]}]}`))
	f.Add(Driver, []byte(`{"lab":{"pid":1},"dir":"/x","targets":[{"id":"a","location":"/x/locations/a","aside":"/x/locations/a.before-b"}]}`))
	f.Add(Driver, []byte(`{"lab":{"pid":1},"dir":"/x","targets":[{"id":"..","location":"/x","aside":"/x/locations/...before-b"}]}`))
	f.Add(Driver, []byte(`null`))
	f.Fuzz(func(t *testing.T, driver string, data []byte) {
		got, err := decodeUndo(fleet.Undo{Driver: driver, Data: data})
		if err == nil && (driver != Driver || got.Lab.PID <= 0 || got.Dir == "" ||
			len(got.Targets[0].Ports) == 0 && !got.Targets[0].beside(layout(got.Dir))) {
			t.Fatalf("%q was read as %+v", data, got)
		}
	})
}
