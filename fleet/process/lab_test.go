package process

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gwdr/fleet"
)

const soon = 20 * time.Second // how long anything here may take before the test fails

var twoRegions = Topology{
	Regions:     []Region{{Name: "us-east", Instances: 2}, {Name: "us-west", Instances: 2}},
	Replication: ReplicationAsync,
}

func newOptions(t *testing.T) Options {
	t.Helper()
	return Options{Dir: filepath.Join(t.TempDir(), "lab"), Executable: executablePath(), Topology: twoRegions}
}

// up starts a lab, and at the end of the test proves that none of its processes is left.
func up(t *testing.T, o Options) *Lab {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	lab, err := Start(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		var last []identity
		if processes, err := lab.Processes(context.Background()); err == nil {
			last = identities(processes)
		}
		ctx, cancel := context.WithTimeout(context.Background(), soon)
		defer cancel()
		if err := lab.Down(ctx); err != nil {
			t.Error(err)
		}
		allGone(t, append(last, lab.file.identity))
	})
	return lab
}

func processes(t *testing.T, lab *Lab) map[string]Process {
	t.Helper()
	list, err := lab.Processes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	byID := map[string]Process{}
	for _, p := range list {
		byID[p.ID] = p
	}
	return byID
}

func identities(list []Process) []identity {
	var ids []identity
	for _, p := range list {
		if p.Running {
			ids = append(ids, identity{PID: p.PID, Start: p.Start})
		}
	}
	return ids
}

func allGone(t *testing.T, ids []identity) {
	t.Helper()
	for _, id := range ids {
		until(t, "the end of every process", func() bool { return !id.Alive() })
	}
}

// until polls cond.
func until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(soon); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// prepare prepares a fault of the selected instances, with a lease that outlives the test.
func prepare(t *testing.T, lab *Lab, kind fleet.FaultKind, s fleet.Selector) fleet.Undo {
	t.Helper()
	all, err := lab.Instances(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	u, err := lab.Prepare(t.Context(), fleet.Fault{ID: "test", Kind: kind, Lease: time.Hour}, s.Select(all))
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestStart(t *testing.T) {
	lab := up(t, newOptions(t))
	if err := lab.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	instances, err := lab.Instances(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	type instance struct {
		ID, Region string
		Role       fleet.Role
		Running    bool
	}
	var got []instance
	for _, in := range instances {
		got = append(got, instance{in.ID, in.Region, in.Role, in.Running})
	}
	if diff := cmp.Diff([]instance{
		{"echo", "", fleet.Upstream, true},
		{"edge", "", fleet.Edge, true},
		{"us-east-1", "us-east", fleet.Data, true},
		{"us-east-2", "us-east", fleet.Data, true},
		{"us-east-control", "us-east", fleet.Control, true},
		{"us-west-1", "us-west", fleet.Data, true},
		{"us-west-2", "us-west", fleet.Data, true},
		{"us-west-control", "us-west", fleet.Control, true},
	}, got); diff != "" {
		t.Errorf("instances (-want +got):\n%s", diff)
	}
	for path, want := range map[string]fs.FileMode{
		lab.Dir(): 0o700 | fs.ModeDir, lab.dir.lab(): 0o600, lab.dir.tokens(): 0o600, lab.dir.links(): 0o600,
		lab.dir.replicaToken(): 0o600, lab.dir.echo(): 0o600, lab.LogFile("edge"): 0o600,
	} {
		if info, err := os.Stat(path); err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v; want %v", path, info, err, want)
		}
	}
	again, err := Open(lab.Dir())
	if err != nil {
		t.Fatal(err)
	}
	if again.Edge() != lab.Edge() || again.AdminToken() == "" || again.OwnerFile() != nil {
		t.Errorf("opened lab differs: %+v", again.file)
	}
	links, err := again.Links().Links(t.Context())
	if err != nil || len(links) != 13 {
		t.Errorf("links: %v, %v; want 4 to data instances, 4 from them, 2 to control planes, 2 between these, 1 upstream", links, err)
	}
}

func TestDownLeavesNothingButLogsAndLocations(t *testing.T) {
	lab := up(t, newOptions(t))
	if err := lab.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(lab.Dir())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if diff := cmp.Diff([]string{"locations", "lock", "log"}, names); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	if _, err := Open(lab.Dir()); !errors.Is(err, ErrNoLab) {
		t.Errorf("open: %v, want ErrNoLab", err)
	}
	if err := lab.Down(t.Context()); err != nil {
		t.Errorf("second down: %v", err)
	}
}

func TestOneLabPerDirectory(t *testing.T) {
	o := newOptions(t)
	var mu sync.Mutex
	var labs []*Lab
	var refusals []error
	var starting sync.WaitGroup
	for range 3 {
		starting.Go(func() {
			lab, err := Start(t.Context(), o)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				labs = append(labs, lab)
			} else {
				refusals = append(refusals, err)
			}
		})
	}
	starting.Wait()
	for _, lab := range labs {
		defer lab.Down(context.Background())
	}
	if len(labs) != 1 {
		t.Fatalf("%d of 3 labs started (%v), want 1", len(labs), refusals)
	}
	for _, err := range refusals {
		if !errors.Is(err, ErrRunning) || !strings.Contains(err.Error(), "a lab is already running in "+o.Dir) {
			t.Errorf("refusal %q, want ErrRunning", err)
		}
	}
	if _, err := Sweep(o.Dir); !errors.Is(err, ErrRunning) {
		t.Errorf("sweep of a running lab: %v, want ErrRunning", err)
	}
	for id, p := range processes(t, labs[0]) {
		if !p.Running {
			t.Errorf("%s does not run", id)
		}
	}
}

func TestKilledSupervisorTakesEverythingWithIt(t *testing.T) {
	o := newOptions(t)
	lab := up(t, o)
	all := identities(slices.Collect(maps.Values(processes(t, lab))))
	if err := syscall.Kill(processes(t, lab)["us-east-1"].PID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := lab.file.identity.Kill(); err != nil {
		t.Fatal(err)
	}
	allGone(t, all)
	if _, err := Open(o.Dir); !errors.Is(err, ErrNoLab) || !strings.Contains(err.Error(), "the last one died") {
		t.Errorf("open: %v, want ErrNoLab of a lab that died", err)
	}
	if _, err := lab.Instances(t.Context()); !errors.Is(err, ErrNoLab) {
		t.Errorf("instances: %v, want ErrNoLab", err)
	}
	up(t, o) // the stale files are in nobody's way
}

// stop stops a child of this process. Its threads stop one by one some time after the signal, and until then it answers.
func stop(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	var status syscall.WaitStatus
	for !status.Stopped() {
		if _, err := syscall.Wait4(pid, &status, syscall.WUNTRACED, nil); err != nil && !errors.Is(err, syscall.EINTR) {
			t.Fatal(err)
		}
	}
}

func TestDownEndsAStoppedSupervisor(t *testing.T) {
	lab := up(t, newOptions(t))
	all := append(identities(slices.Collect(maps.Values(processes(t, lab)))), lab.file.identity)
	stop(t, lab.file.PID)
	if _, err := lab.Instances(t.Context()); err == nil || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("instances: %v", err)
	}
	if err := lab.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
	allGone(t, all)
	if found, err := Sweep(lab.Dir()); found || err != nil {
		t.Errorf("something was left behind: %t, %v", found, err)
	}
}

func TestSweep(t *testing.T) {
	o := newOptions(t)
	if found, err := Sweep(o.Dir); found || err != nil {
		t.Errorf("without a lab: %t, %v", found, err)
	}
	lab := up(t, o)
	if err := lab.file.identity.Kill(); err != nil {
		t.Fatal(err)
	}
	if found, err := Sweep(o.Dir); !found || err != nil {
		t.Errorf("after a lab that died: %t, %v", found, err)
	}
	if found, err := Sweep(o.Dir); found || err != nil {
		t.Errorf("again: %t, %v", found, err)
	}
}

func TestOwnedLabEndsWithItsLastOwner(t *testing.T) {
	o := newOptions(t)
	o.Owned = true
	lab := up(t, o)
	guard, err := syscall.Dup(int(lab.OwnerFile().Fd()))
	if err != nil {
		t.Fatal(err)
	}
	all := identities(slices.Collect(maps.Values(processes(t, lab))))
	lab.OwnerFile().Close()
	if err := lab.WaitReady(t.Context()); err != nil {
		t.Errorf("the lab ended although one owner is left: %v", err)
	}
	syscall.Close(guard)
	allGone(t, append(all, lab.file.identity))
}

func TestStartFails(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, test := range map[string]struct {
		ctx    context.Context
		change func(*Options)
		want   string
	}{
		"no regions":         {t.Context(), func(o *Options) { o.Topology.Regions = nil }, "a lab has 1 to 8 regions, not 0"},
		"no executable":      {t.Context(), func(o *Options) { o.Executable += "-not" }, "no such file"},
		"another executable": {t.Context(), func(o *Options) { o.Executable = "/bin/false" }, "supervisor ended"},
		"not a directory":    {t.Context(), func(o *Options) { o.Dir = executablePath() }, "create lab directory"},
		"context":            {ended, func(*Options) {}, "context canceled"},
		"timeout":            {t.Context(), func(o *Options) { o.Timeout = time.Nanosecond }, "not ready within 1ns"},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOptions(t)
			test.change(&o)
			lab, err := Start(test.ctx, o)
			if err == nil {
				lab.Down(context.Background())
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q in it", err, test.want)
			}
			if _, err := Open(o.Dir); err == nil {
				t.Error("a lab is running all the same")
			}
		})
	}
}

func TestChildThatEndsByItselfStaysDownAndIsReported(t *testing.T) {
	lab := up(t, newOptions(t))
	p := processes(t, lab)["us-east-2"]
	if err := (identity{PID: p.PID, Start: p.Start}).Kill(); err != nil {
		t.Fatal(err)
	}
	until(t, "it is reported", func() bool { return processes(t, lab)["us-east-2"].Died() })
	if exit := processes(t, lab)["us-east-2"].Exit; exit != "signal: killed" {
		t.Errorf("exit is %q", exit)
	}
	_, err := lab.Prepare(t.Context(), fleet.Fault{ID: "test", Kind: fleet.Kill, Lease: time.Hour}, []fleet.Instance{p.Instance})
	if err == nil || !strings.Contains(err.Error(), "us-east-2 is not running") {
		t.Errorf("prepare: %v", err)
	}
}

func TestRevertBringsEverythingBackAtTheSamePlace(t *testing.T) {
	lab := up(t, newOptions(t))
	before := processes(t, lab)
	u := prepare(t, lab, fleet.Kill, fleet.Selector{Region: "us-east"})
	if err := lab.Inject(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	for id, p := range processes(t, lab) {
		if down := strings.HasPrefix(id, "us-east"); p.Running == down || (p.Fault == "test") != down || p.Died() {
			t.Errorf("after the fault: %+v", p)
		}
	}
	if err := lab.Revert(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(places(before), places(processes(t, lab))); diff != "" {
		t.Errorf("after the revert (-before +after):\n%s", diff)
	}
}

// places forgets which process is at each place.
func places(processes map[string]Process) map[string]Process {
	processes = maps.Clone(processes)
	for id, p := range processes {
		p.PID, p.Start, p.Resident = 0, 0, 0
		processes[id] = p
	}
	return processes
}

func TestRevertSaysWhenAPortIsTaken(t *testing.T) {
	lab := up(t, newOptions(t))
	u := prepare(t, lab, fleet.Kill, fleet.Selector{Instance: "us-east-1"})
	if err := lab.Inject(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	port := processes(t, lab)["us-east-1"].Ports[0]
	squatter, err := net.Listen("tcp", port)
	if err != nil {
		t.Fatal(err)
	}
	err = lab.Revert(t.Context(), u)
	if err == nil || !strings.Contains(err.Error(), "us-east-1: its port is taken by another process: listen tcp4 "+port) {
		t.Errorf("revert: %v", err)
	}
	if left, err := lab.Leftovers(t.Context()); err != nil || len(left) != 1 {
		t.Errorf("leftovers: %v, %v; want the fault", left, err)
	}
	squatter.Close()
	if err := lab.Revert(t.Context(), u); err != nil {
		t.Error(err)
	}
}

func TestInjectRefusesWhatHasChangedSincePrepare(t *testing.T) {
	lab := up(t, newOptions(t))
	u := prepare(t, lab, fleet.Kill, fleet.Selector{Instance: "us-east-1"})
	other := prepare(t, lab, fleet.Kill, fleet.Selector{Region: "us-east"})
	other.Fault.ID = "other"
	if err := lab.Inject(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	for want, u := range map[string]fleet.Undo{
		"fault test is already in effect":          u,
		"us-east-1 is down already, by fault test": other,
	} {
		if err := lab.Inject(t.Context(), u); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
	if err := lab.Revert(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	if err := lab.Inject(t.Context(), u); err == nil || !strings.Contains(err.Error(), "us-east-1 is no longer process") {
		t.Errorf("got %v for a process that is another one by now", err)
	}
	if left, err := lab.Leftovers(t.Context()); err != nil || len(left) > 0 {
		t.Errorf("leftovers: %v, %v", left, err)
	}
}

func TestExecutableMayBeDeletedWhileTheLabRuns(t *testing.T) {
	o := newOptions(t)
	binary, err := os.ReadFile(executablePath())
	if err != nil {
		t.Fatal(err)
	}
	o.Executable = filepath.Join(t.TempDir(), "gwdr")
	if err := os.WriteFile(o.Executable, binary, 0o700); err != nil {
		t.Fatal(err)
	}
	lab := up(t, o)
	if err := os.WriteFile(o.Executable+".new", []byte("#!/bin/false"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(o.Executable+".new", o.Executable); err != nil {
		t.Fatal(err)
	}
	u := prepare(t, lab, fleet.Kill, fleet.Selector{Instance: "us-east-1"})
	if err := errors.Join(lab.Inject(t.Context(), u), lab.Revert(t.Context(), u)); err != nil {
		t.Error(err)
	}
}
