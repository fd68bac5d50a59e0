package cmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"gwdr/backup"
	"gwdr/gateway"
)

// gauges reads a file of metrics as node_exporter does.
func gauges(t *testing.T, file string) map[string]float64 {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(f)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for name, family := range families {
		if family.GetHelp() == "" || family.GetType().String() != "GAUGE" {
			t.Errorf("%s: help %q, type %s", name, family.GetHelp(), family.GetType())
		}
		for _, m := range family.GetMetric() {
			key := strings.TrimPrefix(name, "gwdr_backup_")
			for _, l := range m.GetLabel() {
				key += " " + l.GetValue()
			}
			values[key] = m.GetGauge().GetValue()
		}
	}
	return values
}

func TestMetrics(t *testing.T) {
	file := filepath.Join(t.TempDir(), "gwdr.prom")
	at := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	result := &backup.Result{Time: at.Add(-time.Second), Bytes: 1234, Entities: map[gateway.Kind]int{gateway.Route: 3, "plugin:\xff\n\"x": 1},
		Locations: []backup.LocationResult{{Name: "local", OK: true}, {Name: "nas", OK: true}},
		Policy:    backup.PolicyResult{Copies: 2, Media: 2, Satisfied: true}}
	write := func(code int, r *backup.Result, ended time.Time) map[string]float64 {
		t.Helper()
		if err := writeMetrics(file, backupRun{result: r, code: code, started: ended.Add(-2 * time.Second), ended: ended}); err != nil {
			t.Fatal(err)
		}
		return gauges(t, file)
	}
	first, unix := write(0, result, at), float64(at.Unix())
	if diff := cmp.Diff(map[string]float64{
		"last_run_timestamp_seconds": unix, "last_success_timestamp_seconds": unix, "duration_seconds": 2, "exit_code": 0,
		"entities route": 3, "entities plugin:?\n\"x": 1, "bytes": 1234, "location_ok local": 1, "location_ok nas": 1,
		"location_newest_point_timestamp_seconds local": unix - 1, "location_newest_point_timestamp_seconds nas": unix - 1,
		"policy_copies": 2, "policy_media": 2, "policy_offsite": 0, "policy_immutable": 0, "policy_satisfied": 1,
	}, first); diff != "" {
		t.Error(diff)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("file: %v, %v", info.Mode(), err)
	}
	// Nothing was backed up: earlier successes stay, and the rest is not known.
	if diff := cmp.Diff(map[string]float64{
		"last_run_timestamp_seconds": unix + 60, "last_success_timestamp_seconds": unix, "duration_seconds": 2, "exit_code": 1,
		"location_newest_point_timestamp_seconds local": unix - 1, "location_newest_point_timestamp_seconds nas": unix - 1,
	}, write(1, nil, at.Add(time.Minute))); diff != "" {
		t.Error(diff)
	}
	// One location failed, and another one is new.
	result.Time, result.Locations = at.Add(time.Minute), []backup.LocationResult{{Name: "nas", Error: "x"}, {Name: "new", OK: true}}
	third := write(3, result, at.Add(2*time.Minute))
	if third["last_success_timestamp_seconds"] != unix || third["location_newest_point_timestamp_seconds nas"] != unix-1 ||
		third["location_newest_point_timestamp_seconds new"] != unix+60 || third["location_ok nas"] != 0 || third["exit_code"] != 3 {
		t.Errorf("metrics: %v", third)
	}
	if _, ok := third["location_newest_point_timestamp_seconds local"]; ok {
		t.Errorf("a location that is no more: %v", third)
	}
	// What cannot be read is written anew.
	if err := os.WriteFile(file, []byte("not { metrics"), 0o600); err != nil {
		t.Fatal(err)
	}
	if again := write(0, result, at); again["exit_code"] != 0 || again["last_success_timestamp_seconds"] != unix {
		t.Errorf("metrics: %v", again)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(file), "*")); len(left) != 1 {
		t.Errorf("files left: %v", left)
	}
	if err := writeMetrics(filepath.Join(file, "below"), backupRun{}); err == nil {
		t.Error("no error where there is no directory")
	}
}

// watched runs a backup of the site with a monitor, after before, and returns what gwdr wrote.
func (s *site) watched(ctx context.Context, monitor string, before func(*watch)) (text string, took time.Duration) {
	s.t.Helper()
	config, err := loadConfig(s.path("gwdr.yaml"), s.env)
	if err != nil {
		s.t.Fatal(err)
	}
	var stderr lockedBuffer
	a := &app{Config: config, Quiet: true, Stdout: io.Discard, Stderr: &stderr, Env: s.env,
		Log: slog.New(slog.NewTextHandler(&stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))}
	started := time.Now()
	w, err := a.newWatch(ctx, backupOptions{ping: monitor, metrics: s.path("gwdr.prom")})
	if err != nil {
		s.t.Fatal(err)
	}
	before(w)
	result, err := a.backup(ctx, s.source, backupOptions{patience: 5 * time.Second, begun: w.begin})
	w.end(ctx, result, err)
	return stderr.String(), time.Since(started)
}

// TestPingSlowly: a monitor that does not answer the start holds nothing up, and hears of the end after it.
func TestPingSlowly(t *testing.T) {
	s := newSite(t)
	var got lockedBuffer
	arrived := make(chan struct{})
	monitor := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(&got, "%s %s\n", r.URL, bytes.TrimSpace(body))
		if strings.HasSuffix(r.URL.Path, "/start") {
			close(arrived)
			<-r.Context().Done()
		}
	}))
	defer monitor.Close()
	text, took := s.watched(t.Context(), monitor.URL+"/secret?create=1", func(w *watch) {
		w.begin()
		<-arrived
	})
	if took > pingTimeout || text != "" {
		t.Errorf("took %s: %s", took, text)
	}
	if lines := got.String(); !strings.HasPrefix(lines, "/secret/start?create=1 \n/secret/3?create=1 3-2-1 not met: ") {
		t.Errorf("pings:\n%s", lines)
	}
}

// TestPingInterrupted: a backup that is interrupted is told as such.
func TestPingInterrupted(t *testing.T) {
	s := newSite(t)
	var got lockedBuffer
	monitor := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { fmt.Fprintln(&got, r.URL.Path) }))
	defer monitor.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.watched(ctx, monitor.URL+"/secret", func(*watch) {})
	if lines := got.String(); !strings.HasSuffix(lines, "/secret/130\n") {
		t.Errorf("pings:\n%s", lines)
	}
}

// TestPingLocked: where another backup is running, that one tells how backups go.
func TestPingLocked(t *testing.T) {
	s := newSite(t)
	var got lockedBuffer
	monitor := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { fmt.Fprintln(&got, r.URL.Path) }))
	defer monitor.Close()
	s.watched(t.Context(), monitor.URL+"/secret", func(*watch) {})
	pings, metrics := got.String(), gauges(t, s.path("gwdr.prom"))
	if pings != "/secret/start\n/secret/3\n" {
		t.Errorf("pings:\n%s", pings)
	}
	lock, err := os.Open(s.path(".local", "state", "gwdr", "backup", "lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		t.Fatal(err)
	}
	s.watched(t.Context(), monitor.URL+"/secret", func(*watch) {})
	if diff := cmp.Diff(pings, got.String()) + cmp.Diff(metrics, gauges(t, s.path("gwdr.prom"))); diff != "" {
		t.Error(diff)
	}
}

// TestPingSecret: the URL is in no message, whatever goes wrong, and nobody else gets it.
func TestPingSecret(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") }))
	defer elsewhere.Close()
	monitor := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/secret/redirect":
			http.Redirect(w, r, elsewhere.URL, http.StatusFound)
		case "/secret/break":
			panic(http.ErrAbortHandler)
		default:
			http.Error(w, r.URL.Path, http.StatusNotFound)
		}
	}))
	defer monitor.Close()
	for _, element := range []string{"redirect", "break", "other"} {
		p, err := newPinger(strings.Replace(monitor.URL, "http://", "http://me:password@", 1) + "/secret")
		if err != nil {
			t.Fatal(err)
		}
		err = p.send(t.Context(), element, "")
		if err == nil || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "password") || !strings.Contains(err.Error(), "ping "+monitor.URL) {
			t.Errorf("%s: %v", element, err)
		}
	}
	for _, text := range []string{"secret", "ftp://host/secret", "http:///secret", "http://host/%zzsecret", "http://ho st/secret"} {
		if _, err := newPinger(text); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestOutcomeText(t *testing.T) {
	result := &backup.Result{Point: "points/p", Locations: []backup.LocationResult{{OK: true}, {}}, Entities: map[gateway.Kind]int{gateway.Route: 2}}
	if got, want := outcomeText(result, errors.New("bad\x1b")), "bad\uFFFD\npoint p: 2 routes at 1 of 2 locations\n"; got != want {
		t.Errorf("outcome %q, want %q", got, want)
	}
	if got := outcomeText(nil, errors.New(strings.Repeat("ä", 2000))); len(got) > 2<<10 || !strings.HasPrefix(got, "ä") {
		t.Errorf("outcome of %d bytes", len(got))
	}
	if got := outcomeText(nil, nil); got != "" {
		t.Errorf("outcome %q of nothing", got)
	}
}
