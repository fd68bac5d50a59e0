//go:build linux

package host

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"gwdr/e2e/shell"
)

// farm is two nginx, a region each, with a main process and two workers.
type farm struct {
	t   *testing.T
	dir string
	at  map[string]string
}

func newFarm(t *testing.T) *farm {
	t.Helper()
	shell.Need(t, false, "nginx")
	f := &farm{t: t, dir: t.TempDir(), at: map[string]string{}}
	for _, region := range []string{"us-east", "us-west"} {
		f.at[region] = freeAddr(t)
		conf := fmt.Sprintf(`pid %[1]s/%[2]s.pid; error_log %[1]s/%[2]s.err; worker_processes 2; events {}
http { access_log off; client_body_temp_path %[1]s/%[2]s-body; proxy_temp_path %[1]s/p;
fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
server { listen %[3]s; location / { return 200; } } }
`, f.dir, region, f.at[region])
		if err := os.WriteFile(f.conf(region), []byte(conf), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("nginx", "-c", f.conf(region)).CombinedOutput(); err != nil { // it goes into the background
			t.Fatalf("nginx: %v\n%s", err, out)
		}
		shell.Eventually(t, 20*time.Second, func() error { return answers(f.at[region]) })
	}
	t.Cleanup(f.end)
	return f
}

func (f *farm) conf(region string) string { return filepath.Join(f.dir, region+".conf") }

// pids are the processes of a region, and how they are.
func (f *farm) pids(region string) map[int]string {
	found := map[int]string{}
	for pid := range shell.Commands("nginx: master process", f.conf(region)) {
		found[pid], _ = shell.Stat(fmt.Sprintf("/proc/%d", pid))
		for worker := range shell.Commands("nginx: worker process") {
			if state, parent := shell.Stat(fmt.Sprintf("/proc/%d", worker)); parent == pid {
				found[worker] = state
			}
		}
	}
	return found
}

// well says what is wrong with a region: three processes run and answer. A look may see nginx on its way there: its main process leaves
// the session that it was started in, and until a worker has said that it is one it looks like another main process.
func (f *farm) well() error {
	for region, at := range f.at {
		all := f.pids(region)
		for pid, state := range all {
			if state == "T" {
				return fmt.Errorf("%s: process %d is stopped", region, pid)
			}
		}
		if len(all) != 3 {
			return fmt.Errorf("%s: processes %v", region, all)
		}
		if err := answers(at); err != nil {
			return err
		}
	}
	return nil
}

// end ends the two as their administrator would, and proves that nothing is left.
func (f *farm) end() {
	for region := range f.at {
		for pid := range f.pids(region) {
			syscall.Kill(pid, syscall.SIGCONT)
		}
		exec.Command("nginx", "-c", f.conf(region), "-s", "stop").Run()
	}
	shell.Eventually(f.t, 20*time.Second, func() error {
		for region := range f.at {
			if left := f.pids(region); len(left) > 0 {
				return fmt.Errorf("%s is left: %v", region, left)
			}
		}
		return nil
	})
}

func (f *farm) person() *shell.Person {
	f.t.Helper()
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		f.t.Fatal(err)
	}
	return person(f.t, f.at, func(region string) string {
		return fmt.Sprintf("pid_file: %s/%s.pid, exe: %[3]s, start: [%[3]s, -c, %[4]s]", f.dir, region, nginx, f.conf(region))
	})
}

// TestNginx runs a whole drill of each kind.
func TestNginx(t *testing.T) {
	f := newFarm(t)
	p := f.person()
	for _, kind := range []string{"kill", "pause", "stop"} {
		r := p.Pass(p.Write("drill.yaml", shell.Scenario("fault: "+kind, shell.UntilRecovered, shell.Soon)))
		if len(r.Faults) != 1 || !r.Faults[0].Verified {
			t.Errorf("%s: %+v", kind, r)
		}
		shell.Eventually(t, 20*time.Second, f.well)
		p.Want(0, "report", "verify", r.Evidence)
	}
	p.Write("drill.yaml", shell.Scenario("fault: isolate", "5s", shell.Soon))
	if end := p.Want(7, "drill", "run", "drill.yaml", "--approve", "any"); !strings.Contains(end.Err, "host has kill, pause, stop") {
		t.Errorf("isolate: %s", end.Err)
	}
}

// TestNginxKills kills a drill, its guard, and both, while a region is stopped or gone. Whoever is left reverts; where nobody is, the next
// command says so, and a revert mends.
func TestNginxKills(t *testing.T) {
	f := newFarm(t)
	p := f.person()
	for part, kill := range map[string]func(d *shell.Drill){
		"drill": func(d *shell.Drill) {
			d.Cmd.Process.Kill()
			shell.Eventually(t, 20*time.Second, d.ByGuard)
		},
		"guard": func(d *shell.Drill) {
			shell.Kill(t, binary, "drill guard")
			d.Want(5)
		},
		"hung guard": func(d *shell.Drill) {
			for pid := range shell.Processes(binary, "drill guard") {
				shell.Freeze(t, pid)
			}
			if end := d.Want(5); !strings.Contains(end.Out, "it has not answered for") {
				t.Error(end.Out)
			}
		},
		"both": func(d *shell.Drill) {
			shell.Orphan(t, binary)
			if f.well() == nil {
				t.Error("it is well although nobody is left to revert")
			}
			if end := p.Want(0, "version"); !strings.Contains(end.Err, "ORPHANED") {
				t.Errorf("says nothing of an orphan: %s", end.Err)
			}
			p.Want(7, "drill", "run", "drill.yaml", "--approve", "any")
		},
	} {
		for _, kind := range []string{"pause", "kill", "stop"} {
			t.Run(kind+" "+part, func(t *testing.T) {
				var more []string
				if part == "both" { // what it leaves behind is found all the same
					more = []string{"--evidence", "elsewhere"}
				}
				d := p.InEffect(p.Write("drill.yaml", shell.Scenario("fault: "+kind, "20s", shell.Soon)), more...)
				kill(d)
				d.Wait()
				if part != "both" { // somebody was left
					shell.Eventually(t, 20*time.Second, f.well)
				}
				shell.Eventually(t, 20*time.Second, p.Clean)
				shell.Eventually(t, 20*time.Second, f.well)
			})
		}
	}
}
