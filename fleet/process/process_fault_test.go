package process

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"gwdr/fleet"
)

// injected injects a fault with an id of its own, and a lease that outlives the test.
func injected(t *testing.T, lab *Lab, id string, kind fleet.FaultKind, with fleet.Params, instance string) fleet.Undo {
	t.Helper()
	u := prepared(t, lab, id, kind, with, instance)
	if err := lab.Inject(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	return u
}

func prepared(t *testing.T, lab *Lab, id string, kind fleet.FaultKind, with fleet.Params, instance string) fleet.Undo {
	t.Helper()
	f := fleet.Fault{ID: id, Kind: kind, With: with, Lease: time.Hour}
	u, err := lab.Prepare(t.Context(), f, []fleet.Instance{{ID: instance}})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// breakMuch injects a fault of each kind that leaves something behind if nobody cleans up, and returns all processes of the lab.
func breakMuch(t *testing.T, lab *Lab) []identity {
	t.Helper()
	injected(t, lab, "hang", fleet.Pause, fleet.Params{}, "us-east-1")
	injected(t, lab, "slow", fleet.Slow, fleet.Params{Share: 0.1}, "us-east-2")
	injected(t, lab, "loop", fleet.RestartLoop, fleet.Params{Every: 100 * time.Millisecond}, "us-west-1")
	injected(t, lab, "corrupt", fleet.StoreCorrupt, fleet.Params{}, "us-east-control")
	var beside []identity
	if runtime.GOOS == "linux" {
		injected(t, lab, "cpu", fleet.CPUPressure, fleet.Params{Count: 1}, "us-west-2")
		injected(t, lab, "memory", fleet.MemoryPressure, fleet.Params{Bytes: 32 << 20}, "us-west-2")
		for _, fault := range []string{"cpu", "memory"} {
			var id identity
			if err := readJSON(lab.dir.pid(presser(fault, 0)), &id); err != nil || !id.Alive() {
				t.Fatalf("no process of %s: %+v, %v", fault, id, err)
			}
			beside = append(beside, id)
		}
	}
	if refuseFull(fleet.Fault{}) == nil {
		injected(t, lab, "full", fleet.DiskFull, fleet.Params{}, "us-west-control")
	}
	return append(identities(slices.Collect(maps.Values(processes(t, lab)))), beside...)
}

// unmounted fails the test if anything of the lab is mounted where this process can see it.
func unmounted(t *testing.T, lab *Lab) {
	t.Helper()
	if mounts, err := os.ReadFile("/proc/self/mountinfo"); err == nil && bytes.Contains(mounts, []byte(lab.Dir())) {
		t.Errorf("mounts are left:\n%s", mounts)
	}
}

// TestKilledSupervisorTakesItsFaultsWithIt kills it while processes are stopped, spin, hold memory, and have a disk of their own.
func TestKilledSupervisorTakesItsFaultsWithIt(t *testing.T) {
	o := newOptions(t)
	lab := up(t, o)
	all := breakMuch(t, lab)
	unmounted(t, lab)
	if err := lab.file.Kill(); err != nil {
		t.Fatal(err)
	}
	allGone(t, all)
	unmounted(t, lab)
	next := up(t, o) // nothing is in its way
	if err := next.WaitReady(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestTerminatedSupervisorLeavesNothing(t *testing.T) {
	lab := up(t, newOptions(t))
	all := breakMuch(t, lab)
	if err := syscall.Kill(lab.file.PID, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	allGone(t, append(all, lab.file.identity))
	unmounted(t, lab)
	if found, err := Sweep(lab.Dir()); found || err != nil {
		t.Errorf("something was left behind: %t, %v", found, err)
	}
}

// TestAnotherProcessWithThePidIsLeftAlone takes a process for one that had its pid before.
func TestAnotherProcessWithThePidIsLeftAlone(t *testing.T) {
	lab := up(t, newOptions(t))
	p := processes(t, lab)["us-east-1"]
	earlier := identity{PID: p.PID, Start: p.Start - 1}
	if err := earlier.Kill(); err != nil {
		t.Error(err)
	}
	u := prepared(t, lab, "test", fleet.Pause, fleet.Params{}, "us-east-1")
	u.Data = bytes.ReplaceAll(u.Data, encoded(t, identity{PID: p.PID, Start: p.Start}), encoded(t, earlier))
	if err := lab.Inject(t.Context(), u); err == nil || !strings.Contains(err.Error(), "us-east-1 is no longer process") {
		t.Errorf("inject: %v", err)
	}
	if seen, err := lab.Verify(t.Context(), u); err == nil {
		t.Errorf("verify says %q", seen)
	}
	if now := processes(t, lab)["us-east-1"]; now.PID != p.PID || now.Start != p.Start || (identity{PID: p.PID, Start: p.Start}).Stopped() {
		t.Errorf("it was touched: %+v, before %+v", now, p)
	}
}

// encoded returns the fields of an identity as JSON has them.
func encoded(t *testing.T, id identity) []byte {
	t.Helper()
	u, err := encodeUndo("/lab", identity{PID: 1, Start: 1}, fleet.Fault{}, []Process{{Instance: fleet.Instance{PID: id.PID}, Start: id.Start}})
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(u.Data), `"id":"",`)
	fields, _, ends := strings.Cut(rest, `,"ports"`)
	if !found || !ends {
		t.Fatalf("%s holds no identity", u.Data)
	}
	return []byte(fields)
}

func TestTargetRestartedWhilePaused(t *testing.T) {
	lab := up(t, newOptions(t))
	hang := injected(t, lab, "hang", fleet.Pause, fleet.Params{}, "us-east-1")
	if p := processes(t, lab)["us-east-1"]; !p.Running || !p.Stopped {
		t.Errorf("a paused process is listed as %+v", p)
	}
	crash := injected(t, lab, "crash", fleet.Kill, fleet.Params{}, "us-east-1")
	if err := lab.Revert(t.Context(), hang); err == nil || !strings.Contains(err.Error(), "kept down by fault crash") {
		t.Errorf("revert in the wrong order: %v", err)
	}
	if err := lab.Revert(t.Context(), crash); err != nil {
		t.Fatal(err)
	}
	if seen, err := lab.Verify(t.Context(), hang); err == nil {
		t.Errorf("a process that was started afresh is said to hang: %q", seen)
	}
	if err := lab.Revert(t.Context(), hang); err != nil {
		t.Fatal(err)
	}
	if p := processes(t, lab)["us-east-1"]; !p.Running || (identity{PID: p.PID, Start: p.Start}).Stopped() {
		t.Errorf("after the reverts: %+v", p)
	}
}

// TestTargetGoneWhilePaused has the revert fail three times, as the port of the target is taken, and then succeed.
func TestTargetGoneWhilePaused(t *testing.T) {
	lab := up(t, newOptions(t))
	p := processes(t, lab)["us-east-1"]
	hang := injected(t, lab, "hang", fleet.Pause, fleet.Params{}, "us-east-1")
	if err := (identity{PID: p.PID, Start: p.Start}).Kill(); err != nil {
		t.Fatal(err)
	}
	until(t, "its end is known", func() bool { return !processes(t, lab)["us-east-1"].Running })
	if seen, err := lab.Verify(t.Context(), hang); err == nil {
		t.Errorf("a process that is gone is said to hang: %q", seen)
	}
	squatter, err := net.Listen("tcp", p.Ports[0])
	if err != nil {
		t.Fatal(err)
	}
	defer squatter.Close()
	for range 3 {
		if err := lab.Revert(t.Context(), hang); err == nil || !strings.Contains(err.Error(), "its port is taken") {
			t.Fatalf("revert while the port is taken: %v", err)
		}
	}
	if left, err := lab.Leftovers(t.Context()); err != nil || len(left) != 1 {
		t.Errorf("leftovers: %v, %v; want the fault", left, err)
	}
	squatter.Close()
	if err := lab.Revert(t.Context(), hang); err != nil {
		t.Fatal(err)
	}
	if now := processes(t, lab)["us-east-1"]; !now.Running || now.PID == p.PID {
		t.Errorf("after the revert: %+v", now)
	}
}

// TestFaultsInALabBehindALink has a directory whose name leads over a symbolic link, as home directories do.
func TestFaultsInALabBehindALink(t *testing.T) {
	o := newOptions(t)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(t.TempDir(), link); err != nil {
		t.Fatal(err)
	}
	o.Dir = filepath.Join(link, "lab")
	lab := up(t, o)
	kinds := []fleet.FaultKind{fleet.StoreCorrupt}
	if refuseFull(fleet.Fault{}) == nil {
		kinds = append(kinds, fleet.DiskFull)
	}
	for _, kind := range kinds {
		u := injected(t, lab, "test", kind, fleet.Params{}, "us-east-control")
		if seen, err := lab.Verify(t.Context(), u); err != nil {
			t.Errorf("%s: %q, %v", kind, seen, err)
		}
		if err := lab.Revert(t.Context(), u); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestFaultsThatWouldUndoEachOther(t *testing.T) {
	lab := up(t, newOptions(t))
	first := injected(t, lab, "first", fleet.Pause, fleet.Params{}, "us-east-1")
	second := prepared(t, lab, "second", fleet.Slow, fleet.Params{Share: 0.5}, "us-east-1")
	want := "slow of us-east-1 cannot be injected while fault first, pause, is in effect"
	if err := lab.Inject(t.Context(), second); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q in it", err, want)
	}
	if err := lab.Revert(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(lab.Inject(t.Context(), second), lab.Revert(t.Context(), second)); err != nil {
		t.Error(err)
	}
	for _, pair := range [][2]fleet.FaultKind{
		{fleet.RestartLoop, fleet.Kill}, {fleet.StoreWipe, fleet.RestartLoop}, {fleet.StoreCorrupt, fleet.StoreWipe},
		{fleet.Pause, fleet.Pause}, {fleet.DiskFull, fleet.StoreCorrupt},
		{fleet.DiskFull, fleet.Slow}, {fleet.DiskFull, fleet.Kill}, {fleet.StoreCorrupt, fleet.Kill},
	} {
		if !clash(pair[0], pair[1]) || !clash(pair[1], pair[0]) {
			t.Errorf("%v do not clash", pair)
		}
	}
	for _, pair := range [][2]fleet.FaultKind{{fleet.Pause, fleet.Kill}, {fleet.StoreWipe, fleet.Kill}, {fleet.CPUPressure, fleet.Slow}} {
		if clash(pair[0], pair[1]) || clash(pair[1], pair[0]) {
			t.Errorf("%v clash", pair)
		}
	}
}

func TestPrepareRefusesTooMuch(t *testing.T) {
	lab := up(t, newOptions(t))
	for want, f := range map[string]fleet.Fault{
		"slows down to between 0.05 and 0.9 of the time":   {Kind: fleet.Slow, With: fleet.Params{Share: 0.95}},
		"restarts at least every 2s, not every 1m0s":       {Kind: fleet.RestartLoop, With: fleet.Params{Every: time.Minute}},
		"8 for each CPU of this machine, not 100000":       {Kind: fleet.CPUPressure, With: fleet.Params{Count: 100_000}},
		"at most half of the ":                             {Kind: fleet.MemoryPressure, With: fleet.Params{Bytes: 1 << 40}},
		"at least 16 MiB":                                  {Kind: fleet.MemoryPressure, With: fleet.Params{Bytes: 1 << 20}},
		"one member, so that there is no majority to lose": {Kind: fleet.QuorumLoss},
		"at least 5s, fast or slow":                        {Kind: fleet.ClockOffset, With: fleet.Params{Offset: -time.Second}},
	} {
		f.ID, f.Lease = "test", time.Hour
		if _, err := lab.Prepare(t.Context(), f, []fleet.Instance{{ID: "us-east-control"}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q in it", f.Kind, err, want)
		}
	}
}

// TestSlowedProcessRunsAgain looks whether nothing stops it any more once the fault is reverted.
func TestSlowedProcessRunsAgain(t *testing.T) {
	lab := up(t, newOptions(t))
	u := injected(t, lab, "slow", fleet.Slow, fleet.Params{Share: 0.1}, "us-east-1")
	if err := lab.Revert(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	p := processes(t, lab)["us-east-1"]
	target := targetID{ID: p.ID, identity: identity{PID: p.PID, Start: p.Start}, Ports: p.Ports}
	if seen, err := lab.lookSlow(context.Background(), u.Fault, target); err == nil || !strings.Contains(err.Error(), "ran in 100 %") {
		t.Errorf("after the revert: %q, %v", seen, err)
	}
}

// TestRenewSeesThatAFaultHasEnded ends faults behind the supervisor's back: a drill that went on would measure what is not broken.
func TestRenewSeesThatAFaultHasEnded(t *testing.T) {
	lab := up(t, newOptions(t))
	signal := func(sig syscall.Signal) func(fleet.Undo) error {
		return func(u fleet.Undo) error { return syscall.Kill(processes(t, lab)[u.Targets[0]].PID, sig) }
	}
	for _, c := range []struct {
		kind fleet.FaultKind
		with fleet.Params
		end  func(fleet.Undo) error
	}{
		{fleet.Pause, fleet.Params{}, signal(syscall.SIGCONT)},
		{fleet.Slow, fleet.Params{Share: 0.5}, signal(syscall.SIGKILL)},
		{fleet.CPUPressure, fleet.Params{Count: 1}, func(u fleet.Undo) error {
			var id identity
			return errors.Join(readJSON(lab.dir.pid(presser(u.Fault.ID, 0)), &id), id.Kill())
		}},
	} {
		if c.kind == fleet.CPUPressure && runtime.GOOS != "linux" {
			continue
		}
		u := injected(t, lab, string(c.kind), c.kind, c.with, "us-east-1")
		if err := lab.Renew(t.Context(), u); err != nil {
			t.Errorf("%s: renew: %v", c.kind, err)
		}
		if err := c.end(u); err != nil {
			t.Fatalf("%s: %v", c.kind, err)
		}
		until(t, "the end of "+u.Fault.ID+" is seen", func() bool { return lab.Renew(t.Context(), u) != nil })
		if err := lab.Revert(t.Context(), u); err != nil {
			t.Errorf("%s: revert: %v", c.kind, err)
		}
	}
}
