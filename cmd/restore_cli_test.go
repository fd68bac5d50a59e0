package cmd

import (
	"bytes"
	"encoding/json"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gwdr/backup"
	"gwdr/gateway"
	"gwdr/gateway/admin"
	"gwdr/gateway/gatewaytest"
	"gwdr/gateway/native"
	"gwdr/gateway/store"
	"gwdr/restore"
)

// cli runs command lines in a home of their own.
type cli struct {
	home string
}

// run wants the exit code and returns stdout; a document is read into it if it is not nil.
func (c cli) run(t *testing.T, code int, into any, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	got := run(args, invocation{stdin: strings.NewReader(""), stdout: &stdout, stderr: &stderr, env: c.env})
	if got != code {
		t.Fatalf("gwdr %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), got, code, &stdout, &stderr)
	}
	if into != nil {
		if err := json.Unmarshal(stdout.Bytes(), into); err != nil {
			t.Fatalf("gwdr %s: %v in %s", strings.Join(args, " "), err, &stdout)
		}
	}
	return stdout.String() + stderr.String()
}

func (c cli) env(name string) string { return map[string]string{"HOME": c.home}[name] }

// controlPlane runs the bundled control plane in this process until stop is called.
func controlPlane(t *testing.T, folder string) (client *native.Client, stop func()) {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Dir: folder})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer((&admin.Server{Store: s}).Handler())
	return &native.Client{URL: server.URL}, func() {
		server.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestRestoreCommandLine is the worst day, typed: the store is gone, a disk is gone, the backup job ran once more.
func TestRestoreCommandLine(t *testing.T) {
	c, folder, disks := cli{t.TempDir()}, t.TempDir(), t.TempDir()
	file := filepath.Join(c.home, "gwdr.yaml")
	client, stop := controlPlane(t, folder)
	if err := client.Apply(t.Context(), gateway.Diff(gateway.NewState(), gateway.NewState(gatewaytest.Sample()...))); err != nil {
		t.Fatal(err)
	}
	c.run(t, exitDone, nil, "init", "--file", file, "--gateway", "gwdr+"+client.URL, "--site", "dc1",
		"--location", "local=file://"+disks+"/local,media=disk,site=dc1", "--location", "nas=file://"+disks+"/nas,media=nas,site=dc2")
	var taken backup.Result
	c.run(t, exitMissed, &taken, "--config", file, "--json", "backup") // two copies on one disk are not 3-2-1
	stop()
	for _, lost := range []string{filepath.Join(folder, "store"), filepath.Join(disks, "local")} {
		if err := os.RemoveAll(lost); err != nil {
			t.Fatal(err)
		}
	}

	client, stop = controlPlane(t, folder)
	defer stop()
	at := "gwdr+" + client.URL
	text := c.run(t, exitDone, nil, "--config", file, "restore", "--to", at, "--plan")
	for _, want := range []string{"Restore point " + strings.TrimPrefix(taken.Point, "points/"), "! local: cannot be read", "+ route/orders", "read from nas (11 entities)"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	var result restore.Result
	c.run(t, exitDone, &result, "--config", file, "--json", "restore", "--to", at)
	if !result.Verified || result.Created != 11 || result.Point != taken.Point || len(result.Findings) != 1 {
		t.Errorf("result %+v", result)
	}

	if _, err := client.Put(t.Context(), changedOrders, gateway.Condition{}); err != nil {
		t.Fatal(err)
	}
	text = c.run(t, exitRefused, nil, "--config", file, "restore", "--to", at)
	if !strings.Contains(text, "hint: look at 'gwdr restore --plan', then add --yes") {
		t.Error(text)
	}
	c.run(t, exitDone, &result, "--config", file, "--json", "restore", "--to", at, "--yes", "--only", "routes", "--from", "nas")
	if result.Updated != 1 || result.Deleted+result.Created != 0 {
		t.Errorf("result %+v", result)
	}
	text = c.run(t, exitDone, nil, "--config", file, "restore", "--to", at, "--yes")
	if !strings.Contains(text, ": configuration verified\n") || !strings.Contains(text, "NOT probed: add --probe http://HOST:PORT") {
		t.Error(text)
	}
	for _, probe := range []string{"http://127.0.0.1:8080/orders", "http://127.0.0.1:8080?x=1", "127.0.0.1:8080", "http://u:p@127.0.0.1:8080"} {
		if text := c.run(t, exitUsage, nil, "--config", file, "restore", "--to", at, "--probe", probe); !strings.Contains(text, "base URL") {
			t.Error(text)
		}
	}
	c.run(t, exitUsage, nil, "--config", file, "restore", "--only", "plugins")
	c.run(t, exitUsage, nil, "--config", file, "restore", "--from", "moon")
	c.run(t, exitUsage, nil, "--config", file, "restore", "--to", at, "--at", "nonsense")
	text = c.run(t, exitIntegrity, nil, "--config", file, "restore", "--to", at, "--at", "2001-01-01 00:00")
	if !strings.Contains(text, "the oldest, "+strings.TrimPrefix(taken.Point, "points/")) || !strings.Contains(text, "hint: 'gwdr backup list'") {
		t.Error(text)
	}
	if text = c.run(t, exitIntegrity, nil, "--config", file, "--json", "restore", "--plan", "--to", at, "--at", "2001-01-01 00:00"); strings.Contains(text, "recovery_point_time") {
		t.Errorf("there is no point, but: %s", text)
	}
	text = c.run(t, exitError, nil, "--config", file, "restore", "--to", "gwdr+http://127.0.0.1:1")
	if strings.Contains(text, "canceled") || !strings.Contains(text, "hint: is it running? --to names another") {
		t.Error(text)
	}
	c.run(t, exitIntegrity, nil, "--config", file, "restore", "--to", at, "--from", "local")
}

// A gateway in one process says where its data plane is: nobody has to name it to have it probed.
func TestRestoreProbesWhatTheGatewayNames(t *testing.T) {
	c, disks := cli{t.TempDir()}, t.TempDir()
	file := filepath.Join(c.home, "gwdr.yaml")
	s := serveUntilEnd(t, t.TempDir())
	fillGateway(t, s.client(""))
	c.run(t, exitDone, nil, "init", "--file", file, "--gateway", "gwdr+http://"+s.Admin, "--site", "dc1",
		"--location", "local=file://"+disks+"/local,media=disk,site=dc1", "--location", "nas=file://"+disks+"/nas,media=nas,site=dc2")
	c.run(t, exitMissed, nil, "--config", file, "backup") // two copies on one disk are not 3-2-1
	var result restore.Result
	c.run(t, exitDone, &result, "--config", file, "--json", "restore")
	if len(result.DataPlane) == 0 || result.DataPlane[0].Instance != "http://"+s.Listen {
		t.Errorf("probed %+v, want %s", result.DataPlane, s.Listen)
	}
	if text := c.run(t, exitDone, nil, "--config", file, "restore", "-q"); text != "" { // all is well
		t.Errorf("quiet: %s", text)
	}
}

func TestDataURL(t *testing.T) {
	for _, c := range [][3]string{
		{"http://127.0.0.1:8081", "http://127.0.0.1:8080", "http://127.0.0.1:8080"},
		{"http://localhost:8081", "http://127.0.0.1:8080", "http://127.0.0.1:8080"},
		{"https://gateway.example:8081", "http://[::]:8080", "http://gateway.example:8080"},
		{"http://[::1]:8081", "http://0.0.0.0:8080", "http://[::1]:8080"},
		{"https://gateway.example:8081", "http://127.0.0.1:8080", ""}, // another machine's loopback
		{"https://gateway.example:8081", "http://10.0.0.7:8080", "http://10.0.0.7:8080"},
		{"http://127.0.0.1:8081", "", ""},
	} {
		if got := dataURL(c[0], c[1]); got != c[2] {
			t.Errorf("%s beside %s: %q, want %q", c[1], c[0], got, c[2])
		}
	}
}
