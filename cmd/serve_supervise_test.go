package cmd

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gwdr/fleet/proc"
	"gwdr/internal/workers"
)

// TestServeSupervised: a worker that was killed is there again; new workers take the place of all while no request fails; and with
// the supervisor they all end, also when that is killed.
func TestServeSupervised(t *testing.T) {
	control := serveUntilEnd(t, t.TempDir(), "--role", "control")
	fillGateway(t, control.client(""))
	s := supervised(t, "http://"+control.Admin)
	if got := s.statusFor(s.Admin, "/ready"); got != http.StatusOK {
		t.Errorf("the ready file is there, and ready is %d", got)
	}
	before := s.workers("all are ready", func([]workers.Worker) bool { return true })
	s.saysWhereWorkersAre()
	if got, err := s.ask("/open"); err != nil || got != http.StatusOK {
		t.Errorf("served with %d, %v", got, err)
	}
	for _, err := range []error{syscall.Kill(before[1].PID, syscall.SIGHUP), syscall.Kill(before[0].PID, syscall.SIGKILL)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	restarted := s.workers("the first is there again", func(all []workers.Worker) bool { return all[0].PID != before[0].PID })
	if restarted[0].Restarts != 1 || restarted[1].PID != before[1].PID {
		t.Errorf("%+v, before %+v", restarted, before)
	}
	stop := s.load()
	if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	renewed := s.workers("both are new", func(all []workers.Worker) bool {
		return all[0].PID != restarted[0].PID && all[1].PID != restarted[1].PID
	})
	if answered, failed := stop(); failed > 0 || answered == 0 {
		t.Errorf("%d answered, %d failed", answered, failed)
	}
	if text := s.page("/metrics"); !strings.Contains(text, `gwdr_worker_restarts_total{worker="1"} 1`) {
		t.Errorf("metrics: %s", text)
	}
	for _, path := range []string{"/v1/workers", "/v1/workers/1/v1/status"} { // asked for by a web page with a name of its own for this machine
		if got := s.statusFor("rebound.example", path); got != http.StatusForbidden {
			t.Errorf("%s: %d", path, got)
		}
	}
	if text := s.page("/v1/status"); !strings.Contains(text, "/v1/workers/1/") {
		t.Errorf("a page that a supervisor has not: %s", text)
	}
	if text := s.page("/v1/workers/9/metrics"); text != `{"error":"workers are numbered from 1 to 2"}`+"\n" {
		t.Errorf("a page of a worker that there is not: %s", text)
	}
	if text := s.page("/v1/workers/2/metrics"); !strings.Contains(text, "gwdr_requests_total") {
		t.Errorf("metrics of a worker: %s", text)
	}
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for _, w := range renewed {
		id, _ := proc.Identify(w.PID)
		eventuallyServed(t, "workers end with their supervisor", func() bool { return !id.Alive() })
	}
}

// TestServeSupervisedStopsInPeace: a SIGHUP that comes while it stops does not cut the stop short, and its own readiness fails from the start.
func TestServeSupervisedStopsInPeace(t *testing.T) {
	control := serveUntilEnd(t, t.TempDir(), "--role", "control")
	s := supervised(t, "http://"+control.Admin, "--drain-notice", "2s")
	s.workers("all are ready", func([]workers.Worker) bool { return true })
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	eventuallyServed(t, "it is about to stop", func() bool {
		got, err := s.ask("/.gwdr/ready")
		return err == nil && got == http.StatusServiceUnavailable
	})
	if got := s.statusFor(s.Admin, "/ready"); got != http.StatusServiceUnavailable {
		t.Errorf("about to stop, the supervisor's ready is %d", got)
	}
	if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("it ends with %v", err)
	}
}

// TestWorkersHaveTimeToStop: nobody kills one that does as it was told.
func TestWorkersHaveTimeToStop(t *testing.T) {
	o := serveOptions{notice: time.Minute, drain: time.Second}
	if o.patience() <= o.notice+o.drain {
		t.Errorf("%s", o.patience())
	}
}

// TestSharedSocketDoesNotBlock, whatever processes are started with it.
func TestSharedSocketDoesNotBlock(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	socket, err := shared(l.(*net.TCPListener))
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	worker := exec.Command("/bin/sh", "-c", "true")
	worker.ExtraFiles = []*os.File{socket}
	if err := worker.Run(); err != nil {
		t.Fatal(err)
	}
	raw, err := l.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var flags int
	if failed := raw.Control(func(fd uintptr) { flags, err = unix.FcntlInt(fd, unix.F_GETFL, 0) }); failed != nil || err != nil {
		t.Fatal(failed, err)
	}
	if flags&unix.O_NONBLOCK == 0 {
		t.Error("it blocks")
	}
}

func TestServeSuperviseRefuses(t *testing.T) {
	for says, args := range map[string][]string{
		"--supervise -1 is not":       {"--supervise=-1", "--role", "data"},
		"not between 1 and 64":        {"--supervise", "65", "--role", "data"},
		"--supervise is for --role":   {"--supervise", "2"},
		"no workers of its own":       {"--supervise", "2", "--role", "data", "--listen-fd", "3"},
		"--from-backup do not go tog": {"--supervise", "2", "--role", "data", "--from-backup", "x"},
	} {
		if said := serveFails(t, exitUsage, append([]string{"serve", "--data", t.TempDir()}, args...)...); !strings.Contains(said, says) {
			t.Errorf("%v: %s", args, said)
		}
	}
}

// supervision is a gwdr serve --supervise, in a process of its own.
type supervision struct {
	t             *testing.T
	cmd           *exec.Cmd
	stderr        *lockedBuffer
	Listen, Admin string
}

func supervised(t *testing.T, control string, more ...string) *supervision {
	t.Helper()
	dir := t.TempDir()
	ready := filepath.Join(dir, "ready.json")
	args := append([]string{"serve", "--role", "data", "--supervise", "2", "--control", control, "--data", dir,
		"--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--ready-file", ready, "--instance", "i"}, more...)
	s := &supervision{t: t, cmd: exec.Command("gwdr", args...), stderr: &lockedBuffer{}}
	s.cmd.Env, s.cmd.Stderr = append(os.Environ(), "HOME="+dir), s.stderr
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
		if t.Failed() {
			t.Log(s.stderr)
		}
	})
	eventuallyServed(t, "the supervisor serves", func() bool {
		text, err := os.ReadFile(ready)
		return err == nil && json.Unmarshal(text, s) == nil
	})
	return s
}

// workers waits until all are ready, and what is said is so.
func (s *supervision) workers(what string, is func([]workers.Worker) bool) (all []workers.Worker) {
	s.t.Helper()
	eventuallyServed(s.t, what, func() bool {
		all = nil
		if err := json.Unmarshal([]byte(s.page("/v1/workers")), &all); err != nil || len(all) != 2 {
			s.t.Fatalf("workers: %+v, %v", all, err)
		}
		return all[0].Ready && all[1].Ready && is(all)
	})
	return all
}

func (s *supervision) page(path string) string {
	s.t.Helper()
	resp, err := http.Get("http://" + s.Admin + path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text)
}

// saysWhereWorkersAre expects the admin API of each worker by its number, and the data plane once.
func (s *supervision) saysWhereWorkersAre() {
	s.t.Helper()
	said := s.stderr.String()
	if strings.Count(said, "serving on http://"+s.Listen+"\n") != 1 || strings.Count(said, "admin API on ") != 3 {
		s.t.Errorf("it says %s", said)
	}
	for number := range 2 {
		_, rest, _ := strings.Cut(said, fmt.Sprintf("worker %d: admin API on http://", number+1))
		at, _, _ := strings.Cut(rest, "\n")
		resp, err := http.Get("http://" + at + "/ready")
		if err != nil {
			s.t.Fatalf("worker %d is not at %q: %v", number+1, at, err)
		}
		defer resp.Body.Close()
		if text, err := io.ReadAll(resp.Body); err != nil || !strings.Contains(string(text), fmt.Sprintf("i-%d", number+1)) {
			s.t.Errorf("at the address of worker %d: %s, %v", number+1, text, err)
		}
	}
}

// statusFor is that of the page, asked for by another name of this machine.
func (s *supervision) statusFor(host, path string) int {
	s.t.Helper()
	req, err := http.NewRequest(http.MethodGet, "http://"+s.Admin+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Host = host
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// ask returns the status of a request at the data plane.
func (s *supervision) ask(path string) (int, error) {
	resp, err := http.Get("http://" + s.Listen + path)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// load asks again and again until it is stopped, and counts.
func (s *supervision) load() (stop func() (answered, failed int)) {
	type counts struct{ answered, failed int }
	over, result := make(chan struct{}), make(chan counts)
	go func() {
		var n counts
		for {
			select {
			case <-over:
				result <- n
				return
			default:
			}
			if got, err := s.ask("/open"); err == nil && got == http.StatusOK {
				n.answered++
			} else {
				n.failed++
				s.t.Logf("failed: %d, %v", got, err)
			}
		}
	}()
	return func() (int, int) {
		close(over)
		n := <-result
		return n.answered, n.failed
	}
}
