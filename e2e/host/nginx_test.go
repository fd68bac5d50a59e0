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
	need(t, false, "nginx")
	f := &farm{t: t, dir: t.TempDir(), at: map[string]string{}}
	for _, region := range []string{"us-east", "us-west"} {
		f.at[region] = freeAddr(t)
		conf := fmt.Sprintf(`pid %[1]s/%[2]s.pid; error_log %[1]s/%[2]s.err; worker_processes 2; events {}
http { access_log off; client_body_temp_path %[1]s/%[2]s-body; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
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
	all := states("nginx: master process", f.conf(region))
	workers := states("nginx: worker process")
	found := map[int]string{}
	for pid, state := range all {
		found[pid] = state
		for worker, state := range workers {
			if stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", worker)); strings.Contains(string(stat), fmt.Sprintf(") %s %d ", state, pid)) {
				found[worker] = state
			}
		}
	}
	return found
}

// well says what is wrong with a region: three processes run and answer.
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
	p := shell.New(f.t, binary)
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		f.t.Fatal(err)
	}
	fleet := fmt.Sprintf("state: state\nfleets: {prod: {driver: host, allow: true, url: '%s', processes: [", edge(f.t, f.at["us-east"], f.at["us-west"]))
	for region, at := range f.at {
		fleet += fmt.Sprintf("{name: %[1]s-1, region: %[1]s, url: 'http://%[2]s', pid_file: %[3]s/%[1]s.pid, exe: %[4]s, start: [%[4]s, -c, %[5]s]},",
			region, at, f.dir, nginx, f.conf(region))
	}
	p.Write("gwdr.yaml", fleet+"]}}\n")
	return p
}

// TestNginx runs a whole drill of each kind.
func TestNginx(t *testing.T) {
	f := newFarm(t)
	p := f.person()
	for _, kind := range []string{"kill", "pause", "stop"} {
		r := p.Pass(p.Write("drill.yaml", of(kind, "until-recovered+1s")))
		if len(r.Faults) != 1 || !r.Faults[0].Verified {
			t.Errorf("%s: %+v", kind, r)
		}
		if err := f.well(); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		p.Want(0, "report", "verify", r.Evidence)
	}
	p.Write("drill.yaml", of("isolate", "5s"))
	if end := p.Want(7, "drill", "run", "drill.yaml", "--approve", "any"); !strings.Contains(end.Err, "host has kill, pause, stop") {
		t.Errorf("isolate: %s", end.Err)
	}
}

// TestNginxKills kills a drill, its guard, and both, while a region is stopped or gone. Whoever is left reverts; where nobody is, the next
// command says so, and a revert mends.
func TestNginxKills(t *testing.T) {
	f := newFarm(t)
	p := f.person()
	for _, kind := range []string{"pause", "kill"} {
		for part, kill := range map[string]func(d *shell.Drill){
			"drill": func(d *shell.Drill) {
				d.Cmd.Process.Kill()
				d.Wait()
				shell.Eventually(t, 20*time.Second, f.well) // by its guard
			},
			"guard": func(d *shell.Drill) {
				p.Kill("drill guard")
				if end := d.Wait(); end.Code != 5 {
					t.Errorf("exit code %d: %s", end.Code, end.Err)
				}
			},
			"hung guard": func(d *shell.Drill) {
				for pid := range p.Processes("drill guard") {
					syscall.Kill(pid, syscall.SIGSTOP)
				}
				if end := d.Wait(); end.Code != 5 || !strings.Contains(end.Out, "it has not answered for") {
					t.Errorf("exit code %d: %s", end.Code, end.Out)
				}
			},
			"both": func(d *shell.Drill) {
				d.Cmd.Process.Signal(syscall.SIGSTOP) // it would notice
				p.Kill("drill guard")
				d.Cmd.Process.Kill()
				d.Wait()
				if f.well() == nil {
					t.Error("it is well although nobody is left to revert")
				}
				if end := p.Want(0, "version"); !strings.Contains(end.Err, "ORPHANED") {
					t.Errorf("says nothing of an orphan: %s", end.Err)
				}
				p.Want(7, "drill", "run", "drill.yaml", "--approve", "any")
			},
		} {
			t.Run(kind+" "+part, func(t *testing.T) {
				var more []string
				if part == "both" { // what it leaves behind is found all the same
					more = []string{"--evidence", "elsewhere"}
				}
				d := p.InEffect(p.Write("drill.yaml", of(kind, "20s")), more...)
				kill(d)
				shell.Eventually(t, 20*time.Second, func() error { return clean(p) })
				if err := f.well(); err != nil {
					t.Error(err)
				}
			})
		}
	}
}
