//go:build linux

package host

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"gwdr/e2e/shell"
)

// boot makes namespaces in which systemd is the first process, and has no units but those of the test: whatever of the machine's own it
// could reach, it gets empty. The network is the machine's.
const boot = `set -e
mount --make-rprivate /
mount -t proc proc /proc
mount -t tmpfs tmpfs /run
for d in /usr/lib/systemd/system /etc/systemd /usr/lib/systemd/system-generators /usr/lib/systemd/system-environment-generators /etc/init.d; do
	[ ! -d $d ] || mount -t tmpfs tmpfs $d
done
umount -l /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p /etc/systemd/system
cp "$1"/units/* /etc/systemd/system/
echo 0123456789abcdef0123456789abcdef > /run/machine-id
mount --bind /run/machine-id /etc/machine-id
export container=gwdr-test
exec /lib/systemd/systemd --system --unit=test.target --log-target=console --show-status=no
`

// system is a systemd with a unit for each region.
type system struct {
	t      *testing.T
	first  int // its pid, as this machine sees it
	inside []string
	at     map[string]string
}

func newSystem(t *testing.T) *system {
	t.Helper()
	shell.Need(t, true, "/lib/systemd/systemd", "systemctl", "unshare", "nsenter")
	dir := t.TempDir()
	s := &system{t: t, at: map[string]string{}}
	units := map[string]string{"test.target": "[Unit]\nDefaultDependencies=no\n"}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, region := range []string{"us-east", "us-west"} {
		s.at[region] = freeAddr(t)
		units[region+".service"] = fmt.Sprintf("[Unit]\nDefaultDependencies=no\n[Service]\nExecStart=%s serve %s\nRestart=always\nRestartSec=100ms\n", self, s.at[region])
	}
	if err := os.Mkdir(filepath.Join(dir, "units"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range units {
		if err := os.WriteFile(filepath.Join(dir, "units", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.boot(dir)
	for region, at := range s.at {
		s.systemctl("start", region+".service")
		shell.Eventually(t, 20*time.Second, func() error { return answers(at) })
	}
	return s
}

// boot starts systemd. It ends with this process, and all of it with it.
func (s *system) boot(dir string) {
	s.t.Helper()
	cmd := exec.Command("unshare", "--pid", "--fork", "--mount", "--uts", "--ipc", "--cgroup", "--kill-child", "sh", "-c", boot, "sh", dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		shell.Eventually(s.t, 20*time.Second, func() error {
			for _, at := range s.at {
				if left := shell.Commands(" serve ", at); len(left) > 0 {
					return fmt.Errorf("processes are left: %v", left)
				}
			}
			return nil
		})
	})
	shell.Eventually(s.t, 30*time.Second, func() error {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", cmd.Process.Pid, cmd.Process.Pid))
		if err != nil {
			return err
		}
		if _, err := fmt.Sscan(string(text), &s.first); err != nil {
			return err
		}
		s.inside = []string{"nsenter", "-t", fmt.Sprint(s.first), "-m", "-p", "-u", "-i", "-C"}
		out, err := exec.Command(s.inside[0], append(s.inside[1:], "systemctl", "is-system-running")...).CombinedOutput()
		if state := strings.TrimSpace(string(out)); state != "running" && state != "degraded" {
			return fmt.Errorf("systemd is %q: %w\n%s", state, err, log.String())
		}
		return nil
	})
}

func (s *system) systemctl(args ...string) string {
	s.t.Helper()
	words := append(append([]string{}, s.inside[1:]...), "systemctl")
	out, err := exec.Command(s.inside[0], append(words, args...)...).CombinedOutput()
	if err != nil {
		s.t.Fatalf("systemctl %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// well says what is wrong: each unit runs, answers, is started again by systemd if it ends, and has no setting of ours.
func (s *system) well() error {
	for region, at := range s.at {
		is := s.systemctl("show", "--property=ActiveState,Restart,DropInPaths", region+".service")
		if is != "Restart=always\nActiveState=active\nDropInPaths=" && is != "Restart=always\nActiveState=active" {
			return fmt.Errorf("%s is %q", region, is)
		}
		if err := answers(at); err != nil {
			return err
		}
	}
	return nil
}

func (s *system) person() *shell.Person {
	s.t.Helper()
	p := person(s.t, s.at, func(region string) string { return "unit: " + region + ".service" })
	p.Before = append(slices.Clone(s.inside), "--wdns="+p.Home)
	return p
}

// TestUnits runs a whole drill of each kind over units that systemd would start again by itself.
func TestUnits(t *testing.T) {
	s := newSystem(t)
	p := s.person()
	for _, kind := range []string{"kill", "pause", "stop"} {
		r := p.Pass(p.Write("drill.yaml", shell.Scenario("fault: "+kind, shell.UntilRecovered, shell.Soon)))
		if len(r.Faults) != 1 || !r.Faults[0].Verified {
			t.Errorf("%s: %+v", kind, r)
		}
		if err := s.well(); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

// TestUnitsKilled kills the drill and its guard while systemd is kept from starting a unit: a revert gives it back.
func TestUnitsKilled(t *testing.T) {
	s := newSystem(t)
	p := s.person()
	d := p.InEffect(p.Write("drill.yaml", shell.Scenario("fault: kill", "20s", shell.Soon)))
	if is := s.systemctl("show", "--property=Restart,ActiveState", "us-east.service"); !strings.Contains(is, "Restart=no") {
		t.Errorf("during the fault it is %q", is)
	}
	shell.Orphan(t, binary)
	d.Cmd.Process.Kill() // nsenter, which was stopped with its child
	d.Wait()
	if s.well() == nil {
		t.Error("it is well although nobody is left to revert")
	}
	shell.Eventually(t, 20*time.Second, p.Clean)
	if err := s.well(); err != nil {
		t.Error(err)
	}
}
