package cmd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"gwdr/backup"
	"gwdr/gateway"
	"gwdr/gateway/gatewaytest"
	"gwdr/restore"
)

// stageRig is a site with one point, whose gateway is gone, and a folder for temporary files.
type stageRig struct {
	cli
	t          *testing.T
	executable string // what is started to restore into
	file       string
	disks      string
	tmp        string
	upstream   *silentListener
	stderr     func(text string) // is told what is said, as it is said
}

// silentListener is the real upstream, which nobody may reach.
type silentListener struct {
	net.Listener
	reached chan string
	over    chan struct{}
}

func listenSilently(t *testing.T) *silentListener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &silentListener{l, make(chan string, 100), make(chan struct{})}
	go func() {
		defer close(s.over)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.reached <- c.RemoteAddr().String()
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close() })
	return s
}

func newStageRig(t *testing.T, more ...gateway.Entity) *stageRig {
	t.Helper()
	real, err := exec.LookPath("gwdr")
	if err != nil {
		t.Fatal(err)
	}
	rig := &stageRig{cli: cli{t.TempDir()}, t: t, executable: real, disks: t.TempDir(), tmp: t.TempDir(), upstream: listenSilently(t)}
	rig.file = filepath.Join(rig.home, "gwdr.yaml")
	t.Setenv("TMPDIR", rig.tmp)
	body := gateway.UpstreamBody{Endpoints: []gateway.Endpoint{{URL: "http://" + rig.upstream.Addr().String()}, {URL: "https://" + rig.upstream.Addr().String()}},
		Health: gateway.HealthCheck{Path: "/health", Interval: gateway.Duration(10 * time.Millisecond)}}
	entities := append([]gateway.Entity{
		{Ref: gateway.Ref{Kind: gateway.Upstream, ID: "real"}, Body: gateway.Encode(body)},
		{Ref: gateway.Ref{Kind: gateway.Route, ID: "open"}, Body: gateway.Encode(gateway.RouteBody{Path: "/open", Upstream: "real", Auth: gateway.AuthNone})},
		{Ref: gateway.Ref{Kind: gateway.Route, ID: "locked"}, Body: gateway.Encode(gateway.RouteBody{Path: "/locked/{id}", Upstream: "real", Scopes: []string{"read"}})},
	}, more...)
	rig.run(t, exitDone, nil, "init", "--file", rig.file, "--gateway", "gwdr+http://127.0.0.1:1", "--site", "dc1",
		"--location", "local=file://"+rig.disks+"/local,media=disk,site=dc1", "--location", "nas=file://"+rig.disks+"/nas,media=nas,site=dc2")
	config, err := loadConfig(rig.file, rig.env)
	if err != nil {
		t.Fatal(err)
	}
	a := &app{Config: config, Quiet: true, Stdout: &bytes.Buffer{}, Stderr: &bytes.Buffer{}, Env: rig.env}
	job, err := a.backupJob(t.Context(), gatewaytest.New(entities...))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := backup.Take(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	return rig
}

// env has a PATH, too: there the program that is started finds itself.
func (rig *stageRig) env(name string) string {
	if name == "PATH" {
		return os.Getenv(name)
	}
	return rig.cli.env(name)
}

// tell passes on what is written.
type tell func(string)

func (f tell) Write(p []byte) (int, error) { f(string(p)); return len(p), nil }

// rehearse runs a rehearsal, wants the exit code, and nothing to be left of it.
func (rig *stageRig) rehearse(code int, into any, args ...string) string {
	rig.t.Helper()
	var stdout, stderr bytes.Buffer
	args = append([]string{"--config", rig.file, "restore", "--rehearse"}, args...)
	said := tell(func(text string) {
		stderr.WriteString(text)
		if rig.stderr != nil {
			rig.stderr(text)
		}
	})
	got := run(args, invocation{strings.NewReader(""), &stdout, said, rig.env, rig.executable, nil})
	if got != code {
		rig.t.Fatalf("gwdr %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), got, code, &stdout, &stderr)
	}
	if into != nil {
		if err := json.Unmarshal(stdout.Bytes(), into); err != nil {
			rig.t.Fatalf("%v in %s", err, &stdout)
		}
	}
	rig.clean()
	return stdout.String() + stderr.String()
}

// clean wants no process and no file to be left, and that the real upstream was left alone.
func (rig *stageRig) clean() {
	rig.t.Helper()
	left, err := os.ReadDir(rig.tmp)
	if err != nil || len(left) > 0 {
		rig.t.Errorf("left behind: %v, %v", left, err)
	}
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline") // none, where there is no such thing
	if err != nil {
		rig.t.Fatal(err)
	}
	for _, file := range lines {
		if raw, err := os.ReadFile(file); err == nil && bytes.Contains(raw, []byte(rig.tmp)) {
			rig.t.Errorf("still runs: %s %q", file, raw)
		}
	}
	if len(rig.upstream.reached) > 0 {
		rig.t.Errorf("the real upstream was reached %d times", len(rig.upstream.reached))
	}
}

func (rig *stageRig) attestations() (found []string) {
	rig.t.Helper()
	found, err := filepath.Glob(filepath.Join(rig.disks, "*", "gwdr1", "*", "attest", "*.tar"))
	if err != nil {
		rig.t.Fatal(err)
	}
	return found
}

func phaseNames(phases []restore.Phase) (names []string) {
	for _, p := range phases {
		names = append(names, p.Name)
	}
	return names
}

func TestRehearse(t *testing.T) {
	rig := newStageRig(t)
	var r rehearsal
	rig.rehearse(exitDone, &r, "--json")
	want := []string{"start", "locate", "load", "log", "revocations", "apply", "read back", "prove"}
	if got := phaseNames(r.Phases); !slices.Equal(got, want) {
		t.Errorf("phases %v, want %v", got, want)
	}
	sum := 0.0
	for _, p := range r.Phases {
		sum += p.Seconds
	}
	if r.Schema != rehearsalSchema || r.Result != backup.ResultPass || r.Actual == "" || r.Actual != r.Expected || r.Entities != 3 || sum <= 0 || sum > r.Total ||
		len(r.Checks) != 7 || r.passed() != 7 || r.Attested == nil || len(r.Attested.Locations) != 2 || r.Provenance["local"] != 3 {
		t.Errorf("rehearsal %+v", r)
	}
	if found := rig.attestations(); len(found) != 2 {
		t.Errorf("attestations: %v", found)
	}
	text := rig.rehearse(exitDone, nil, "--only", "routes", "--from", "nas", "--at", "0s")
	for _, want := range []string{": passed\n", "2 entities: only routes", "7 of 7 checks passed", "read from       nas", "attested        pass, at local, nas, by SHA256:", "\nread back", "\ntotal "} {
		if !strings.Contains(strings.ReplaceAll(text, "nas, local", "local, nas"), want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if text := rig.rehearse(exitDone, nil, "-q", "--no-attest"); text != "" {
		t.Errorf("quiet: %s", text)
	}
	if found := rig.attestations(); len(found) != 4 {
		t.Errorf("attestations: %v", found)
	}
	if _, err := os.Stat(filepath.Join(rig.home, ".local", "state", "gwdr", "backup")); err == nil {
		if entries, _ := filepath.Glob(filepath.Join(rig.home, ".local", "state", "gwdr", "backup", "*", "restored*")); len(entries) > 0 {
			t.Errorf("a lineage was recorded: %v", entries)
		}
	}
	if text := rig.run(t, exitMissed, nil, "--config", rig.file, "backup", "status"); !strings.Contains(text, "restored   0s ago, in a rehearsal that passed") &&
		!strings.Contains(text, "s ago, in a rehearsal that passed") || strings.Count(text, "never") != 2 {
		t.Errorf("status:\n%s", text)
	}
	rig.run(t, exitDone, nil, "--config", rig.file, "backup", "verify", "--all", "--attest")
}

func TestRehearseUsage(t *testing.T) {
	rig := newStageRig(t)
	for _, args := range [][]string{{"--to", "gwdr+http://127.0.0.1:1"}, {"--probe", "http://127.0.0.1:1"}, {"--yes"}, {"--plan"}} {
		if text := rig.rehearse(exitUsage, nil, args...); !strings.Contains(text, args[0]+" does not go with --rehearse") {
			t.Error(text)
		}
	}
	rig.run(t, exitUsage, nil, "--config", rig.file, "restore", "--no-attest")
	rig.rehearse(exitUsage, nil, "--from", "moon")
	rig.rehearse(exitUsage, nil, "--only", "plugins")
	if text := rig.rehearse(exitIntegrity, nil, "--at", "2001-01-01 00:00"); !strings.Contains(text, "hint: 'gwdr backup list'") {
		t.Error(text)
	}
	var r rehearsal
	rig.rehearse(exitIntegrity, &r, "--at", "2001-01-01 00:00", "--json")
	if r.Result != backup.ResultFail || r.Attested != nil || r.Error == "" || len(rig.attestations()) != 0 {
		t.Errorf("rehearsal %+v", r)
	}
	content, err := os.ReadFile(rig.file)
	if err != nil {
		t.Fatal(err)
	}
	lines := slices.DeleteFunc(strings.Split(string(content), "\n"), func(l string) bool { return strings.HasPrefix(strings.TrimSpace(l), "signing:") })
	if err := os.WriteFile(rig.file, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	if text := rig.rehearse(exitUsage, nil); !strings.Contains(text, "there is no signing key") || !strings.Contains(text, "--no-attest rehearses") {
		t.Error(text)
	}
	rig.rehearse(exitDone, nil, "--no-attest")
}

// TestRehearseDeadChild: a gateway that does not start, or dies on the way, fails the rehearsal and leaves nothing.
func TestRehearseDeadChild(t *testing.T) {
	rig := newStageRig(t)
	for _, at := range []string{"looking for points", "making", "probing the data plane"} {
		killed := false
		rig.stderr = func(text string) {
			if strings.HasPrefix(text, at) {
				killed = killStage(t, rig.tmp)
			}
		}
		text := rig.rehearse(exitError, nil)
		if !killed || !strings.Contains(text, "did not live to the end: it ended by itself (signal: killed)") {
			t.Errorf("%s:\n%s", at, text)
		}
	}
	rig.stderr = nil
	before := len(rig.attestations())
	rig.executable = script(t, "echo no room left >&2; exit 7")
	if text := rig.rehearse(exitError, nil); !strings.Contains(text, "ended by itself (exit status 7): no room left") || len(rig.attestations()) != before {
		t.Error(text)
	}
}

// killStage ends the gateway that a rehearsal in the folder restores into, and waits until it is gone.
func killStage(t *testing.T, tmp string) bool {
	files, err := filepath.Glob(filepath.Join(tmp, "*", "ready.json"))
	if err != nil || len(files) != 1 {
		t.Errorf("ready files: %v, %v", files, err)
		return false
	}
	var at struct{ PID int }
	raw, err := os.ReadFile(files[0])
	if err == nil {
		err = json.Unmarshal(raw, &at)
	}
	if err == nil {
		err = syscall.Kill(at.PID, syscall.SIGKILL)
	}
	if err != nil {
		t.Error(err)
		return false
	}
	eventuallyServed(t, "end of the gateway", func() bool { return errors.Is(syscall.Kill(at.PID, 0), syscall.ESRCH) })
	return true
}

func script(t *testing.T, lines string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "gwdr")
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+lines+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestRehearseNotServed: a state that a data plane refuses is attested as a failure.
func TestRehearseNotServed(t *testing.T) {
	rig := newStageRig(t, gateway.Entity{Ref: gateway.Ref{Kind: gateway.Route, ID: "dangling"}, Body: gateway.Encode(gateway.RouteBody{Path: "/lost", Upstream: "nowhere"})})
	config, err := loadConfig(rig.file, rig.env)
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	a := &app{Config: config, Stdout: &stdout, Stderr: &stderr, Env: rig.env, Executable: rig.executable}
	err = runRehearse(t.Context(), a, restoreOptions{rehearse: true, revoked: string(restore.FailClosed), within: 50 * time.Millisecond})
	if code := a.fail(t.Context(), err); code != exitMissed || !strings.Contains(stdout.String(), "FAILED          GET /locked/gwdr-probe") ||
		!strings.Contains(stdout.String(), "attested        fail, at ") {
		t.Errorf("exit code %d\n%s%s", code, &stdout, &stderr)
	}
	rig.clean()
	if text := rig.run(t, exitMissed, nil, "--config", rig.file, "backup", "status"); strings.Contains(text, "rehearsal") || strings.Contains(text, "so said the verification") {
		t.Errorf("status:\n%s", text)
	}
}

// TestRehearseInterrupted: whoever presses Ctrl-C finds nothing left.
func TestRehearseInterrupted(t *testing.T) {
	rig := newStageRig(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	started := filepath.Join(rig.home, "started")
	fake := script(t, "echo $$ >"+started+"; exec cat") // never ready; ends with its standard input
	cmd := exec.CommandContext(ctx, rig.executable, "--config", rig.file, "restore", "--rehearse")
	cmd.Env = []string{"HOME=" + rig.home, "TMPDIR=" + rig.tmp, "PATH=" + filepath.Dir(fake) + ":" + os.Getenv("PATH")}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	eventuallyServed(t, "start of the gateway", func() bool {
		raw, err := os.ReadFile(started)
		if err == nil {
			_, err = fmt.Sscan(string(raw), &pid)
		}
		return err == nil
	})
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	err := cmd.Wait()
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != exitInterrupted || !strings.Contains(stderr.String(), "rehearsal interrupted") {
		t.Errorf("%v: %s", err, &stderr)
	}
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d: %v", pid, err)
	}
	rig.clean()
}
