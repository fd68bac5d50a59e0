//go:build linux

package docker

import (
	"errors"
	"strings"
	"testing"
	"time"

	"gwdr/fleet"
	"gwdr/fleet/docker"
)

// wants fails the test unless the error says each of the parts.
func wants(t testing.TB, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Error("no error")
		return
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not say %q", err, part)
		}
	}
}

func TestRefusals(t *testing.T) {
	w := newWorld(t, false)
	daemon.network(t, map[string]any{"Name": "by-chance"})
	t.Cleanup(func() { daemon.must(t, "DELETE", "/networks/by-chance", nil, nil) })
	odd := func(name string, host map[string]any) {
		w.createAs(name, map[string]any{"Image": image, "Entrypoint": []string{"/gwdr", "lab", "echo", "--file", "/echo.json"},
			"Labels": map[string]string{"app": "gateway"}, "ExposedPorts": map[string]any{"9000/tcp": map[string]any{}}, "HostConfig": host})
		w.start(name)
		t.Cleanup(func() { daemon.must(t, "DELETE", "/containers/"+name+"?force=true", nil, nil) })
	}
	odd("anywhere", map[string]any{"NetworkMode": "by-chance"})
	odd("hostly", map[string]any{"NetworkMode": "host"})
	odd("passing", map[string]any{"NetworkMode": "gateways", "AutoRemove": true})
	odd("random", map[string]any{"NetworkMode": "gateways", "PortBindings": map[string]any{"9000/tcp": []any{map[string]any{"HostIp": "127.0.0.1"}}}})
	f := w.fleet(t)
	prepare := func(f *docker.Fleet, kind fleet.FaultKind, in fleet.Instance) error {
		_, err := f.Prepare(t.Context(), fleet.Fault{ID: "a", Kind: kind, Lease: time.Minute}, []fleet.Instance{in})
		return err
	}
	for _, test := range []struct {
		kind fleet.FaultKind
		id   string
		want string
	}{
		{fleet.Isolate, "anywhere", "was created with a subnet"},
		{fleet.Isolate, "hostly", "no network of its own (host)"},
		{fleet.Kill, "passing", "run with --rm"},
		{fleet.RestartLoop, "passing", "run with --rm"},
		{fleet.Kill, "random", "its port 9000/tcp is published wherever there is room"},
		{fleet.Isolate, "random", "its port 9000/tcp is published wherever there is room"},
		{fleet.Partition, "us-east-1", "docker has isolate, kill, pause, restart-loop, slow, stop"},
	} {
		err := prepare(f, test.kind, fleet.Instance{ID: test.id, Role: fleet.Data})
		wants(t, err, test.want)
		if !errors.Is(err, fleet.ErrUnsupported) {
			t.Errorf("%s of %s: %v is not ErrUnsupported", test.kind, test.id, err)
		}
	}
	wants(t, prepare(f, fleet.Kill, fleet.Instance{ID: "echo", Role: fleet.Data}), `no container "echo" has the label app=gateway`)
	wants(t, prepare(f, fleet.Kill, fleet.Instance{ID: "us-east-1", Role: fleet.Edge}), "whose role is edge")
	closed, err := docker.Open(t.Context(), docker.Options{Host: daemon.host(), Label: label, Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	wants(t, prepare(closed, fleet.Kill, fleet.Instance{ID: "us-east-1", Role: fleet.Data}), "allow: true")
	_, err = docker.Open(t.Context(), docker.Options{Host: daemon.host(), Allow: true, Log: quiet()})
	wants(t, err, "an empty one would match every container")
}
