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
	clean := traces()
	daemon = &dockerd{dir: dir}
	defer func() {
		err := errors.Join(running(filepath.Join(dir, "gwdr")), daemon.stop(), daemon.sweep(), os.RemoveAll(dir))
		clean()
		if err != nil {
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
	err = daemon.start()
	if err == nil {
		err = daemon.loadImage()
	}
	if err != nil { // as in a container without the rights for it
		problem = err
	}
	return m.Run()
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
	dir     string
	cmd     *exec.Cmd
	done    chan struct{}
	bridges []string // names of the network interfaces that it has made
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
		"--ip-forward=false", "--ip-masq=false", "--exec-opt", "native.cgroupdriver=cgroupfs", "--cgroup-parent=/"+d.slice())
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

// kill ends the engine as a power cut does: nothing is ended with it.
func (d *dockerd) kill() error {
	if d.cmd == nil || d.cmd.Process == nil {
		return nil
	}
	if err := d.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill dockerd: %w", err)
	}
	<-d.done
	return nil
}

// network makes a network, and returns its id.
func (d *dockerd) network(t testing.TB, config map[string]any) string {
	t.Helper()
	var made struct{ ID string }
	d.must(t, "POST", "/networks/create", config, &made)
	d.bridges = append(d.bridges, "br-"+made.ID[:12])
	return made.ID
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

// traces remembers what an engine leaves on a machine that has nothing of it in its name, and returns what removes it.
func traces() (clean func()) {
	places := []string{"/etc/docker/key.json", "/etc/docker"}
	mine := slices.DeleteFunc(places, func(path string) bool { _, err := os.Lstat(path); return err == nil })
	return func() {
		for _, path := range mine {
			os.Remove(path) // of a directory, only if nothing is in it
		}
	}
}
