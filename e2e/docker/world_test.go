//go:build linux

package docker

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gwdr/fleet"
	"gwdr/fleet/docker"
)

const (
	image = "gwdr-test"
	label = "app=gateway"
)

// loadImage makes an image of nothing but the static binary, and the configurations of a gateway and of an edge.
func (d *dockerd) loadImage() error {
	read, write := io.Pipe()
	go func() { write.CloseWithError(writeImage(write)) }()
	return d.send("POST", "/images/create?fromSrc=-&repo="+image, "application/x-tar", read, nil)
}

func writeImage(w io.Writer) error {
	gwdr, err := os.ReadFile(binary)
	if err != nil {
		return err
	}
	out := tar.NewWriter(w)
	files := []struct {
		name string
		mode int64
		text []byte
	}{
		{"gwdr", 0o755, gwdr},
		{"gateway/last-good.ndjson", 0o600, state("http://echo:9000")},
		{"edge/last-good.ndjson", 0o600, state("http://us-east-1:8080", "http://us-east-2:8080", "http://us-west-1:8080")},
		{"echo.json", 0o600, []byte(`{"listen":"0.0.0.0:9000","token":"nobody knows it"}`)},
		{"tmp/empty", 0o600, nil},
	}
	for _, f := range files {
		err = errors.Join(err, out.WriteHeader(&tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.text)), Typeflag: tar.TypeReg}))
		if err == nil {
			_, err = out.Write(f.text)
		}
	}
	return errors.Join(err, out.Close())
}

// state is a configuration that passes everything on to the first of the endpoints that is healthy.
func state(endpoints ...string) []byte {
	var list []map[string]any
	for i, url := range endpoints {
		list = append(list, map[string]any{"url": url, "priority": i})
	}
	upstream := map[string]any{"endpoints": list, "balance": "failover", "retries": -1, // so that clients see what happens
		"health": map[string]any{"path": "/.gwdr/ready", "interval": "100ms", "timeout": "250ms", "unhealthy": 2}}
	if len(endpoints) == 1 {
		delete(upstream, "health")
	}
	var text strings.Builder
	enc := json.NewEncoder(&text)
	enc.Encode(map[string]any{"store": "test", "revision": 1, "epoch": 1, "time": time.Now().UTC()})
	for _, e := range []struct {
		kind, id string
		body     any
	}{{"upstream", "all", upstream}, {"route", "all", map[string]any{"path": "/{rest...}", "upstream": "all", "auth": "none"}}} {
		body, _ := json.Marshal(e.body)
		enc.Encode(map[string]any{"kind": e.kind, "id": e.id, "body": body})
	}
	enc.Encode(map[string]any{"end": true, "count": 2})
	return []byte(text.String())
}

// world is a gateway of containers: an echo, three instances in two regions, and an edge in front, which is no part of the
// fleet.
type world struct {
	t       testing.TB
	network string // its id
	subnet  string // of that, without the last number: 10.213.77
	edge    string // base URL
}

// newWorld starts the containers, and removes them when the test ends. The instances have addresses that somebody has asked
// for, or else such as the engine chooses.
func newWorld(t testing.TB, asked bool) *world {
	t.Helper()
	if t, ok := t.(*testing.T); ok {
		need(t)
	}
	w := &world{t: t, subnet: freeSubnet(t)}
	w.network = daemon.network(t, map[string]any{"Name": "gateways", "CheckDuplicate": true,
		"IPAM": map[string]any{"Config": []any{map[string]any{"Subnet": w.subnet + ".0/24"}}}})
	t.Cleanup(w.remove)
	w.create("echo", nil, "", "", "lab", "echo", "--file", "/echo.json")
	for i, id := range []string{"us-east-1", "us-east-2", "us-west-1"} {
		region, address := strings.TrimSuffix(strings.TrimSuffix(id, "-1"), "-2"), ""
		if asked {
			address = fmt.Sprintf("%s.%d", w.subnet, 100+i)
		}
		w.create(id, map[string]string{"app": "gateway", docker.RegionLabel: region}, "", address,
			"serve", "--role", "data", "--data", "/gateway", "--listen", "0.0.0.0:8080", "--instance", id, "--region", region)
	}
	port := freePort(t)
	w.create("edge", nil, port, "", "serve", "--role", "data", "--data", "/edge", "--listen", "0.0.0.0:8080", "--instance", "edge")
	w.edge = "http://127.0.0.1:" + port
	w.start("echo", "us-east-1", "us-east-2", "us-west-1", "edge")
	w.await(func() error {
		resp, err := http.Get(w.edge + "/orders")
		if err != nil {
			return err
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("the edge answers %s", resp.Status)
		}
		return nil
	})
	return w
}

// create makes a container. Its port 8080 is published at the port, if there is one, and it asks for the
// address, if there is one.
func (w *world) create(name string, labels map[string]string, port, address string, args ...string) {
	w.t.Helper()
	host := map[string]any{"NetworkMode": "gateways", "RestartPolicy": map[string]any{"Name": "always"}}
	endpoint := map[string]any{"Aliases": []string{name + ".gateways"}}
	if address != "" {
		endpoint["IPAMConfig"] = map[string]any{"IPv4Address": address}
	}
	if port != "" {
		host["PortBindings"] = map[string]any{"8080/tcp": []any{map[string]any{"HostIp": "127.0.0.1", "HostPort": port}}}
	}
	w.createAs(name, map[string]any{"Image": image, "Entrypoint": []string{"/gwdr"}, "Cmd": args, "Labels": labels,
		"Env": []string{"HOME=/tmp"}, "ExposedPorts": map[string]any{"8080/tcp": map[string]any{}}, "HostConfig": host,
		"NetworkingConfig": map[string]any{"EndpointsConfig": map[string]any{"gateways": endpoint}}})
}

func (w *world) createAs(name string, config map[string]any) {
	w.t.Helper()
	daemon.must(w.t, "POST", "/containers/create?name="+name, config, nil)
}

// each makes a call for every container at once: each takes a second on a busy machine.
func (w *world) each(method, path string, names ...string) {
	w.t.Helper()
	errs := make([]error, len(names))
	var calls sync.WaitGroup
	for i, name := range names {
		calls.Go(func() { errs[i] = daemon.ask(method, fmt.Sprintf(path, name), nil, nil) })
	}
	calls.Wait()
	if err := errors.Join(errs...); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) start(names ...string) {
	w.t.Helper()
	w.each("POST", "/containers/%s/start", names...)
}

// remove removes all containers, and the network.
func (w *world) remove() {
	var all []struct{ ID string }
	daemon.must(w.t, "GET", "/containers/json?all=true", nil, &all)
	var ids []string
	for _, c := range all {
		ids = append(ids, c.ID)
	}
	w.each("DELETE", "/containers/%s?force=true&v=true", ids...)
	daemon.must(w.t, "DELETE", "/networks/"+w.network, nil, nil)
	var left struct{ Volumes []struct{ Name string } }
	daemon.must(w.t, "GET", "/volumes", nil, &left)
	for _, v := range left.Volumes {
		w.t.Errorf("volume %s is left", v.Name)
		daemon.must(w.t, "DELETE", "/volumes/"+v.Name, nil, nil)
	}
}

// await polls until check has nothing to say.
func (w *world) await(check func() error) {
	w.t.Helper()
	if err := poll(check); err != nil {
		w.t.Fatal(err)
	}
}

// poll returns what check says in the end.
func poll(check func() error) error {
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) { // the baseline of a drill on a busy machine takes half of it
		if err := check(); err == nil || time.Now().After(deadline) {
			return err
		}
	}
}

func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// freeSubnet returns the first three numbers of a subnet that no other engine on this machine has.
func freeSubnet(t testing.TB) string {
	t.Helper()
	taken, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for range 256 {
		subnet := fmt.Sprintf("10.213.%d", rand.IntN(256))
		if !slices.ContainsFunc(taken, func(a net.Addr) bool { return strings.HasPrefix(a.String(), subnet+".") }) {
			return subnet
		}
	}
	t.Fatal("no subnet in 10.213.0.0/16 is free")
	return ""
}

// fleet opens the world's fleet.
func (w *world) fleet(t testing.TB) *docker.Fleet {
	t.Helper()
	f, err := docker.Open(t.Context(), docker.Options{Host: daemon.host(), Label: label, Allow: true, Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// facts are what a fault may not change for good.
type facts struct {
	Running, Paused bool
	Address         string
	Aliases         string
	Restart         string
	CPUs            int64 // its quota; no limit is 0
}

// facts asks the engine, past the driver.
func (w *world) facts(name string) facts {
	w.t.Helper()
	var c struct {
		ID         string
		State      struct{ Running, Paused bool }
		HostConfig struct {
			RestartPolicy struct{ Name string }
			CPUQuota      int64 `json:"CpuQuota"`
		}
		NetworkSettings struct {
			Networks map[string]struct {
				IPAddress string
				Aliases   []string
			}
		}
	}
	daemon.must(w.t, "GET", "/containers/"+name+"/json", nil, &c)
	net := c.NetworkSettings.Networks["gateways"]
	return facts{c.State.Running, c.State.Paused, net.IPAddress, fmt.Sprint(net.Aliases), c.HostConfig.RestartPolicy.Name, max(0, c.HostConfig.CPUQuota)}
}

func (w *world) allFacts() map[string]facts {
	w.t.Helper()
	all := map[string]facts{}
	for _, name := range []string{"echo", "us-east-1", "us-east-2", "us-west-1", "edge"} {
		all[name] = w.facts(name)
	}
	return all
}

// restart restarts the engine.
func (w *world) restart() {
	w.t.Helper()
	if err := errors.Join(daemon.stop(), daemon.start()); err != nil {
		w.t.Fatal(err)
	}
}

// revert reverts the fault as a drill does: it tries again.
func (w *world) revert(f *docker.Fleet, u fleet.Undo) {
	w.t.Helper()
	if err := w.reverts(f, u); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) reverts(f *docker.Fleet, u fleet.Undo) error {
	return poll(func() error { return f.Revert(w.t.Context(), u) })
}

// prepare prepares a fault for a region.
func (w *world) prepare(t testing.TB, f *docker.Fleet, kind fleet.FaultKind, with fleet.Params) fleet.Undo {
	t.Helper()
	all, err := f.Instances(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	fault := fleet.Fault{ID: "broken", Kind: kind, With: with, Lease: time.Minute}
	u, err := f.Prepare(t.Context(), fault, fleet.Selector{Region: "us-east"}.Select(all))
	if err != nil {
		t.Fatal(err)
	}
	return u
}
