//go:build linux

// Package docker tests the fleet of containers against a real engine, which it starts itself: with its own data, its own
// socket, without a bridge and without a rule of the packet filter, so that nothing of it is left on the machine.
package docker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The engine under test and what it runs; problem says why there is none.
var (
	binary  string
	daemon  *dockerd
	problem error
)

func TestMain(m *testing.M) {
	os.Exit(startAndRun(m))
}

func startAndRun(m *testing.M) (code int) {
	if os.Getuid() != 0 {
		problem = errors.New("root, to run an engine")
		return m.Run()
	}
	if _, err := exec.LookPath("dockerd"); err != nil {
		problem = err
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "gwdr-docker-") // short: the path of a socket has 108 bytes
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() {
		if err := errors.Join(unmount(dir), os.RemoveAll(dir)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}()
	binary = filepath.Join(dir, "gwdr")
	build := exec.Command("go", "build", "-o", binary, ".")
	build.Dir, build.Env = "../..", append(os.Environ(), "CGO_ENABLED=0") // static: it is all that the image holds
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build gwdr: %v\n%s", err, out)
		return 1
	}
	clean := traces()
	daemon = &dockerd{dir: dir}
	err = daemon.start()
	if err == nil {
		err = daemon.loadImage()
	}
	if err != nil { // as in a container without the rights for it
		problem = err
	}
	code = m.Run()
	if err := errors.Join(daemon.stop(), clean()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// need ends a test if there is no engine: in CI that is a failure.
func need(t *testing.T) {
	t.Helper()
	if problem == nil {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("needed: %v", problem)
	}
	t.Skipf("needed: %v", problem)
}

// dockerd is an engine of our own.
type dockerd struct {
	dir  string
	cmd  *exec.Cmd
	done chan struct{}
}

func (d *dockerd) socket() string { return filepath.Join(d.dir, "sock") }
func (d *dockerd) host() string   { return "unix://" + d.socket() }

// start returns once the engine answers. It ends with this process, however that ends.
func (d *dockerd) start() error {
	log, err := os.OpenFile(filepath.Join(d.dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	d.cmd = exec.Command("dockerd", "--data-root", filepath.Join(d.dir, "data"), "--exec-root", filepath.Join(d.dir, "exec"),
		"--pidfile", filepath.Join(d.dir, "pid"), "--host", d.host(), "--bridge=none", "--iptables=false", "--ip6tables=false",
		"--ip-forward=false", "--ip-masq=false")
	d.cmd.Stdout, d.cmd.Stderr = log, log
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	d.done = make(chan struct{})
	began := make(chan error)
	go func() { // the kernel sends the signal when the thread ends that started it
		runtime.LockOSThread()
		err := d.cmd.Start()
		began <- err
		if err == nil {
			d.cmd.Wait()
			close(d.done)
		}
	}()
	if err := <-began; err != nil {
		return fmt.Errorf("start dockerd: %w", err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		err := d.ask("GET", "/_ping", nil, nil)
		if err == nil {
			return nil
		}
		select {
		case <-d.done:
			err = errors.New("it has ended")
		default:
			if time.Now().Before(deadline) {
				continue
			}
		}
		said, _ := os.ReadFile(filepath.Join(d.dir, "log"))
		return fmt.Errorf("start dockerd: %w\n%s", err, said)
	}
}

// stop ends the engine, and its containers with it.
func (d *dockerd) stop() error {
	if d.cmd == nil || d.cmd.Process == nil {
		return nil
	}
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop dockerd: %w", err)
	}
	select {
	case <-d.done:
		return nil
	case <-time.After(time.Minute):
		return errors.Join(errors.New("stop dockerd: it does not end"), d.cmd.Process.Kill())
	}
}

// ask makes one call of the Engine API, and reads the answer into out: JSON, or as it is into a strings.Builder.
func (d *dockerd) ask(method, path string, body, out any) error {
	content, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return d.send(method, path, "application/json", bytes.NewReader(content), out)
}

func (d *dockerd) send(method, path, kind string, body io.Reader, out any) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) {
		return net.Dial("unix", d.socket())
	}}}
	req, err := http.NewRequestWithContext(ctx, method, "http://engine/v1.41"+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", kind)
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= 300 && resp.StatusCode != http.StatusNotModified {
		err = fmt.Errorf("%s %s: %d %s", method, path, resp.StatusCode, answer)
	}
	if err != nil || out == nil {
		return err
	}
	if text, ok := out.(*strings.Builder); ok {
		_, err = text.Write(answer)
		return err
	}
	return json.Unmarshal(answer, out)
}

// must is ask for a test.
func (d *dockerd) must(t testing.TB, method, path string, body, out any) {
	t.Helper()
	if err := d.ask(method, path, body, out); err != nil {
		t.Fatal(err)
	}
}

// traces remembers what an engine leaves on a machine, and returns what removes it, and looks whether anything else is left.
func traces() func() error {
	places := []string{"/etc/docker/key.json", "/etc/docker"}
	groups, _ := filepath.Glob("/sys/fs/cgroup/*")
	for _, g := range append(groups, "/sys/fs/cgroup") {
		places = append(places, filepath.Join(g, "docker"))
	}
	mine := slices.DeleteFunc(places, func(path string) bool { _, err := os.Lstat(path); return err == nil })
	before := links()
	return func() error {
		for _, path := range mine {
			os.Remove(path) // of a directory, only if nothing is in it
		}
		var errs []error
		for name := range links() {
			if !before[name] && strings.HasPrefix(name, "br-") {
				errs = append(errs, fmt.Errorf("network interface %s is left", name))
			}
		}
		return errors.Join(errs...)
	}
}

// unmount takes away what an engine that has ended leaves mounted below a directory: the namespace of the host's network.
func unmount(dir string) error {
	text, err := os.ReadFile("/proc/self/mounts")
	for line := range strings.Lines(string(text)) {
		if at := strings.Fields(line)[1]; strings.HasPrefix(at, dir+"/") {
			err = errors.Join(err, syscall.Unmount(at, syscall.MNT_DETACH))
		}
	}
	return err
}

// links lists the network interfaces.
func links() map[string]bool {
	all := map[string]bool{}
	interfaces, _ := net.Interfaces()
	for _, i := range interfaces {
		all[i.Name] = true
	}
	return all
}
