//go:build linux

package host

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"gwdr/e2e/shell"
)

// boot makes namespaces in which systemd is the first process, and has no units but those of the test: whatever of the machine's own it
// could reach, it gets empty, but for the folders that follow the first; and it sets nothing of the kernel. The network is the machine's.
const boot = `set -e
units=$1
shift
mount --make-rprivate /
mount -t proc proc /proc
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
mount -t tmpfs tmpfs /run
for d; do
	mkdir -p "/run/keep$d"
	mount --bind "$d" "/run/keep$d"
done
for d in /tmp /etc /lib/systemd/system /usr/lib/systemd/system /usr/local/lib/systemd \
	/usr/lib/systemd/system-generators /usr/lib/systemd/system-environment-generators; do
	[ ! -d $d ] || mount -t tmpfs tmpfs $d
done
for d; do
	mkdir -p "$d"
	mount --bind "/run/keep$d" "$d"
	umount "/run/keep$d"
done
rm -r /run/keep
umount -l /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p /etc/systemd/system
cp "$units"/* /etc/systemd/system/
echo 0123456789abcdef0123456789abcdef > /etc/machine-id
export container=gwdr-test
exec /lib/systemd/systemd --system --unit=test.target --log-target=console --show-status=no
`

const unit = `[Unit]
DefaultDependencies=no
[Service]
ExecStart=%s serve %s
Restart=always
RestartSec=100ms
`

// system is a systemd with a unit for each region.
type system struct {
	t      *testing.T
	inside []string // words before a command that runs there
	at     map[string]string
}

func newSystem(t *testing.T) *system {
	t.Helper()
	shell.Need(t, true, "/lib/systemd/systemd", "systemctl", "unshare", "nsenter")
	s := &system{t: t, at: map[string]string{}}
	units := map[string]string{"test.target": "[Unit]\nDefaultDependencies=no\n"}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, region := range []string{"us-east", "us-west"} {
		s.at[region] = freeAddr(t)
		units[region+".service"] = fmt.Sprintf(unit, self, s.at[region])
	}
	dir := t.TempDir()
	for name, text := range units {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.boot(dir, filepath.Dir(dir), filepath.Dir(binary), filepath.Dir(self)) // the folders of a test are in one
	for line := range strings.Lines(s.systemctl("list-unit-files", "--no-legend", "--plain")) {
		if name := strings.Fields(line)[0]; units[name] == "" {
			t.Errorf("systemd has a unit that is not the test's: %s", name)
		}
	}
	for region, at := range s.at {
		s.systemctl("start", region+".service")
		shell.Eventually(t, 20*time.Second, func() error { return answers(at) })
	}
	return s
}

// boot starts systemd in a control group of its own, which is all that it sees of them.
func (s *system) boot(units string, folders ...string) {
	s.t.Helper()
	group := newGroup(s.t)
	log, err := os.Create(filepath.Join(s.t.TempDir(), "log"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command("unshare", "--pid", "--fork", "--mount", "--uts", "--ipc", "--cgroup", "--kill-child", "sh", "-c", boot, "sh", units)
	cmd.Args = append(cmd.Args, folders...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL, UseCgroupFD: true, CgroupFD: int(group.Fd())}
	cmd.Stdout, cmd.Stderr = log, log
	ended := s.start(cmd)
	s.t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
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
		err := s.up(cmd.Process.Pid)
		if err != nil {
			said, _ := os.ReadFile(log.Name())
			err = fmt.Errorf("%w\n%s", err, said)
		}
		return err
	})
}

// start starts a command that ends with this process, and all of it with it: the kernel kills it when the thread ends that started it.
func (s *system) start(cmd *exec.Cmd) (ended <-chan struct{}) {
	s.t.Helper()
	began, over := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		err := cmd.Start()
		began <- err
		if err == nil {
			cmd.Wait()
			close(over)
		}
	}()
	if err := <-began; err != nil {
		s.t.Fatal(err)
	}
	return over
}

// up says why systemd, the child of the process, is not up.
func (s *system) up(parent int) error {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%[1]d/task/%[1]d/children", parent))
	if err != nil {
		return err
	}
	first := strings.TrimSpace(string(text)) // its pid, as this machine sees it
	name, err := os.ReadFile(fmt.Sprintf("/proc/%s/comm", first))
	if err != nil || string(name) != "systemd\n" { // so far systemctl would ask the machine's own
		return fmt.Errorf("process %q is %q: %w", first, name, err)
	}
	s.inside = []string{"nsenter", "-t", first, "-m", "-p", "-u", "-i", "-C"}
	out, err := exec.Command(s.inside[0], append(s.inside[1:], "systemctl", "is-system-running")...).CombinedOutput()
	if state := strings.TrimSpace(string(out)); state != "running" && state != "degraded" {
		return fmt.Errorf("systemd is %q: %w", state, err)
	}
	return nil
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

// TestUnitsKilled kills the drill and its guard while a unit is down, and systemd is kept from starting it: a revert gives it back.
func TestUnitsKilled(t *testing.T) {
	s := newSystem(t)
	p := s.person()
	for kind, want := range map[string]string{"kill": "Restart=no", "stop": "ActiveState=inactive"} {
		d := p.InEffect(p.Write("drill.yaml", shell.Scenario("fault: "+kind, "20s", shell.Soon)))
		if is := s.systemctl("show", "--property=Restart,ActiveState", "us-east.service"); !strings.Contains(is, want) {
			t.Errorf("%s: during the fault it is %q", kind, is)
		}
		shell.Orphan(t, binary)
		d.Cmd.Process.Kill() // nsenter, which was stopped with its child
		d.Wait()
		if s.well() == nil {
			t.Errorf("%s: it is well although nobody is left to revert", kind)
		}
		shell.Eventually(t, 20*time.Second, p.Clean)
		if err := s.well(); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}
