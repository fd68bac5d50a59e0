package lab

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"gwdr/backup"
	"gwdr/gateway"
	"gwdr/restore"
)

// follower is a running gwdr backup follow.
type follower struct {
	s      *shop
	cmd    *exec.Cmd
	url    string // of its health and metrics
	events chan backup.Event
	stderr *bytes.Buffer
	ended  chan struct{}
}

// follow starts a follower, and returns once it follows.
func (s *shop) follow() *follower {
	s.t.Helper()
	f := &follower{s: s, cmd: s.command("backup", "follow", "--json", "--listen", "127.0.0.1:0"), events: make(chan backup.Event, 100),
		stderr: new(bytes.Buffer), ended: make(chan struct{})}
	out, err := f.cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	errs, err := f.cmd.StderrPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := f.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	first, err := bufio.NewReader(io.TeeReader(errs, f.stderr)).ReadString('\n')
	if err != nil {
		s.t.Fatal(err)
	}
	_, f.url, _ = strings.Cut(strings.TrimSpace(first), " on ")
	go func() {
		defer close(f.ended)
		io.Copy(f.stderr, errs)
	}()
	go func() {
		defer close(f.events)
		for dec := json.NewDecoder(out); ; {
			var e backup.Event
			if dec.Decode(&e) != nil {
				return
			}
			f.events <- e
		}
	}()
	f.await(backup.LineageBegun)
	return f
}

// await returns the next event of the kind.
func (f *follower) await(kind backup.EventKind) backup.Event {
	f.s.t.Helper()
	late := time.After(time.Minute)
	for {
		select {
		case e, ok := <-f.events:
			if !ok {
				f.s.t.Fatalf("it ended without %s", kind)
			}
			if e.Kind == kind {
				return e
			}
		case <-late:
			f.s.t.Fatalf("no %s within a minute", kind)
		}
	}
}

// stop ends it, and returns its exit code.
func (f *follower) stop(sig syscall.Signal) int {
	f.s.t.Helper()
	if err := f.cmd.Process.Signal(sig); err != nil {
		f.s.t.Fatal(err)
	}
	for range f.events {
	}
	<-f.ended
	f.cmd.Wait()
	return f.cmd.ProcessState.ExitCode()
}

// committed waits until most locations have the revision.
func (f *follower) committed(revision int64) {
	f.s.t.Helper()
	want := fmt.Sprintf("\ngwdr_follow_committed_revision %d\n", revision)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		resp, err := http.Get(f.url + "/metrics")
		if err != nil {
			f.s.t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if strings.Contains(string(body), want) {
			return
		}
		if time.Now().After(deadline) {
			f.s.t.Fatalf("revision %d is not committed: %s", revision, body)
		}
	}
}

// set changes a setting, and returns the revision.
func (s *shop) set(id string) int64 {
	s.t.Helper()
	revision, err := s.client.Put(s.t.Context(), gateway.Entity{Ref: gateway.Ref{Kind: gateway.Setting, ID: id}, Body: []byte(`{}`)}, gateway.Condition{})
	if err != nil {
		s.t.Fatal(err)
	}
	return revision
}

// TestFollow: the signals' exit codes, and that a restore leads to the last change even if the follower was killed.
func TestFollow(t *testing.T) {
	s := newShop(t)
	s.put("a", 10_000)
	f := s.follow()
	f.await(backup.PointMade)
	f.committed(s.set("one"))
	contains(t, s.want(7, "backup").stderr, "another backup is running")
	if code := f.stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d after SIGTERM: %s", code, f.stderr)
	}
	f = s.follow()
	f.committed(s.set("two"))
	if code := f.stop(syscall.SIGINT); code != 130 {
		t.Errorf("exit code %d after SIGINT: %s", code, f.stderr)
	}
	f = s.follow()
	f.committed(s.set("three"))
	last := s.set("four")
	f.committed(last)
	f.stop(syscall.SIGKILL)
	plan := decode[restore.Plan](t, s.want(0, "restore", "--plan", "--json").stdout)
	if plan.Revision < last || len(plan.Steps) > 0 {
		t.Errorf("the plan leads to revision %d, not %d: %v %v", plan.Revision, last, plan.Steps, plan.Findings)
	}
	s.run("backup", "verify", "--all", "--repair", "-q") // what was committed at two locations may be missing at the third
	v := decode[backup.Verification](t, s.want(0, "backup", "verify", "--all", "--json").stdout)
	if !v.Sound() {
		t.Errorf("verification: %+v", v)
	}
}
