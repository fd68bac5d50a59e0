package cmd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"gwdr/backup"
	"gwdr/backup/backuptest"
	"gwdr/gateway"
	"gwdr/gateway/gatewaytest"
)

// TestFollowHandler asks a follower in memory how it is, first in peace, then with a majority gone.
func TestFollowHandler(t *testing.T) {
	copies, memories := backuptest.Copies()
	source := gatewaytest.Tracked{Gateway: gatewaytest.New(gatewaytest.Sample()...)}
	f := &backup.Follower{Job: backup.Job{Source: source, Gateway: "test", Copies: copies, Keys: backuptest.NewKeys(t), Spool: t.TempDir()},
		Grace: time.Millisecond}
	server := httptest.NewServer(followHandler(f, 300*time.Millisecond))
	defer server.Close()
	code, metrics := fetch(t, server.URL+"/metrics")
	if code != http.StatusOK || !strings.Contains(metrics, "\ngo_goroutines ") {
		t.Errorf("metrics before it runs: %d\n%s", code, metrics)
	}
	for line := range strings.Lines(metrics) { // and nothing of the store that gwdr serve embeds
		if !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "gwdr_") && !strings.HasPrefix(line, "go_") && !strings.HasPrefix(line, "process_") {
			t.Errorf("metric of nobody's interest: %s", line)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	source.Put(backuptest.Entity(gateway.Setting, "a", "{}"))
	eventuallyAnswers(t, server.URL+"/metrics", http.StatusOK, "gwdr_follow_committed_revision 2\n", "gwdr_follow_gateway_connected 1\n",
		`gwdr_follow_location_up{location="nas"} 1`, `gwdr_follow_location_lag_segments{location="nas"} 0`, "gwdr_follow_points_total 1\n")
	eventuallyAnswers(t, server.URL+"/healthz", http.StatusOK, `"healthy":true`, `"reasons":[]`)
	memories[0].Break(backuptest.Dead)
	memories[1].Break(backuptest.Dead)
	source.Put(backuptest.Entity(gateway.Setting, "b", "{}"))
	eventuallyAnswers(t, server.URL+"/healthz", http.StatusServiceUnavailable, `"healthy":false`, "not at most locations yet: 1 segment of the log",
		"location local: list: connection refused || location local: put: connection refused")
	eventuallyAnswers(t, server.URL+"/metrics", http.StatusOK, `gwdr_follow_location_up{location="nas"} 0`, "gwdr_follow_backlog_segments 1\n")
	cancel()
	if err := <-done; !errors.Is(err, backup.ErrUncommitted) {
		t.Errorf("Run = %v, want ErrUncommitted", err)
	}
}

// eventuallyAnswers wants the answer to come to have the code and to hold the texts: of those with " || " between them, one.
func eventuallyAnswers(t *testing.T, url string, code int, texts ...string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		got, body := fetch(t, url)
		missing := ""
		for _, text := range texts {
			if !slices.ContainsFunc(strings.Split(text, " || "), func(t string) bool { return strings.Contains(body, t) }) {
				missing = text
			}
		}
		if got == code && missing == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %d, without %q: %s", url, got, missing, body)
		}
	}
}

func fetch(t *testing.T, url string) (code int, body string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestFollowError(t *testing.T) {
	for _, c := range []struct {
		err  error
		sig  os.Signal
		want int
	}{
		{nil, syscall.SIGTERM, exitDone},
		{nil, os.Interrupt, exitInterrupted},
		{backup.ErrUncommitted, syscall.SIGTERM, exitMissed},
		{backup.ErrUncommitted, os.Interrupt, exitMissed},
		{backup.ErrSplitBrain, nil, exitSplitBrain},
		{backup.ErrLocked, nil, exitRefused},
		{backup.ErrUnfenced, nil, exitRefused},
		{backup.ErrUntracked, nil, exitError},
		{errors.New("disk full"), nil, exitError},
	} {
		ctx, cancel := context.WithCancelCause(t.Context())
		if c.sig != nil {
			cancel(signalled(t, c.sig))
		}
		err := c.err
		if err != nil {
			err = fmt.Errorf("follow gateway: %w", err)
		}
		if err = followError(ctx, err); exitCodeOf(ctx, err) != c.want {
			t.Errorf("%v after %v: exit code %d, want %d", c.err, c.sig, exitCodeOf(ctx, err), c.want)
		}
		cancel(nil)
	}
}

// signalled is the cause of a context that the signal ended.
func signalled(t *testing.T, sig os.Signal) error {
	t.Helper()
	ctx, stop := signal.NotifyContext(t.Context(), sig)
	defer stop()
	if err := syscall.Kill(os.Getpid(), sig.(syscall.Signal)); err != nil {
		t.Fatal(err)
	}
	<-ctx.Done()
	return context.Cause(ctx)
}

func exitCodeOf(ctx context.Context, err error) int {
	if err == nil {
		return exitDone
	}
	return exitCode(ctx, err)
}

// TestFollowEvents: every kind of event is a line, for people or for jq, and quiet is quiet.
func TestFollowEvents(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	events := []backup.Event{
		{Time: at, Kind: backup.LineageBegun, Lineage: "abc", Revision: 7},
		{Time: at, Kind: backup.LocationAway, Location: "nas", Error: "no route\nto host"},
		{Time: at, Kind: backup.LocationBack, Location: "nas"},
		{Time: at, Kind: backup.Stalled, Error: "connection refused"},
		{Time: at, Kind: backup.Resumed},
		{Time: at, Kind: backup.Gap, Revision: 9},
		{Time: at, Kind: backup.PointMade, Point: "points/20260304T050607Z-1", Revision: 9, Full: true},
	}
	var out, errs bytes.Buffer
	a := &app{Stdout: &out, Stderr: &errs}
	for _, e := range events {
		a.followEvent(e)
	}
	lines := strings.Split(strings.TrimSpace(errs.String()), "\n")
	if len(lines) != len(events) || out.Len() > 0 || lines[1] != "2026-03-04T05:06:07Z location nas is away: no route to host" {
		t.Errorf("lines %q", lines)
	}
	errs.Reset()
	a.JSON = true
	for _, e := range events {
		a.followEvent(e)
	}
	for line := range strings.Lines(out.String()) {
		var e struct {
			Schema string `json:"schema"`
			backup.Event
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.Schema != "gwdr/follow-event/v1" || !e.Time.Equal(at) || e.Kind == "" {
			t.Errorf("%s: %+v, %v", line, e, err)
		}
	}
	a.JSON, a.Quiet = false, true
	a.followEvent(events[0])
	if errs.Len() > 0 || strings.Count(out.String(), "\n") != len(events) {
		t.Errorf("quiet said %q", errs.String())
	}
}
