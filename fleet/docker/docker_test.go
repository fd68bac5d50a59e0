package docker

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gwdr/fleet"
)

func TestNegotiate(t *testing.T) {
	for name, test := range map[string]struct{ newest, oldest, want, problem string }{
		"20.10":          {"1.41", "1.12", "1.41", ""},
		"a later one":    {"1.51", "1.24", "1.41", ""},
		"one that drops": {"1.52", "1.44", "1.44", ""},
		"19.03":          {"1.40", "1.12", "", "at least 1.41 (Docker 20.10)"},
		"nonsense":       {"two", "", "", `version "two"`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := negotiate(test.newest, test.oldest)
			if got != test.want || (err == nil) != (test.problem == "") || err != nil && !strings.Contains(err.Error(), test.problem) {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestChosenSubnets(t *testing.T) {
	pool := []prefix{{netip.MustParsePrefix("10.0.0.0/8"), 24}}
	for name, test := range map[string]struct {
		network string
		pools   []prefix
		want    bool
	}{
		"taken by the engine":         {`{"Name":"x","IPAM":{"Config":[{"Subnet":"172.18.0.0/16","Gateway":"172.18.0.1"}]}}`, nil, false},
		"taken from a pool of theirs": {`{"Name":"x","IPAM":{"Config":[{"Subnet":"10.1.2.0/24","Gateway":"10.1.2.1"}]}}`, pool, false},
		"chosen":                      {`{"Name":"x","IPAM":{"Config":[{"Subnet":"10.1.2.0/24"}]}}`, pool, true},
		"chosen with its gateway":     {`{"Name":"x","IPAM":{"Config":[{"Subnet":"10.1.2.0/24","Gateway":"10.1.2.1"}]}}`, nil, true},
		"the default bridge":          {`{"Name":"bridge","IPAM":{"Config":[{"Subnet":"10.1.2.0/24"}]}}`, nil, false},
		"host":                        {`{"Name":"host"}`, nil, false},
		"of IPv6 only":                {`{"Name":"x","IPAM":{"Config":[{"Subnet":"fd00::/64"}]}}`, nil, false},
		"no subnet at all":            {`{"Name":"x","IPAM":{"Config":[{"Subnet":"none"}]}}`, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			var n network
			if err := json.Unmarshal([]byte(test.network), &n); err != nil {
				t.Fatal(err)
			}
			if got := n.chosen(test.pools); got != test.want {
				t.Errorf("chosen: %v", got)
			}
		})
	}
}

func TestContainersIn(t *testing.T) {
	id, layer := strings.Repeat("ab", 32), strings.Repeat("cd", 32)
	for name, test := range map[string]struct {
		text string
		want []string
	}{
		"no container":            {"9:name=systemd:/\n8:pids:/user.slice\n", nil},
		"version 1":               {"4:memory:/docker/" + id + "\n", []string{id}},
		"version 2, systemd":      {"0::/system.slice/docker-" + id + ".scope\n", []string{id}},
		"a namespace of its own":  {"0::/\n", nil},
		"its own files":           {"613 602 254:1 /var/lib/docker/containers/" + id + "/hostname /etc/hostname rw - ext4 /dev/vda1 rw\n", []string{id}},
		"the layers of its image": {"602 485 0:47 / / rw - overlay overlay rw,lowerdir=/var/lib/docker/overlay2/" + layer + "/diff\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, containersIn(test.text)); diff != "" {
				t.Errorf("containers (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDoors(t *testing.T) {
	var c container
	if err := json.Unmarshal([]byte(`{"Config":{"ExposedPorts":{"8080/tcp":{},"53/udp":{}}},"NetworkSettings":{
		"Networks":{"a":{"IPAddress":"10.1.0.2"},"b":{"IPAddress":""}},
		"Ports":{"8080/tcp":[{"HostIp":"0.0.0.0","HostPort":"80"},{"HostIp":"::","HostPort":"80"}],"53/udp":[{"HostIp":"","HostPort":"53"}],"9/tcp":null}}}`), &c); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"10.1.0.2:8080", "127.0.0.1:80"}, c.doors()); diff != "" {
		t.Errorf("doors (-want +got):\n%s", diff)
	}
}

func TestCPUs(t *testing.T) {
	for want, l := range map[float64]cpuLimit{0: {Quota: -1, Period: 100_000}, 1.5: {NanoCPUs: 1_500_000_000}, 0.5: {Quota: 50_000}, 0.25: {Quota: 50_000, Period: 200_000}} {
		if got := l.cpus(); got != want {
			t.Errorf("%+v is %v CPUs, not %v", l, got, want)
		}
	}
}

func TestPrepareSlow(t *testing.T) {
	for name, test := range map[string]struct {
		before, want cpuLimit
		share        float64
	}{
		"no limit":           {cpuLimit{}, cpuLimit{Quota: 100_000, Period: 100_000}, 0.5},
		"CPUs":               {cpuLimit{NanoCPUs: 1e9}, cpuLimit{NanoCPUs: 25e7}, 0.25},
		"a quota":            {cpuLimit{Quota: 20_000, Period: 50_000}, cpuLimit{Quota: 10_000, Period: 50_000}, 0.5},
		"less than there is": {cpuLimit{Quota: 2_000, Period: 100_000}, cpuLimit{}, 0.1},
	} {
		t.Run(name, func(t *testing.T) {
			got := target{CPU: test.before}
			err := prepareSlow(&Fleet{cpus: 2}, fleet.Fault{With: fleet.Params{Share: test.share}}, container{}, &got)
			if got.Slowed != test.want || (err != nil) != (test.want == cpuLimit{}) {
				t.Errorf("%+v, %v; want %+v", got.Slowed, err, test.want)
			}
		})
	}
}

func TestNamesAreWithoutTheID(t *testing.T) {
	id := strings.Repeat("0123456789abcdef", 4)
	got := endpoint{Aliases: []string{"web", id[:12], "api", "web"}}.names(id)
	if diff := cmp.Diff([]string{"api", "web"}, got); diff != "" {
		t.Errorf("aliases (-want +got):\n%s", diff)
	}
}

// TestAnotherEngine: where another engine listens by now, that no container is found there proves nothing.
func TestAnotherEngine(t *testing.T) {
	u := undoOf(t, "engine one")
	f := &Fleet{options: Options{Host: "unix:///x", Log: slog.New(slog.DiscardHandler)}, id: "engine two"}
	if err := f.Revert(t.Context(), u); err == nil || !strings.Contains(err.Error(), "is for the engine engine one; at unix:///x is engine two") {
		t.Errorf("revert: %v", err)
	}
}

func undoOf(t testing.TB, engine string) fleet.Undo {
	t.Helper()
	data, err := json.Marshal(undoData{Host: "unix:///x", Engine: engine, Label: "app=x", Nonce: "n",
		Targets: []target{{ID: strings.Repeat("ab", 32), Name: "web"}}})
	if err != nil {
		t.Fatal(err)
	}
	return fleet.Undo{Driver: Driver, Fault: fleet.Fault{ID: "a", Kind: fleet.Kill}, Data: data}
}

// TestBadEngines are servers at the socket that are no engines.
func TestBadEngines(t *testing.T) {
	for name, test := range map[string]struct{ answer, want string }{
		"not JSON":   {"<html>", "read answer of engine unix://"},
		"too old":    {`{"ApiVersion":"1.24","MinAPIVersion":"1.12"}`, "at least 1.41"},
		"no version": {`{}`, "its API has version"},
		"no id":      {`{"ApiVersion":"1.41","MinAPIVersion":"1.12"}`, "says neither its id nor its CPUs"},
	} {
		t.Run(name, func(t *testing.T) {
			socket := filepath.Join(t.TempDir(), "s")
			l, err := net.Listen("unix", socket)
			if err != nil {
				t.Fatal(err)
			}
			server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, test.answer) })}
			go server.Serve(l)
			t.Cleanup(func() { server.Close() })
			_, err = Open(t.Context(), Options{Host: "unix://" + socket, Label: "app=x"})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q in it", err, test.want)
			}
		})
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for host, want := range map[string]string{"tcp://127.0.0.1:2375": "not of the form unix://", "unix:///nowhere/sock": "engine is not to be had at unix:///nowhere/sock"} {
		if _, err := Open(ctx, Options{Host: host, Label: "app=x"}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
}

func FuzzDecodeUndo(f *testing.F) {
	f.Add([]byte(undoOf(f, "one").Data))
	f.Fuzz(func(t *testing.T, data []byte) {
		u := fleet.Undo{Driver: Driver, Fault: fleet.Fault{ID: "a", Kind: fleet.Kill}, Data: data}
		got, err := decodeUndo(u)
		if err == nil && (got.Host == "" || got.Engine == "" || len(got.inOrder()) == 0) {
			t.Errorf("decoded to %+v", got)
		}
	})
}
