package exec

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"gwdr/fleet"
	"gwdr/fleet/fleettest"
)

func listen(addr string) (net.Listener, error) { return net.Listen("tcp", addr) }

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestConformance(t *testing.T) {
	w := newWorld(t) // one for all: every test ends with a healthy fleet, or fails
	east := fleet.Selector{Region: "us-east"}
	fleettest.Run(t, fleettest.Suite{
		Open: func(t *testing.T) fleet.Fleet { return w.fleet(t, nil) },
		Reopen: func(t *testing.T, u fleet.Undo) fleet.Fleet {
			f, err := Reopen(u, w.options(nil).Environ, w.options(nil).Log)
			if err != nil {
				t.Fatal(err)
			}
			return f
		},
		Guard:  w.guard,
		Faults: map[fleet.FaultKind]fleettest.Case{fleet.Kill: {Selector: east}, fleet.Pause: {Selector: fleet.Selector{Instance: "us-east-1"}}},
	})
}

// hostile is a fleet whose command of one kind is another script.
func (w *world) hostile(t *testing.T, command, text string) *Fleet {
	t.Helper()
	path := w.write(t, command+".sh", "#!/bin/sh\n"+text+"\n")
	return w.fleet(t, func(o *Options) {
		o.Timeout = LeastTimeout
		*map[string]*[]string{"list": &o.List, "inject": &o.Inject, "verify": &o.Verify, "revert": &o.Revert, "renew": &o.Renew, "leftovers": &o.Leftovers}[command] = []string{path}
	})
}

func wants(t *testing.T, err error, want ...string) {
	t.Helper()
	for _, w := range want {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Fatalf("got %v, want %q in it", err, w)
		}
	}
}

// TestHostileList: whatever a command does, it is ended in time, and what is wrong is said.
func TestHostileList(t *testing.T) {
	w := newWorld(t)
	for name, test := range map[string]struct{ script, want string }{
		"hangs":            {"exec sleep 600", "took longer than 1s, and was ended"},
		"ignores SIGTERM":  {"trap '' TERM\nwhile :; do sleep 0.1; done", "took longer than 1s, and was ended"},
		"prints 1 GB":      {"yes | head -c 1000000000", "more than 1048576 bytes"},
		"prints nothing":   {"exit 0", "it is empty"},
		"prints nonsense":  {`printf '\033[31mhello\n'`, `it begins with "` + "\uFFFD" + `[31mhello"`},
		"kills itself":     {"kill -KILL $$", "signal: killed"},
		"fails":            {`printf 'one\ntwo\nthree\nlast \033[2Jline\n' >&2; exit 3`, "exit status 3: it said: two | three | last \uFFFD[2Jline"},
		"fails at length":  {"yes no | head -c 100000000 >&2; exit 3", "exit status 3: it said: no | "},
		"two documents":    {"echo '[]' '[]'", "something follows the list"},
		"a stranger field": {`echo '[{"id":"a","running":true,"zone":"b"}]'`, `instance 1 a: unknown field "zone"`},
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			_, err := w.hostile(t, "list", test.script).Instances(t.Context())
			wants(t, err, test.want)
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
}

// TestGrandchildHoldsOutput: a service that was started by a command stays, and nobody waits for its output.
func TestGrandchildHoldsOutput(t *testing.T) {
	w := newWorld(t)
	f := w.hostile(t, "list", `sleep 600 & printf %s $! > sleep.pid; echo '[{"id":"a","running":true}]'`)
	all, err := f.Instances(t.Context())
	if err != nil || len(all) != 1 || all[0].Role != fleet.Data {
		t.Errorf("%+v, %v", all, err)
	}
}

// TestGrandchildIsEnded: of a command that takes too long, all is ended.
func TestGrandchildIsEnded(t *testing.T) {
	w := newWorld(t)
	_, err := w.hostile(t, "list", `mkfifo pipe; (trap '' TERM; echo > ready; while :; do sleep 0.1; done) 3<>pipe & sleep 600`).Instances(t.Context())
	wants(t, err, "was ended")
	pipe := filepath.Join(w.dir, "pipe")
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) { // nobody has it open any more
		if f, err := os.OpenFile(pipe, os.O_WRONLY|syscall.O_NONBLOCK, 0); err != nil {
			break
		} else if f.Close(); time.Now().After(deadline) {
			t.Fatal("the grandchild still runs")
		}
	}
}

// TestCommandsThatLie: what a command says of itself proves nothing.
func TestCommandsThatLie(t *testing.T) {
	w := newWorld(t)
	target := []fleet.Instance{w.instance(t, "us-east-1")}
	fault := fleet.Fault{ID: "cut", Kind: fleet.Kill, Lease: time.Hour}
	t.Run("inject does nothing", func(t *testing.T) {
		f := w.hostile(t, "inject", "exit 0")
		u := inject(t, f, fault, target)
		_, err := f.Verify(t.Context(), u)
		wants(t, err, "says that the fault is not in effect (exit code 1)")
		wants(t, f.Renew(t.Context(), u), "not in effect")
		revert(t, f, u)
	})
	t.Run("so does verify", func(t *testing.T) {
		w.hostile(t, "inject", "exit 0")
		path := filepath.Join(w.dir, "inject.sh")
		f := w.hostile(t, "verify", "exit 0")
		f.commands.Inject, _ = f.commands.find([]string{path})
		u := inject(t, f, fault, target)
		_, err := f.Verify(t.Context(), u)
		wants(t, err, "there is still an answer at "+target[0].URL)
		wants(t, f.Revert(t.Context(), u), "verify says that the fault is still in effect")
		if left, err := f.Leftovers(t.Context()); err != nil || len(left) != 1 {
			t.Errorf("left: %v, %v", left, err)
		}
		u.Data = []byte(strings.Replace(string(u.Data), "verify.sh", "drill.sh", 2))
		revert(t, f, u)
	})
	t.Run("revert does nothing", func(t *testing.T) {
		f := w.hostile(t, "revert", "exit 0")
		u := inject(t, f, fault, target)
		if seen, err := f.Verify(t.Context(), u); err != nil || !strings.Contains(seen, "ps tells it of us-east-1; no answer at http://") {
			t.Errorf("verify: %q, %v", seen, err)
		}
		wants(t, f.Revert(t.Context(), u), "the command revert has ended well, but the command verify says that the fault is still in effect")
		w.write(t, "revert.sh", script) // a fault ends though the command is another by now
		revert(t, f, u)
	})
	t.Run("verify cannot tell", func(t *testing.T) {
		f := w.hostile(t, "verify", "echo ssh: no route >&2; exit 255")
		u := inject(t, f, fault, target)
		wants(t, f.Revert(t.Context(), u), "whether the fault is gone is not known", "ssh: no route")
		w.write(t, "verify.sh", script)
		revert(t, f, u)
	})
}

func inject(t *testing.T, f *Fleet, fault fleet.Fault, targets []fleet.Instance) fleet.Undo {
	t.Helper()
	u, err := f.Prepare(t.Context(), fault, targets)
	if err == nil {
		err = f.Inject(t.Context(), u)
	}
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// revert reverts as another process, which knows nothing but the record.
func revert(t *testing.T, f *Fleet, u fleet.Undo) {
	t.Helper()
	other, err := Reopen(u, f.options.Environ, f.options.Log)
	if err == nil {
		err = other.Revert(t.Context(), u)
	}
	if err != nil {
		t.Fatal(err)
	}
	if left, err := other.Leftovers(t.Context()); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
