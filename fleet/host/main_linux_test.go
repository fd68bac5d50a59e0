package host

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"gwdr/fleet"
	"gwdr/fleet/proc"
)

// TestMain makes this test binary a service, too: a main process that serves, and a worker beside it.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == "serve" {
		fmt.Fprintln(os.Stderr, serve(os.Args[2], os.Args[3]))
		os.Exit(1)
	}
	if len(os.Args) == 2 && os.Args[1] == "work" {
		io.Copy(io.Discard, os.Stdin) // until the main process ends
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// serve ends by itself after some minutes, whatever becomes of the test.
func serve(at, pidFile string) error {
	time.AfterFunc(5*time.Minute, func() { os.Exit(1) })
	self, err := os.Executable()
	if err != nil {
		return err
	}
	worker := exec.Command(self, "work")
	if _, err := worker.StdinPipe(); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", at)
	if err != nil {
		return err
	}
	if err := errors.Join(worker.Start(), os.WriteFile(pidFile, fmt.Appendf(nil, "%d\n", os.Getpid()), 0o600)); err != nil {
		return err
	}
	return http.Serve(listener, http.NotFoundHandler())
}

// world is services that the test has started itself.
type world struct {
	t    *testing.T
	dir  string
	self string
	all  map[string]Process
}

func newWorld(t *testing.T) *world {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, dir: t.TempDir(), self: self, all: map[string]Process{}}
	for id, region := range map[string]string{"us-east-1": "us-east", "us-west-1": "us-west"} {
		at := freeAddr(t)
		w.all[id] = Process{Region: region, URL: "http://" + at + "/", PIDFile: filepath.Join(w.dir, id+".pid"), Exe: self,
			Start: []string{self, "serve", at, filepath.Join(w.dir, id+".pid")}}
		w.start(id)
	}
	t.Cleanup(w.end)
	return w
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// start starts a service as its administrator would.
func (w *world) start(id string) proc.ID {
	w.t.Helper()
	cmd := exec.Command(w.all[id].Start[0], w.all[id].Start[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	go cmd.Wait()
	w.until("it runs", func() bool { return w.now(id).PID == cmd.Process.Pid })
	return w.now(id)
}

// now is the process that a service is, or none.
func (w *world) now(id string) proc.ID {
	now, err := service{PIDFile: w.all[id].PIDFile}.main(w.t.Context())
	if err != nil {
		return proc.ID{}
	}
	return now
}

func (w *world) until(what string, is func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("never: %s", what)
		}
	}
}

// running lists the processes whose command line is such. A look may see one that is only about to run another program.
func (w *world) running(is func(words []string) bool) (all []proc.ID) {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		var pid int
		fmt.Sscanf(file, "/proc/%d/", &pid)
		line, _ := os.ReadFile(file)
		if pid != os.Getpid() && is(strings.Split(string(line), "\x00")) {
			if id, err := proc.Identify(pid); err == nil && id.Alive() {
				all = append(all, id)
			}
		}
	}
	return all
}

// end ends the services, and proves that nothing of them is left.
func (w *world) end() {
	w.until("nothing is left", func() bool {
		left := w.running(func(words []string) bool { return words[0] == w.self })
		for _, id := range left {
			if err := id.Kill(); err != nil {
				w.t.Error(err)
			}
		}
		return len(left) == 0
	})
	if left, err := filepath.Glob(filepath.Join(w.dir, "marks", "*.json")); err != nil || len(left) > 0 {
		w.t.Errorf("marks are left: %v, %v", left, err)
	}
}

func (w *world) options(change func(*Options)) Options {
	o := Options{Processes: w.all, Allow: true, State: filepath.Join(w.dir, "marks"), Dir: w.dir, Environ: os.Environ(), Log: quiet()}
	if change != nil {
		change(&o)
	}
	return o
}

func (w *world) fleet(change func(*Options)) *Fleet {
	w.t.Helper()
	f, err := Open(w.options(change))
	if err != nil {
		w.t.Fatal(err)
	}
	return f
}

// broken injects a fault into us-east-1.
func (w *world) broken(f *Fleet, kind fleet.FaultKind) fleet.Undo {
	w.t.Helper()
	u, err := f.Prepare(w.t.Context(), fleet.Fault{ID: "cut", Kind: kind, Lease: time.Hour}, []fleet.Instance{{ID: "us-east-1", Role: fleet.Data}})
	if err == nil {
		err = f.Inject(w.t.Context(), u)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return u
}

func wants(t *testing.T, err error, want ...string) {
	t.Helper()
	for _, w := range want {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Fatalf("got %v, want %q in it", err, w)
		}
	}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }
