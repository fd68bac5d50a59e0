//go:build linux

package docker

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// An engine that ends while it starts a container leaves the container's process, what watches over it, its control group and
// its mounts: nothing of that ends with the engine. All of it has the directory of the engine in its name, as nothing else has.

// slice names the control group in which the engine's containers are.
func (d *dockerd) slice() string { return filepath.Base(d.dir) }

// left says what of an engine is still there: processes, mounts, control groups, network interfaces.
func (d *dockerd) left() error {
	var errs []error
	for _, pid := range d.processes() {
		line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		errs = append(errs, fmt.Errorf("process %d is left: %s", pid, strings.ReplaceAll(string(line), "\x00", " ")))
	}
	for _, at := range d.mounts() {
		errs = append(errs, fmt.Errorf("%s is still mounted", at))
	}
	for _, group := range d.groups() {
		errs = append(errs, fmt.Errorf("control group %s is left", group))
	}
	for _, bridge := range d.bridges {
		if _, err := net.InterfaceByName(bridge); err == nil {
			errs = append(errs, fmt.Errorf("network interface %s is left", bridge))
		}
	}
	return errors.Join(errs...)
}

// sweep ends and removes what an engine that has ended has left.
func (d *dockerd) sweep() error {
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		for _, pid := range d.processes() {
			if p, err := os.FindProcess(pid); err == nil && d.owns(pid) { // by a pidfd: it is the same one that is then killed
				p.Kill()
				p.Release()
			}
		}
		for _, at := range slices.Backward(d.mounts()) {
			syscall.Unmount(at, syscall.MNT_DETACH)
		}
		for _, group := range slices.Backward(d.groups()) { // the inner ones first
			os.Remove(group)
		}
		if err := d.left(); err == nil || time.Now().After(deadline) {
			return err
		}
	}
}

// running says which processes of a program are left. A guard may need a moment to end.
func running(binary string) error {
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		var errs []error
		links, _ := filepath.Glob("/proc/[0-9]*/exe")
		for _, link := range links {
			if at, err := os.Readlink(link); err == nil && at == binary {
				line, _ := os.ReadFile(filepath.Join(filepath.Dir(link), "cmdline"))
				errs = append(errs, fmt.Errorf("%s is left: %s", link, strings.ReplaceAll(string(line), "\x00", " ")))
			}
		}
		if err := errors.Join(errs...); err == nil || time.Now().After(deadline) {
			return err
		}
	}
}

// processes lists those that belong to the engine, or that it has left.
func (d *dockerd) processes() []int {
	var all []int
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil && pid != os.Getpid() && d.owns(pid) {
			all = append(all, pid)
		}
	}
	return all
}

// owns tells by the program, its arguments, its directory, or its control group. What has ended has none of them.
func (d *dockerd) owns(pid int) bool {
	proc := fmt.Sprintf("/proc/%d/", pid)
	for _, link := range []string{"exe", "cwd"} {
		if at, err := os.Readlink(proc + link); err == nil && strings.HasPrefix(at, d.dir+"/") {
			return true
		}
	}
	line, _ := os.ReadFile(proc + "cmdline")
	group, _ := os.ReadFile(proc + "cgroup")
	return strings.Contains(string(line), d.dir+"/") || strings.Contains(string(group), "/"+d.slice()+"/")
}

// mounts lists what is mounted below the engine's directory, the outer ones first.
func (d *dockerd) mounts() []string {
	var all []string
	text, _ := os.ReadFile("/proc/self/mounts")
	for line := range strings.Lines(string(text)) {
		if at := strings.Fields(line)[1]; strings.HasPrefix(at, d.dir+"/") {
			all = append(all, at)
		}
	}
	return all
}

// groups lists the control groups of the engine's containers, the outer ones first.
func (d *dockerd) groups() []string {
	roots, _ := filepath.Glob("/sys/fs/cgroup/*/" + d.slice())
	var all []string
	for _, root := range append(roots, "/sys/fs/cgroup/"+d.slice()) {
		filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
			if err == nil && e.IsDir() {
				all = append(all, path)
			}
			return nil
		})
	}
	return all
}

// TestEngineKilled kills an engine of its own while it starts a container: what that leaves is swept.
func TestEngineKilled(t *testing.T) {
	need(t)
	dir, err := os.MkdirTemp("", "gwdr-killed-")
	if err != nil {
		t.Fatal(err)
	}
	d := &dockerd{dir: dir}
	t.Cleanup(func() {
		if err := errors.Join(d.kill(), d.sweep(), os.RemoveAll(dir)); err != nil {
			t.Error(err)
		}
	})
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	if err := d.loadImage(); err != nil {
		t.Fatal(err)
	}
	var made struct{ ID string }
	d.must(t, "POST", "/containers/create", map[string]any{"Image": image, "Entrypoint": []string{"/gwdr", "lab", "echo", "--file", "/echo.json"},
		"HostConfig": map[string]any{"NetworkMode": "none"}}, &made)
	began := make(chan struct{})
	go func() {
		d.ask("POST", "/containers/"+made.ID+"/start", nil, nil) // an error, or it was quicker: nothing depends on it
		close(began)
	}()
	for deadline := time.Now().Add(30 * time.Second); len(d.groups()) == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the container has no control group")
		}
	}
	if err := d.kill(); err != nil {
		t.Fatal(err)
	}
	<-began
	left := d.left()
	if left == nil {
		t.Fatal("an engine that was killed has left nothing: this test shows nothing")
	}
	t.Log(left)
	if err := d.sweep(); err != nil {
		t.Error(err)
	}
}
