package netns

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
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

// TestMain makes this test binary the holder, too.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "hold" {
		if Hold(context.Background(), os.Stdin, os.Stdout) != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func run(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return string(out)
}

// pair makes two namespaces, joined by veth, with a server in each and a rule of somebody else in the first.
func pair(t *testing.T) *Fleet {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("needs root")
		}
		t.Skip("needs root")
	}
	suffix := strings.ToLower(rand.Text()[:6])
	all := map[string]Namespace{}
	names := []string{"gt-a-" + suffix, "gt-b-" + suffix}
	for _, name := range names {
		run(t, "ip", "netns", "add", name)
		t.Cleanup(func() { exec.Command("ip", "netns", "del", name).Run() })
		run(t, "ip", "-n", name, "link", "set", "lo", "up")
	}
	run(t, "ip", "-n", names[0], "link", "add", "v0", "type", "veth", "peer", "name", "v0", "netns", names[1])
	for i, name := range names {
		at := fmt.Sprintf("10.77.1.%d", i+1)
		run(t, "ip", "-n", name, "addr", "add", at+"/24", "dev", "v0")
		run(t, "ip", "-n", name, "link", "set", "v0", "up")
		var l net.Listener
		if err := within(name, func() (err error) { l, err = net.Listen("tcp", at+":8080"); return err }); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for c, err := l.Accept(); err == nil; c, err = l.Accept() {
				c.Close()
			}
		}()
		all[name] = Namespace{Region: "r" + fmt.Sprint(i), URL: "http://" + at + ":8080"}
	}
	run(t, "ip", "netns", "exec", names[0], "nft", "add table inet theirs; add chain inet theirs c { type filter hook input priority 0; }; add rule inet theirs c tcp dport 9 drop")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	f, err := Open(Options{Namespaces: all, Allow: true, State: t.TempDir(), Holder: []string{self, "hold"}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	foreign := func() string {
		return run(t, "ip", "netns", "exec", names[0], "nft", "list", "table", "inet", "theirs")
	}
	before := foreign()
	t.Cleanup(func() {
		if _, err := inode(names[0]); err == nil && foreign() != before {
			t.Error("a rule of somebody else was touched")
		}
	})
	return f
}

func TestConformance(t *testing.T) {
	to := fleet.Selector{Region: "r0"}
	fleettest.Run(t, fleettest.Suite{
		Open: func(t *testing.T) fleet.Fleet { return pair(t) },
		Reopen: func(t *testing.T, u fleet.Undo) fleet.Fleet {
			f, err := Reopen(u, nil, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			return f
		},
		Faults: map[fleet.FaultKind]fleettest.Case{
			fleet.Isolate:   {Selector: to},
			fleet.BlackHole: {Selector: to},
			fleet.Reset:     {Selector: to},
			fleet.Loss:      {Selector: to, With: fleet.Params{Share: 0.3}},
			fleet.Partition: {Selector: to, With: fleet.Params{Peer: fleet.Selector{Region: "r1"}}},
		},
	})
}

// broken injects one fault into the first namespace and returns who keeps it: the holder, and nft.
func broken(t *testing.T, f *Fleet, id string) (fleet.Undo, []proc.ID) {
	t.Helper()
	all, _ := f.Instances(t.Context())
	u, err := f.Prepare(t.Context(), fleet.Fault{ID: id, Kind: fleet.Isolate, Lease: time.Hour}, all[:1])
	if err == nil {
		err = f.Inject(t.Context(), u)
	}
	if err != nil {
		t.Fatal(err)
	}
	found, err := keepers(file(t, u))
	if err != nil || len(found) != 2 {
		t.Fatalf("who keeps it: %v, %v", found, err)
	}
	if at, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", found[0].PID)); err != nil || at != f.options.Holder[0] {
		slices.Reverse(found)
	}
	return u, found
}

// file is that of the fault's one holder.
func file(t *testing.T, u fleet.Undo) string {
	t.Helper()
	data, err := read(u)
	if err != nil {
		t.Fatal(err)
	}
	return data.file(data.Targets[0])
}

func TestKilledHolderLeavesNothing(t *testing.T) {
	f := pair(t)
	u, keepers := broken(t, f, "cut")
	if err := keepers[0].Kill(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if left, err := f.Leftovers(t.Context()); err == nil && len(left) == 0 {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("left: %v, %v", left, err)
		}
	}
	if err := f.Revert(t.Context(), u); err != nil {
		t.Error(err)
	}
}

func TestNamespaceDeleted(t *testing.T) {
	f := pair(t)
	u, keepers := broken(t, f, "cut")
	run(t, "ip", "netns", "del", u.Targets[0])
	if err := f.Revert(t.Context(), u); err != nil {
		t.Error(err)
	}
	for _, p := range keepers {
		if p.Alive() {
			t.Errorf("process %d is still there", p.PID)
		}
	}
}

func TestInitialNamespaceIsRefused(t *testing.T) {
	f := pair(t)
	name := "gt-own-" + strings.ToLower(rand.Text()[:6])
	run(t, "ip", "netns", "attach", name, fmt.Sprint(os.Getpid()))
	t.Cleanup(func() { run(t, "ip", "netns", "del", name) })
	o := f.options
	o.Namespaces = map[string]Namespace{name: {URL: "http://10.77.1.1:8080"}}
	if _, err := Open(o); err == nil || !strings.Contains(err.Error(), "never broken") {
		t.Errorf("open: %v", err)
	}
}

// TestNobodyKnows: where nft fails, or says what nobody understands, no fault is taken for gone.
func TestNobodyKnows(t *testing.T) {
	f := pair(t)
	u, _ := broken(t, f, "cut")
	for name, script := range map[string]string{"fails": "exit 1", "crashes": "kill -ABRT $$", "says something else": "echo '{}'"} {
		blind := *f
		blind.nft = filepath.Join(t.TempDir(), "nft")
		if err := os.WriteFile(blind.nft, []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := blind.Renew(t.Context(), u); err == nil {
			t.Errorf("%s: renewed", name)
		}
		if left, err := blind.Leftovers(t.Context()); err == nil {
			t.Errorf("%s: left: %v", name, left)
		}
		if err := blind.Revert(t.Context(), u); err == nil {
			t.Errorf("%s: reverted", name)
		}
	}
	if err := f.Revert(t.Context(), u); err != nil {
		t.Error(err)
	}
}

// TestHolderIsHardToEnd: its file is lost, or damaged, or it does not run: it ends all the same.
func TestHolderIsHardToEnd(t *testing.T) {
	keep := func(string) error { return nil }
	damage := func(file string) error { return os.WriteFile(file, []byte("["), 0o600) }
	for name, c := range map[string]struct {
		spoil   func(file string) error
		stopped []int // of the keepers
	}{
		"lost":             {os.Remove, nil},
		"damaged":          {damage, nil},
		"stopped":          {keep, []int{0}},
		"its nft stopped":  {keep, []int{1}},
		"lost and stopped": {os.Remove, []int{0}},
		"damaged, stopped": {damage, []int{0, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			f := pair(t)
			u, keepers := broken(t, f, "cut")
			err := c.spoil(file(t, u))
			for _, i := range c.stopped {
				err = errors.Join(err, syscall.Kill(keepers[i].PID, syscall.SIGSTOP))
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := f.Revert(t.Context(), u); err != nil {
				t.Errorf("revert: %v", err)
			}
			for _, p := range keepers {
				for deadline := time.Now().Add(patience); p.Alive(); time.Sleep(10 * time.Millisecond) {
					if time.Now().After(deadline) {
						t.Fatalf("process %d is still there", p.PID)
					}
				}
			}
			f.nothingLeft(t)
		})
	}
}

// nothingLeft is no table and no file.
func (f *Fleet) nothingLeft(t *testing.T) {
	t.Helper()
	if left, err := f.Leftovers(t.Context()); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	if files, err := filepath.Glob(filepath.Join(f.options.State, "netns", "*")); err != nil || len(files) > 0 {
		t.Errorf("files are left: %v, %v", files, err)
	}
}

// TestLateHolder: the drill ends before its holder comes to make the table, and somebody reverts meanwhile: there is none to come.
func TestLateHolder(t *testing.T) {
	f := pair(t)
	gate := filepath.Join(t.TempDir(), "gate")
	if err := syscall.Mkfifo(gate, 0o600); err != nil {
		t.Fatal(err)
	}
	f.options.Holder = []string{"/bin/sh", "-c", `read go < "$2"; "$0" "$1"`, f.options.Holder[0], "hold", gate}
	all, _ := f.Instances(t.Context())
	u, err := f.Prepare(t.Context(), fleet.Fault{ID: "cut", Kind: fleet.Isolate, Lease: time.Hour}, all[:1])
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	injected := make(chan error, 1)
	go func() { injected <- f.Inject(ctx, u) }()
	open, err := os.OpenFile(gate, os.O_WRONLY, 0) // returns once the holder waits
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	cancel()
	if err := <-injected; err == nil {
		t.Error("injected without a holder")
	}
	if err := f.Revert(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	if left, err := keepers(file(t, u)); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	f.nothingLeft(t)
}

// TestTooLateHolder: a revert may not see a holder that is just being started. It finds its file gone, and makes no table.
func TestTooLateHolder(t *testing.T) {
	f := pair(t)
	all, _ := f.Instances(t.Context())
	u, err := f.Prepare(t.Context(), fleet.Fault{ID: "cut", Kind: fleet.Isolate, Lease: time.Hour}, all[:1])
	if err != nil {
		t.Fatal(err)
	}
	data, err := read(u)
	if err != nil {
		t.Fatal(err)
	}
	order, err := json.Marshal(order{f.nft, u.Targets[0], prefix + "cut", data.Nonce, data.Targets[0].Rules, time.Hour, file(t, u)})
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	err = Hold(t.Context(), bytes.NewReader(order), &said)
	if err == nil || !strings.HasPrefix(said.String(), "the fault was reverted meanwhile") {
		t.Errorf("the holder said %q: %v", said.String(), err)
	}
	f.nothingLeft(t)
}

// TestHolderIsAsked: who is asked to end, ends with the table.
func TestHolderIsAsked(t *testing.T) {
	f := pair(t)
	u, keepers := broken(t, f, "cut")
	if err := f.Inject(t.Context(), u); err == nil || !strings.Contains(err.Error(), "a fault of this id is in effect") {
		t.Errorf("injected twice: %v", err)
	}
	if err := syscall.Kill(keepers[0].PID, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); f.Renew(t.Context(), u) == nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the fault is still in effect")
		}
	}
	if err := f.Revert(t.Context(), u); err != nil {
		t.Error(err)
	}
}
