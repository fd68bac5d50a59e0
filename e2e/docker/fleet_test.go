//go:build linux

package docker

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gwdr/drills"
	"gwdr/fleet"
	"gwdr/fleet/docker"
	"gwdr/fleet/fleettest"
)

func TestConformance(t *testing.T) {
	w := newWorld(t, false) // one for all: every test ends with a healthy fleet, or fails
	before := w.allFacts()
	east := fleet.Selector{Region: "us-east"}
	fleettest.Run(t, fleettest.Suite{
		Open: func(t *testing.T) fleet.Fleet { return w.fleet(t) },
		Reopen: func(t *testing.T, u fleet.Undo) fleet.Fleet {
			f, err := docker.Reopen(t.Context(), u, quiet())
			if err != nil {
				t.Fatal(err)
			}
			return f
		},
		Guard: guard,
		Faults: map[fleet.FaultKind]fleettest.Case{
			fleet.Kill:        {Selector: east},
			fleet.Stop:        {Selector: east},
			fleet.Pause:       {Selector: east},
			fleet.Isolate:     {Selector: east},
			fleet.Slow:        {Selector: fleet.Selector{Instance: "us-east-1"}, With: fleet.Params{Share: 0.2}},
			fleet.RestartLoop: {Selector: fleet.Selector{Instance: "us-west-1"}, With: fleet.Params{Every: 200 * time.Millisecond}},
		},
	})
	if diff := cmp.Diff(before, w.allFacts()); diff != "" {
		t.Errorf("containers after all faults (-before +after):\n%s", diff)
	}
}

// guard starts a drill's guard, the real process, over the fault.
func guard(t *testing.T, u fleet.Undo) (beat func() error) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "20260101T000000Z-conformance-0000")
	line, err := json.Marshal(u)
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, drills.UndoFile), append(line, '\n'), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	g, err := (&drills.GuardCommand{Args: []string{binary, "drill", "guard"}}).Start(t.Context(), dir, u.Fault.Lease)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // it ends by itself, once it has reverted
		g.Abandon()
		<-g.Gone()
	})
	return g.Beat
}

// TestRegionKeepsItsAddresses disconnects a region and connects it again, in another process.
func TestRegionKeepsItsAddresses(t *testing.T) {
	w := newWorld(t, false)
	before, f := w.allFacts(), w.fleet(t)
	u := w.prepare(t, f, fleet.Isolate, fleet.Params{})
	if err := f.Inject(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	if now := w.facts("us-east-1"); now.Address != "" || !now.Running {
		t.Errorf("an isolated container is %+v", now)
	}
	seen, err := f.Verify(t.Context(), u)
	if err != nil {
		t.Error(err)
	}
	t.Log(seen)
	other, err := docker.Reopen(t.Context(), u, quiet())
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Revert(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, w.allFacts()); diff != "" {
		t.Errorf("containers (-before +after):\n%s", diff)
	}
}

// TestContainerRemoved removes one of two targets during each kind of fault: the other is reverted, and nothing is left.
func TestContainerRemoved(t *testing.T) {
	for kind, with := range map[fleet.FaultKind]fleet.Params{fleet.Kill: {}, fleet.Stop: {}, fleet.Pause: {}, fleet.Isolate: {}, fleet.Slow: {Share: 0.5}, fleet.RestartLoop: {}} {
		t.Run(string(kind), func(t *testing.T) {
			w := newWorld(t, false)
			before, f := w.facts("us-east-2"), w.fleet(t)
			u := w.prepare(t, f, kind, with)
			if err := f.Inject(t.Context(), u); err != nil {
				t.Fatal(err)
			}
			daemon.must(t, "DELETE", "/containers/us-east-1?force=true", nil, nil)
			for range 2 {
				if err := f.Revert(t.Context(), u); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(before, w.facts("us-east-2")); diff != "" {
				t.Errorf("the other container (-before +after):\n%s", diff)
			}
			if left, err := f.Leftovers(t.Context()); err != nil || len(left) > 0 {
				t.Errorf("left: %v, %v", left, err)
			}
		})
	}
}

// TestInterruptedStop: the drill is killed while the engine waits for the end of a container. Whoever reverts does not take that for well
// which is about to end.
func TestInterruptedStop(t *testing.T) {
	w := newWorld(t, false)
	f := w.fleet(t)
	var state struct{ State struct{ Pid int } }
	daemon.must(t, http.MethodGet, "/containers/us-east-1/json", nil, &state)
	u := w.prepare(t, f, fleet.Stop, fleet.Params{})
	if err := syscall.Kill(state.State.Pid, syscall.SIGSTOP); err != nil { // it does not end when it is asked to
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if err := f.Inject(ctx, u); err == nil {
		t.Fatal("it has ended at once")
	}
	w.revert(f, u)
	for end := time.Now().Add(12 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) { // longer than the engine waits
		if !w.facts("us-east-1").Running {
			t.Fatal("it was killed after the revert")
		}
	}
}

// TestDaemonRestarted restarts the engine during each kind of fault, which ends some of them and starts what it may start.
func TestDaemonRestarted(t *testing.T) {
	for kind, with := range map[fleet.FaultKind]fleet.Params{
		fleet.Kill: {}, fleet.Stop: {}, fleet.Pause: {}, fleet.Isolate: {}, fleet.Slow: {Share: 0.5},
		fleet.RestartLoop: {Every: 15 * time.Second}, // between two rounds: in the middle of a start, an engine of 20.10 loses track of a container
	} {
		t.Run(string(kind), func(t *testing.T) {
			w := newWorld(t, true)
			before, f := w.allFacts(), w.fleet(t)
			u := w.prepare(t, f, kind, with)
			if err := f.Inject(t.Context(), u); err != nil {
				t.Fatal(err)
			}
			w.restart()
			if left, err := f.Leftovers(t.Context()); err != nil || !cmp.Equal(left, []string{"broken"}) {
				t.Errorf("the engine has forgotten: %v, %v", left, err)
			}
			if now := w.facts("us-east-1"); now.Running && (kind == fleet.Kill || kind == fleet.Stop) {
				t.Errorf("the engine has started it: %+v", now)
			}
			if kind == fleet.RestartLoop {
				w.goesOn(u)
			}
			w.revert(f, u)
			for _, name := range u.Targets {
				if diff := cmp.Diff(before[name], w.facts(name)); diff != "" {
					t.Errorf("%s (-before +after):\n%s", name, diff)
				}
			}
		})
	}
}

// goesOn waits until a restart loop has killed and started its targets once more.
func (w *world) goesOn(u fleet.Undo) {
	w.t.Helper()
	before := w.started(u.Targets)
	w.await(func() error {
		for name, at := range w.started(u.Targets) {
			if at == before[name] {
				return errDiffers(name + " was not started again since the engine was")
			}
		}
		return nil
	})
}

// started says when each container was started last.
func (w *world) started(names []string) map[string]string {
	w.t.Helper()
	at := map[string]string{}
	for _, name := range names {
		var c struct{ State struct{ StartedAt string } }
		daemon.must(w.t, "GET", "/containers/"+name+"/json", nil, &c)
		at[name] = c.State.StartedAt
	}
	return at
}

// TestNetworkRemoved removes the network of an isolated region, which nothing keeps from it: a container without its network
// is not as it was, and not gone either.
func TestNetworkRemoved(t *testing.T) {
	w := newWorld(t, false)
	daemon.network(t, map[string]any{"Name": "behind", "IPAM": map[string]any{"Config": []any{map[string]any{"Subnet": freeSubnet(t) + ".0/24"}}}})
	daemon.must(t, "POST", "/networks/behind/connect", map[string]any{"Container": "us-east-1"}, nil)
	f := w.fleet(t)
	u := w.prepare(t, f, fleet.Isolate, fleet.Params{})
	if err := f.Inject(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	daemon.must(t, "DELETE", "/networks/behind", nil, nil)
	wants(t, f.Revert(t.Context(), u), "us-east-1", "network behind was removed meanwhile")
	if left, err := f.Leftovers(t.Context()); err != nil || len(left) != 1 {
		t.Errorf("left: %v, %v", left, err)
	}
	daemon.must(t, "DELETE", "/containers/us-east-1?force=true", nil, nil)
	w.revert(f, u)
}

// TestMarkGone takes away what says on the engine that the fault is in effect: the drill would abort, and revert.
func TestMarkGone(t *testing.T) {
	w := newWorld(t, false)
	before, f := w.allFacts(), w.fleet(t)
	u := w.prepare(t, f, fleet.Kill, fleet.Params{})
	if err := f.Inject(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	if err := f.Renew(t.Context(), u); err != nil {
		t.Errorf("renew: %v", err)
	}
	daemon.must(t, "POST", "/volumes/prune", nil, nil)
	wants(t, f.Renew(t.Context(), u), "not in effect any more")
	w.revert(f, u)
	if diff := cmp.Diff(before, w.allFacts()); diff != "" {
		t.Errorf("containers (-before +after):\n%s", diff)
	}
}

// TestNoEngine: what cannot be seen is not taken for reverted.
func TestNoEngine(t *testing.T) {
	w := newWorld(t, false)
	f := w.fleet(t)
	u := w.prepare(t, f, fleet.Kill, fleet.Params{})
	if err := daemon.stop(); err != nil {
		t.Fatal(err)
	}
	wants(t, f.Revert(t.Context(), u), "engine is not to be had at unix://")
	_, err := docker.Reopen(t.Context(), u, quiet())
	wants(t, err, "engine is not to be had at unix://")
	if err := daemon.start(); err != nil {
		t.Fatal(err)
	}
	w.revert(f, u)
}

// TestAddressTaken gives the address of an isolated container to another one. If somebody had asked for the address, that is
// an error for as long as it is so; one that the engine had chosen is nobody's.
func TestAddressTaken(t *testing.T) {
	for name, asked := range map[string]bool{"asked for": true, "chosen by the engine": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, asked)
			f := w.fleet(t)
			before, u := w.facts("us-east-1"), w.prepare(t, f, fleet.Isolate, fleet.Params{})
			if err := f.Inject(t.Context(), u); err != nil {
				t.Fatal(err)
			}
			w.create("thief", nil, "", before.Address, "lab", "echo", "--file", "/echo.json")
			w.start("thief")
			if !asked {
				w.revert(f, u)
				before.Address = w.facts("us-east-1").Address
			} else {
				wants(t, f.Revert(t.Context(), u), "us-east-1", before.Address, "container thief")
				daemon.must(t, "DELETE", "/containers/thief?force=true", nil, nil)
				w.revert(f, u)
			}
			if now := w.facts("us-east-1"); now != before || now.Address == "" {
				t.Errorf("container is %+v, it was %+v", now, before)
			}
			if left, err := f.Leftovers(t.Context()); err != nil || len(left) > 0 {
				t.Errorf("left: %v, %v", left, err)
			}
		})
	}
}
