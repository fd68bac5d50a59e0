package host

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"gwdr/fleet"
	"gwdr/fleet/fleettest"
	"gwdr/fleet/proc"
)

// guard does what a drill's guard does: it reverts what was not renewed for so long.
func guard(t *testing.T, u fleet.Undo) (beat func() error) {
	f, err := Reopen(u, quiet())
	if err != nil {
		t.Fatal(err)
	}
	beats, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		for {
			select {
			case <-beats:
			case <-time.After(u.Fault.Lease):
				for f.Revert(t.Context(), u) != nil && t.Context().Err() == nil {
				}
				return
			}
		}
	}()
	t.Cleanup(func() { <-over })
	return func() error {
		select {
		case beats <- struct{}{}:
			return nil
		case <-over:
			return errors.New("the guard has reverted")
		}
	}
}

func TestConformance(t *testing.T) {
	w := newWorld(t) // one for all: every test ends with a healthy fleet, or fails
	east := fleet.Selector{Region: "us-east"}
	fleettest.Run(t, fleettest.Suite{
		Open: func(t *testing.T) fleet.Fleet { return w.fleet(nil) },
		Reopen: func(t *testing.T, u fleet.Undo) fleet.Fleet {
			f, err := Reopen(u, quiet())
			if err != nil {
				t.Fatal(err)
			}
			return f
		},
		Guard: guard,
		Faults: map[fleet.FaultKind]fleettest.Case{
			fleet.Kill: {Selector: east}, fleet.Pause: {Selector: east}, fleet.Stop: {Selector: east},
		},
	})
}

// TestWholeTree: a worker is stopped and killed as its main process is, and goes on with it.
func TestWholeTree(t *testing.T) {
	w := newWorld(t)
	f := w.fleet(nil)
	before := tree(w.now("us-east-1"))
	if len(before) != 2 {
		t.Fatalf("the tree has %d processes", len(before))
	}
	u := w.broken(f, fleet.Pause)
	for _, id := range before {
		if !id.Stopped() {
			t.Errorf("process %d is not stopped", id.PID)
		}
	}
	if err := f.Revert(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	for _, id := range before {
		if id.Stopped() || !id.Alive() {
			t.Errorf("process %d does not go on", id.PID)
		}
	}
	u = w.broken(f, fleet.Kill)
	for _, id := range before {
		if id.Alive() {
			t.Errorf("process %d is alive", id.PID)
		}
	}
	if err := f.Revert(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	if now := w.now("us-east-1"); now == before[0] || now.PID == 0 {
		t.Errorf("main process %+v", now)
	}
}

// TestEndsBehindItsBack: whoever lets the process go on, or starts it again, ends the fault; the drill learns it, and the revert leaves
// what runs alone.
func TestEndsBehindItsBack(t *testing.T) {
	w := newWorld(t)
	f := w.fleet(nil)
	for kind, end := range map[fleet.FaultKind]func(before proc.ID){
		fleet.Pause: func(before proc.ID) { before.Signal(syscall.SIGCONT) },
		fleet.Kill:  func(proc.ID) { w.start("us-east-1") },
	} {
		before := w.now("us-east-1")
		u := w.broken(f, kind)
		end(before)
		w.until("it is noticed", func() bool { return f.Renew(t.Context(), u) != nil })
		now := w.now("us-east-1")
		if err := f.Revert(t.Context(), u); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		if after := w.now("us-east-1"); after != now || after.Stopped() {
			t.Errorf("%s: it was process %+v, and is %+v", kind, now, after)
		}
	}
}

// TestGoneWhilePaused: it is started again, as it would run without the drill.
func TestGoneWhilePaused(t *testing.T) {
	w := newWorld(t)
	f := w.fleet(nil)
	before := w.now("us-east-1")
	u := w.broken(f, fleet.Pause)
	if err := before.Kill(); err != nil {
		t.Fatal(err)
	}
	wants(t, f.Renew(t.Context(), u), "has ended")
	if err := f.Revert(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	if now := w.now("us-east-1"); now.PID == 0 || now == before {
		t.Errorf("it is process %+v", now)
	}
}

// TestRevertFailsThenWorks: a start that fails is said, and tried again.
func TestRevertFailsThenWorks(t *testing.T) {
	w := newWorld(t)
	script := filepath.Join(w.dir, "start.sh")
	write := func(text string) {
		if err := os.WriteFile(script, []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	p := w.all["us-east-1"]
	good := fmt.Sprintf("%s serve %s %s & exit 0", w.self, p.Start[2], p.Start[3]) // it forks, as daemons do
	write("exit 3")
	p.Start = []string{script}
	f := w.fleet(func(o *Options) { o.Processes = map[string]Process{"us-east-1": p} })
	u := w.broken(f, fleet.Kill)
	wants(t, f.Revert(t.Context(), u), "us-east-1: it could not be started: start: ", "start.sh: exit status 3")
	if left, err := f.Leftovers(t.Context()); err != nil || len(left) != 1 {
		t.Errorf("left: %v, %v", left, err)
	}
	write(good)
	if err := f.Revert(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(script, 0o777); err != nil {
		t.Fatal(err)
	}
	_, err := Open(w.options(func(o *Options) { o.Processes = map[string]Process{"us-east-1": p} }))
	wants(t, err, "us-east-1: start: ", "can be written by everybody")
}

// slow is a fleet whose us-east-1 starts once the gate is opened, and notes each start in a file; us-west-1 is as ever.
func (w *world) slow(begin string) (f *Fleet, gate, starts string) {
	w.t.Helper()
	gate, starts = filepath.Join(w.dir, "gate"), filepath.Join(w.dir, "starts")
	if err := syscall.Mkfifo(gate, 0o600); err != nil {
		w.t.Fatal(err)
	}
	p := w.all["us-east-1"]
	p.Start = []string{"/bin/sh", "-c", begin, "start", strings.Join(p.Start, " "), gate, starts}
	return w.fleet(func(o *Options) { o.Processes = map[string]Process{"us-east-1": p, "us-west-1": w.all["us-west-1"]} }), gate, starts
}

// waits returns the gate once a start waits at it.
func waits(t *testing.T, gate string) *os.File {
	t.Helper()
	file, err := os.OpenFile(gate, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

const (
	itself   = `echo >> "$3"; read go < "$2"; exec $1`
	begotten = `echo >> "$3"; (read go < "$2"; exec $1) & exit 0`
)

// TestSlowStart: what has not come in one attempt goes on, and the next one, of another process, waits for it.
func TestSlowStart(t *testing.T) {
	for name, begin := range map[string]string{"itself": itself, "begotten": begotten} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			f, gate, starts := w.slow(begin)
			u := w.broken(f, fleet.Kill)
			reverted := make(chan error, 1)
			ctx, giveUp := context.WithCancel(t.Context())
			go func() { reverted <- f.Revert(ctx, u) }()
			open := waits(t, gate)
			giveUp()
			wants(t, <-reverted, "us-east-1: its start goes on: context canceled")
			other, err := Reopen(u, quiet())
			if err != nil {
				t.Fatal(err)
			}
			go func() { reverted <- other.Revert(t.Context(), u) }()
			open.Close()
			if err := <-reverted; err != nil {
				t.Fatal(err)
			}
			if text, err := os.ReadFile(starts); err != nil || string(text) != "\n" {
				t.Errorf("starts: %q, %v", text, err)
			}
		})
	}
}

// TestStartThatComesToNothing is ended after its time, and made anew.
func TestStartThatComesToNothing(t *testing.T) {
	w := newWorld(t)
	f, gate, _ := w.slow(itself)
	u := w.broken(f, fleet.Kill)
	reverted := make(chan error, 1)
	ctx, giveUp := context.WithCancel(t.Context())
	go func() { reverted <- f.Revert(ctx, u) }()
	first := waits(t, gate)
	giveUp()
	<-reverted
	data, err := decodeUndo(u)
	if err != nil {
		t.Fatal(err)
	}
	m, err := data.marks().Get(u)
	if err != nil {
		t.Fatal(err)
	}
	all, err := tracesIn(m)
	if err != nil {
		t.Fatal(err)
	}
	old := all.of["us-east-1"]
	old.Start.At = old.Start.At.Add(-startLimit)
	if err := all.noting(u, data, data.Targets[0])(old); err != nil {
		t.Fatal(err)
	}
	go func() { reverted <- f.Revert(t.Context(), u) }()
	w.until("the first is gone", func() bool { return !old.Start.ID.Alive() })
	first.Close()
	waits(t, gate).Close()
	if err := <-reverted; err != nil {
		t.Fatal(err)
	}
}

// systemctl is one whose systemd takes note of what it is asked for, and has yet to do it.
const systemctl = `#!/bin/sh
shift 2 # that it is not to ask anybody
case $1 in
show) echo LoadState=loaded; echo MainPID=$(cat '%[1]s') ;;
stop) touch '%[2]s' ;;
start) rm -f '%[2]s' ;;
esac
`

// TestStopThatIsYetToCome: systemd was asked to stop a unit, and has not done so, when the drill gives up and the process ends by itself.
// What runs by then would be stopped once systemd comes to it: a start takes the place of that.
func TestStopThatIsYetToCome(t *testing.T) {
	w := newWorld(t)
	job := filepath.Join(w.dir, "job")
	text := fmt.Appendf(nil, systemctl, w.all["us-east-1"].PIDFile, job)
	if err := os.WriteFile(filepath.Join(w.dir, "systemctl"), text, 0o700); err != nil {
		t.Fatal(err)
	}
	f := w.fleet(func(o *Options) {
		o.Processes = map[string]Process{"us-east-1": {Region: "us-east", Unit: "gwdr-test.service"}}
		o.Environ = []string{"PATH=" + w.dir + ":" + os.Getenv("PATH")}
	})
	cut := fleet.Fault{ID: "cut", Kind: fleet.Stop, Lease: time.Hour}
	u, err := f.Prepare(t.Context(), cut, []fleet.Instance{{ID: "us-east-1", Role: fleet.Data}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, giveUp := context.WithCancel(t.Context())
	injected := make(chan error, 1)
	go func() { injected <- f.Inject(ctx, u) }()
	w.until("systemd is asked", func() bool { return there(job) })
	giveUp()
	if err := <-injected; err == nil {
		t.Error("injected, though it was given up")
	}
	if err := w.now("us-east-1").Kill(); err != nil {
		t.Fatal(err)
	}
	now := w.start("us-east-1")
	if err := f.Revert(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	if there(job) {
		t.Error("systemd is still about to stop it")
	}
	if after := w.now("us-east-1"); after != now {
		t.Errorf("it was process %+v, and is %+v", now, after)
	}
}

func there(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// TestOneHoldsBackNoOther: a target that does not come back is no reason for others to stay away.
func TestOneHoldsBackNoOther(t *testing.T) {
	w := newWorld(t)
	f, gate, _ := w.slow(itself)
	all, err := f.Instances(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	u, err := f.Prepare(t.Context(), fleet.Fault{ID: "cut", Kind: fleet.Kill, Lease: time.Hour}, all)
	if err == nil {
		err = f.Inject(t.Context(), u)
	}
	if err != nil {
		t.Fatal(err)
	}
	reverted := make(chan error, 1)
	ctx, giveUp := context.WithCancel(t.Context())
	go func() { reverted <- f.Revert(ctx, u) }()
	open := waits(t, gate)
	w.until("us-west-1 is back", func() bool { return w.now("us-west-1").PID != 0 })
	giveUp()
	wants(t, <-reverted, "us-east-1: its start goes on")
	open.Close()
	if err := f.Revert(t.Context(), u); err != nil {
		t.Fatal(err)
	}
}

// TestWhyAStartFailed is said at once, and what it has left goes with it.
func TestWhyAStartFailed(t *testing.T) {
	w := newWorld(t)
	f, gate, _ := w.slow(`read go < "$2" & exit 3`)
	u := w.broken(f, fleet.Kill)
	wants(t, f.Revert(t.Context(), u), "us-east-1: it could not be started: start: /bin/sh: exit status 3")
	if left := w.running(func(words []string) bool { return slices.Contains(words, gate) }); len(left) > 0 {
		t.Errorf("somebody still waits: %v", left)
	}
	w.start("us-east-1")
	if err := f.Revert(t.Context(), u); err != nil {
		t.Fatal(err)
	}
}

// TestNeverAsked: a drill that was killed before it asked the process to end leaves one that nobody waits for, and ends.
func TestNeverAsked(t *testing.T) {
	w := newWorld(t)
	f := w.fleet(nil)
	before := w.now("us-east-1")
	u, err := f.Prepare(t.Context(), fleet.Fault{ID: "cut", Kind: fleet.Stop, Lease: time.Hour}, []fleet.Instance{{ID: "us-east-1", Role: fleet.Data}})
	if err != nil {
		t.Fatal(err)
	}
	data, err := decodeUndo(u)
	if err == nil {
		err = data.marks().Put(u)
	}
	if err == nil {
		err = (&traces{of: map[string]trace{}}).noting(u, data, data.Targets[0])(trace{Touched: tree(before)})
	}
	if err == nil {
		err = f.Revert(t.Context(), u)
	}
	if now := w.now("us-east-1"); err != nil || now != before {
		t.Errorf("it is process %+v, and was %+v: %v", now, before, err)
	}
}

// TestTwoNamesForOne: nobody gets around a limit by another name.
func TestTwoNamesForOne(t *testing.T) {
	w := newWorld(t)
	p := w.all["us-east-1"]
	_, err := Open(w.options(func(o *Options) { o.Processes = map[string]Process{"a": p, "b": p} }))
	wants(t, err, "processes: b: it is found by pid_file "+p.PIDFile+", as a is")
	worker := p
	worker.PIDFile = filepath.Join(w.dir, "worker.pid")
	if err := os.WriteFile(worker.PIDFile, fmt.Appendln(nil, tree(w.now("us-east-1"))[1].PID), 0o600); err != nil {
		t.Fatal(err)
	}
	f := w.fleet(func(o *Options) { o.Processes = map[string]Process{"us-east-1": p, "worker": worker} })
	_, err = f.Prepare(t.Context(), fleet.Fault{ID: "cut", Kind: fleet.Pause, Lease: time.Hour}, []fleet.Instance{{ID: "us-east-1", Role: fleet.Data}})
	wants(t, err, "which is worker, is one of its processes")
}

// TestInterruptedKill is a drill that is killed between stopping the tree and killing it: all of it goes on.
func TestInterruptedKill(t *testing.T) {
	w := newWorld(t)
	f := w.fleet(nil)
	u, err := f.Prepare(t.Context(), fleet.Fault{ID: "cut", Kind: fleet.Kill, Lease: time.Hour}, []fleet.Instance{{ID: "us-east-1", Role: fleet.Data}})
	if err != nil {
		t.Fatal(err)
	}
	data, err := decodeUndo(u)
	if err == nil {
		err = data.marks().Put(u)
	}
	if err != nil {
		t.Fatal(err)
	}
	all, err := freeze(t.Context(), data.Targets[0].Main)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Revert(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	for _, id := range all {
		if id.Stopped() || !id.Alive() {
			t.Errorf("process %d does not go on", id.PID)
		}
	}
}

// TestInterruptedStop is a drill that is killed once it has asked the process to end: whoever reverts does not take one for well that is
// about to end.
func TestInterruptedStop(t *testing.T) {
	w := newWorld(t)
	f := w.fleet(nil)
	before := w.now("us-east-1")
	u, err := f.Prepare(t.Context(), fleet.Fault{ID: "cut", Kind: fleet.Stop, Lease: time.Hour}, []fleet.Instance{{ID: "us-east-1", Role: fleet.Data}})
	if err != nil {
		t.Fatal(err)
	}
	data, err := decodeUndo(u)
	if err == nil {
		err = data.marks().Put(u)
	}
	if err == nil {
		err = data.marks().Injected(u, json.RawMessage(fmt.Sprintf(`{"us-east-1":[{"pid":%d,"start":%d}]}`, before.PID, before.Start)))
	}
	if err == nil {
		err = before.Signal(syscall.SIGSTOP) // so that it ends once it goes on, and not before
	}
	if err == nil {
		err = before.Signal(syscall.SIGTERM)
	}
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(100*time.Millisecond, func() { before.Signal(syscall.SIGCONT) })
	if err := f.Revert(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	if now := w.now("us-east-1"); now == before || now.PID == 0 {
		t.Errorf("it is process %+v, as before", now)
	}
}

// TestAnotherProcessIsLeftAlone: a pid that was given to another process meanwhile, and a pid file that names another one.
func TestAnotherProcessIsLeftAlone(t *testing.T) {
	w := newWorld(t)
	f := w.fleet(nil)
	prepared := func() fleet.Undo {
		u, err := f.Prepare(t.Context(), fleet.Fault{ID: "cut", Kind: fleet.Pause, Lease: time.Hour}, []fleet.Instance{{ID: "us-east-1", Role: fleet.Data}})
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	u := prepared()
	if err := w.now("us-east-1").Kill(); err != nil {
		t.Fatal(err)
	}
	other := w.start("us-east-1")
	wants(t, f.Inject(t.Context(), u), "us-east-1 is no longer process")
	reused := prepared()
	data, err := decodeUndo(reused)
	if err != nil {
		t.Fatal(err)
	}
	data.Targets[0].Main.Start-- // as if an earlier process had had the pid
	if reused.Data, err = json.Marshal(data); err != nil {
		t.Fatal(err)
	}
	if err := other.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := f.Revert(t.Context(), reused); err != nil {
		t.Error(err)
	}
	if !other.Stopped() {
		t.Error("a process was touched that only has the pid")
	}
	_, err = f.Prepare(t.Context(), fleet.Fault{ID: "cut", Kind: fleet.Pause, Lease: time.Hour}, []fleet.Instance{{ID: "us-east-1", Role: fleet.Data}})
	wants(t, err, "is stopped already, and not by gwdr")
	other.Signal(syscall.SIGCONT)
}

// TestPIDReusedAfterAKill: the pid file stays behind, and names a stranger by now: the service does not run, and is started again.
func TestPIDReusedAfterAKill(t *testing.T) {
	w := newWorld(t)
	p := w.all["us-east-1"]
	p.Exe = "" // which would tell
	f := w.fleet(func(o *Options) { o.Processes = map[string]Process{"us-east-1": p} })
	u := w.broken(f, fleet.Kill)
	stranger := exec.Command("sleep", "60")
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	defer stranger.Wait()
	defer stranger.Process.Kill()
	data, err := decodeUndo(u)
	if err != nil {
		t.Fatal(err)
	}
	data.Targets[0].Main.PID = stranger.Process.Pid // as if the stranger had the pid
	if u.Data, err = json.Marshal(data); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.PIDFile, fmt.Appendf(nil, "%d\n", stranger.Process.Pid), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.Revert(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	if now := w.now("us-east-1"); now.PID == stranger.Process.Pid || now.PID == 0 {
		t.Errorf("it is process %+v, and the stranger %d", now, stranger.Process.Pid)
	}
}

// TestOneFaultOfAProcess: a second fault of the same process is refused.
func TestOneFaultOfAProcess(t *testing.T) {
	w := newWorld(t)
	f := w.fleet(nil)
	u := w.broken(f, fleet.Kill)
	second := u
	second.Fault.ID = "second"
	wants(t, f.inject(t.Context(), second, undoData{State: f.options.State}), "fault cut is in effect in us-east-1")
	if err := f.Revert(t.Context(), u); err != nil {
		t.Fatal(err)
	}
}

// TestNeverTouched: what nobody can have meant is refused by name.
func TestNeverTouched(t *testing.T) {
	w := newWorld(t)
	kernel := 2 // kthreadd
	if comm, err := os.ReadFile("/proc/2/comm"); err != nil || !bytes.HasPrefix(comm, []byte("kthreadd")) {
		kernel = 0 // as in a container
	}
	other := exec.Command("sleep", "60")
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer other.Wait()
	defer other.Process.Kill()
	for name, c := range map[string]struct {
		content string
		want    string
	}{
		"first":    {"1", "it is the first of the machine"},
		"gwdr":     {fmt.Sprint(os.Getpid()), "gwdr itself runs in it"},
		"parent":   {fmt.Sprint(os.Getppid()), "gwdr itself runs in it"},
		"kernel":   {fmt.Sprint(kernel), "it is a thread of the kernel"},
		"garbage":  {"\x00\xff", "does not hold a pid"},
		"negative": {"-1", "does not hold a pid"},
		"huge":     {strings.Repeat("1", 1<<20), "does not hold a pid"},
		"number":   {"99999999999", "does not hold a pid"},
	} {
		if c.content == "0" {
			continue
		}
		file := filepath.Join(w.dir, "odd.pid")
		if err := os.WriteFile(file, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		odd := Process{PIDFile: file}
		_, err := w.fleet(func(o *Options) { o.Processes = map[string]Process{"odd": odd} }).Instances(t.Context())
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, content := range []string{"", "\n", "999999999", fmt.Sprint(other.Process.Pid)} { // it does not run: that is no error
		file := filepath.Join(w.dir, "odd.pid")
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		all, err := w.fleet(func(o *Options) { o.Processes = map[string]Process{"odd": {PIDFile: file, Exe: w.self}} }).Instances(t.Context())
		if err != nil || all[0].Running {
			t.Errorf("%q: %+v, %v", content, all, err)
		}
	}
}

func TestPrepareRefuses(t *testing.T) {
	w := newWorld(t)
	p := w.all["us-east-1"]
	p.Start = nil
	f := w.fleet(func(o *Options) { o.Processes = map[string]Process{"us-east-1": p} })
	target := []fleet.Instance{{ID: "us-east-1", Role: fleet.Data}}
	for kind, want := range map[fleet.FaultKind]string{
		fleet.Kill:    "nothing says how to start it again: set start, or unit",
		fleet.Slow:    "might be killed while it is stopped",
		fleet.Isolate: "host has kill, pause, stop",
	} {
		_, err := f.Prepare(t.Context(), fleet.Fault{ID: "cut", Kind: kind, With: fleet.Params{}, Lease: time.Hour}, target)
		if wants(t, err, want); !errors.Is(err, fleet.ErrUnsupported) {
			t.Errorf("%s: %v", kind, err)
		}
	}
	closed := w.fleet(func(o *Options) { o.Allow = false })
	_, err := closed.Prepare(t.Context(), fleet.Fault{ID: "cut", Kind: fleet.Pause, Lease: time.Hour}, target)
	wants(t, err, "allow: true")
}

func FuzzParsePID(f *testing.F) {
	for _, text := range []string{"1", "12\n", "", "-3", "1 2", "0x10", "２"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if pid, err := parsePID("file", text); err == nil && (pid <= 0 || len(text) > maxPIDFile) {
			t.Errorf("%q is pid %d", text, pid)
		}
	})
}

func FuzzDecodeUndo(f *testing.F) {
	f.Add([]byte(`{"state":"/s","nonce":"n","targets":[{"name":"a","main":{"pid":7,"start":1},"service":{"pid_file":"/p"}}]}`))
	f.Add([]byte(`{"targets":[{"name":"../a","main":{"pid":-1}}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		data, err := decodeUndo(fleet.Undo{Driver: Driver, Fault: fleet.Fault{ID: "a"}, Data: text})
		if err != nil {
			return
		}
		for _, target := range data.Targets {
			if target.Main.PID <= 1 || !idPattern.MatchString(target.Name) {
				t.Errorf("%+v", target)
			}
		}
	})
}
