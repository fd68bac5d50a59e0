//go:build linux

package host

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"gwdr/e2e/shell"
)

// linger is a server that writes its pid to PLACE.pid. Asked to end, it serves on, says so by the file PLACE.asked, and ends once
// somebody has opened the pipe PLACE.end.
func linger(at, place string) error {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM)
	l, err := net.Listen("tcp", at)
	if err != nil {
		return err
	}
	go http.Serve(l, http.HandlerFunc(empty))
	if err := os.WriteFile(place+".new", fmt.Appendln(nil, os.Getpid()), 0o600); err != nil {
		return err
	}
	if err := os.Rename(place+".new", place+".pid"); err != nil {
		return err
	}
	<-asked
	if err := os.WriteFile(place+".asked", nil, 0o600); err != nil {
		return err
	}
	if _, err := os.ReadFile(place + ".end"); err != nil {
		return err
	}
	os.Exit(0)
	return nil
}

// lingerers are two such servers, a region each.
type lingerers struct {
	t    *testing.T
	dir  string
	self string
	at   map[string]string
}

func newLingerers(t *testing.T) *lingerers {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	l := &lingerers{t: t, dir: t.TempDir(), self: self, at: map[string]string{}}
	t.Cleanup(l.end)
	for _, region := range []string{"us-east", "us-west"} {
		l.at[region] = freeAddr(t)
		if err := syscall.Mkfifo(l.place(region)+".end", 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(self, "linger", l.at[region], l.place(region))
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		go cmd.Wait()
		shell.Eventually(t, 20*time.Second, func() error { return l.runs(region) })
	}
	return l
}

func (l *lingerers) place(region string) string { return filepath.Join(l.dir, region) }

// pid is of the process that says that it is the region's.
func (l *lingerers) pid(region string) string {
	text, _ := os.ReadFile(l.place(region) + ".pid")
	return strings.TrimSpace(string(text))
}

func (l *lingerers) asked(region string) bool {
	_, err := os.Stat(l.place(region) + ".asked")
	return err == nil
}

// runs says what is wrong with a region: the one process of it is that of the pid file, and answers.
func (l *lingerers) runs(region string) error {
	all := shell.Commands(" linger ", l.place(region)+" ")
	for pid := range all {
		if fmt.Sprint(pid) != l.pid(region) {
			return fmt.Errorf("%s: process %d runs, and its pid file says %s", region, pid, l.pid(region))
		}
	}
	if len(all) != 1 {
		return fmt.Errorf("%s: processes %v", region, all)
	}
	return answers(l.at[region])
}

// letEnd lets the process of a region end that was asked to, and returns once it has.
func (l *lingerers) letEnd(region string) {
	l.t.Helper()
	if err := os.WriteFile(l.place(region)+".end", nil, 0); err != nil {
		l.t.Fatal(err)
	}
	shell.Eventually(l.t, 20*time.Second, func() error {
		if left := shell.Commands(" linger ", l.place(region)+" "); len(left) > 0 {
			return fmt.Errorf("%s runs: %v", region, left)
		}
		return nil
	})
}

// end kills them, and proves that nothing is left.
func (l *lingerers) end() {
	shell.Eventually(l.t, 20*time.Second, func() error {
		left := shell.Commands(" linger ", l.dir+"/")
		for pid := range left {
			syscall.Kill(pid, syscall.SIGKILL)
		}
		if len(left) > 0 {
			return fmt.Errorf("processes are left: %v", left)
		}
		return nil
	})
}

// TestStopKilled kills a drill while it waits for the end of a process that it has asked to end. Its guard waits in its place, and ends
// the process if it takes too long; if it was killed, too, the process ends when it likes. In any case it is started again.
func TestStopKilled(t *testing.T) {
	for part, kill := range map[string]func(l *lingerers, p *shell.Person, d *shell.Drill){
		"drill": func(_ *lingerers, p *shell.Person, d *shell.Drill) {
			d.Cmd.Process.Kill()
			shell.Eventually(p.T, 40*time.Second, d.ByGuard)
		},
		"both": func(l *lingerers, p *shell.Person, d *shell.Drill) {
			shell.Orphan(p.T, binary)
			if end := p.Want(0, "version"); !strings.Contains(end.Err, "ORPHANED") {
				p.T.Errorf("says nothing of an orphan: %s", end.Err)
			}
			l.letEnd("us-east")
		},
	} {
		t.Run(part, func(t *testing.T) {
			l := newLingerers(t)
			p := person(t, l.at, func(region string) string {
				return fmt.Sprintf("pid_file: %[1]s.pid, exe: %[2]s, start: [%[2]s, linger, '%[3]s', %[1]s]", l.place(region), l.self, l.at[region])
			})
			east, west := l.pid("us-east"), l.pid("us-west")
			file := p.Write("drill.yaml", shell.Scenario("fault: stop", "20s", shell.Late))
			d := p.Reach(file, func(*shell.Drill) bool { return l.asked("us-east") })
			kill(l, p, d)
			d.Want(-1)
			if err := d.Injecting(); err != nil {
				t.Error(err)
			}
			shell.Eventually(t, 20*time.Second, p.Clean)
			if err := errors.Join(l.runs("us-east"), l.runs("us-west")); err != nil {
				t.Error(err)
			}
			if l.pid("us-east") == east || l.pid("us-west") != west || l.asked("us-west") {
				t.Errorf("process %s was asked to end, and not %s; now they are %s and %s", east, west, l.pid("us-east"), l.pid("us-west"))
			}
		})
	}
}
