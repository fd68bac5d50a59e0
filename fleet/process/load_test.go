package process

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gwdr/fleet"
)

// loaded returns a load of a server that answers with the status, and how many requests that has had.
func loaded(t *testing.T, status int, f loadFile) (file string, requests *atomic.Int64) {
	t.Helper()
	requests = &atomic.Int64{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer good" && r.URL.Path == "/orders" {
			requests.Add(1)
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(server.Close)
	f.Target, f.Path, f.Keys = server.Listener.Addr().String(), "/orders", filepath.Join(t.TempDir(), "keys.json")
	file = filepath.Join(t.TempDir(), "load.json")
	for path, v := range map[string]any{f.Keys: map[string]string{liveKey: "good"}, file: f} {
		if err := writeJSON(path, v); err != nil {
			t.Fatal(err)
		}
	}
	return file, requests
}

func TestLoadEndsWithWhoStartedIt(t *testing.T) {
	file, requests := loaded(t, http.StatusOK, loadFile{Kind: fleet.LoadSpike, Rate: 1000, Lease: time.Hour})
	alive, end := io.Pipe()
	over := make(chan error)
	go func() { over <- RunLoad(t.Context(), file, alive) }()
	until(t, "requests come", func() bool { return requests.Load() > 10 })
	end.Close()
	if err := <-over; err != nil {
		t.Error(err)
	}
}

// TestLoadEndsWithItsLease starts a load that nobody ever says a word to.
func TestLoadEndsWithItsLease(t *testing.T) {
	for _, f := range []loadFile{
		{Kind: fleet.LoadSpike, Rate: 100}, {Kind: fleet.ConnectionFlood, Count: 3}, {Kind: fleet.ConnectionFlood, Count: 3, Mode: slowHeader},
	} {
		f.Lease = 50 * time.Millisecond
		file, _ := loaded(t, http.StatusOK, f)
		silent, _ := io.Pipe()
		if err := RunLoad(t.Context(), file, silent); err != nil {
			t.Error(err)
		}
	}
}

func TestStormRepeatsWhatFails(t *testing.T) {
	for status, want := range map[int]int64{200: 1, 404: 1, 429: 6, 503: 6} {
		file, requests := loaded(t, status, loadFile{Kind: fleet.RetryStorm, Rate: 1, Count: 5, Lease: time.Hour})
		var f loadFile
		if err := readJSON(file, &f); err != nil {
			t.Fatal(err)
		}
		newStorm(f).send(t.Context())
		if got := requests.Load(); got != want {
			t.Errorf("%d was asked for %d times, want %d", status, got, want)
		}
	}
}

func TestLoadStaysAtHome(t *testing.T) {
	for want, f := range map[string]loadFile{
		"is not on the loopback": {Kind: fleet.LoadSpike, Rate: 1, Lease: 1, Target: "192.0.2.1:80"},
		"needs a lease":          {Kind: fleet.LoadSpike, Rate: 1, Target: "127.0.0.1:80"},
		"1 to 20000 requests":    {Kind: fleet.LoadSpike, Rate: 20_001, Lease: 1, Target: "127.0.0.1:80"},
		"at most 100 times":      {Kind: fleet.RetryStorm, Rate: 1, Count: 101, Lease: 1, Target: "127.0.0.1:80"},
		"1 to 10000 connections": {Kind: fleet.ConnectionFlood, Count: 10_001, Lease: 1, Target: "127.0.0.1:80"},
		"is no load":             {Kind: fleet.Kill, Lease: 1, Target: "127.0.0.1:80"},
	} {
		if err := f.validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q in it", f, err, want)
		}
	}
}

func TestSumOf(t *testing.T) {
	const text = "# HELP gwdr_requests_total x\ngwdr_requests_total{code=\"2xx\"} 3\ngwdr_requests_total{code=\"5xx\"} 1e2\n" +
		"gwdr_requests_total_more 9\nother 1\n"
	if got, err := sumOf("gwdr_requests_total", strings.NewReader(text)); got != 103 || err != nil {
		t.Errorf("%v, %v", got, err)
	}
	for _, text := range []string{"", "gwdr_requests_total", "gwdr_requests_total{code=\"2xx\"} many\n"} {
		if got, err := sumOf("gwdr_requests_total", strings.NewReader(text)); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func FuzzSumOf(f *testing.F) {
	f.Add("gwdr_requests_total{code=\"2xx\"} 3\n")
	f.Add("gwdr_requests_total 3")
	f.Fuzz(func(t *testing.T, text string) { sumOf("gwdr_requests_total", strings.NewReader(text)) })
}

func TestConnectionsAreCounted(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	addr := l.Addr().String()
	if _, err := connectionsTo(addr); err != nil {
		t.Logf("not counted here: %v", err)
		return
	}
	f := loadFile{Target: addr, Count: 7}
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan struct{})
	go func() { f.flood(ctx); close(over) }()
	until(t, "the connections are there", func() bool { n, err := connectionsTo(addr); return err == nil && n == 7 })
	cancel()
	<-over
	if floodedAt(addr, 1) == nil {
		until(t, "the connections are gone", func() bool { return floodedAt(addr, 1) != nil })
	}
}

func mkdir(t *testing.T, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
