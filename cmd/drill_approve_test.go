package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gwdr/drills"
	"gwdr/scenarios"
)

// approvable is a scenario of a fleet, with its plan and the hash of that.
func approvable(t *testing.T, fleet string) (*scenarios.Scenario, *scenarios.Plan, string) {
	t.Helper()
	s, err := scenarios.Load("region-loss")
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.Plan(s.Topology.Instances())
	if err != nil {
		t.Fatal(err)
	}
	s.Fleet = fleet
	text, err := p.YAML()
	if err != nil {
		t.Fatal(err)
	}
	return s, p, scenarios.Hash(text)
}

// TestApproval: on the lab nobody is asked; elsewhere exactly one plan is approved, by its hash, where there is no terminal.
func TestApproval(t *testing.T) {
	for name, test := range map[string]struct {
		fleet, approved string // "=" is the hash of the plan
		drawn           []string
		want            string // of error and hint; empty: approved
	}{
		"the lab":                {"lab", "", nil, ""},
		"the lab, as it is":      {"lab", "=", nil, ""},
		"the lab, another plan":  {"lab", "abcd", nil, "and --approve names abcd|runs it and no other:\n  --approve HASH"},
		"nobody":                 {"prod", "", nil, `nobody has approved this plan: fleet "prod" is not the lab|no other:`},
		"by its hash":            {"prod", "=", nil, ""},
		"another plan":           {"prod", "abcd", nil, "it has the hash HASH, and --approve names abcd|runs it and no other"},
		"nobody, drawn":          {"prod", "", []string{"east"}, "nobody has approved|write targets.east.pick.seed: 7 into the scenario"},
		"another one, for drawn": {"prod", "abcd", []string{"east"}, "nobody has approved|write targets.east.pick.seed: 7 into the scenario"},
	} {
		t.Run(name, func(t *testing.T) {
			s, p, hash := approvable(t, test.fleet)
			target := s.Targets["east"]
			target.Pick.Seed = 7
			s.Targets["east"] = target
			a := &app{Stdin: strings.NewReader("region-loss\n"), Stderr: io.Discard, Config: &Config{}}
			approve := a.approval(s, strings.Replace(test.approved, "=", strings.ToUpper(hash), 1), test.drawn)
			if approve == nil {
				if test.fleet != "lab" || test.approved != "" {
					t.Error("nobody is asked")
				}
				return
			}
			err := approve(t.Context(), p, hash)
			if test.want == "" {
				if err != nil {
					t.Errorf("got %v", err)
				}
				return
			}
			hinted := (*hintedError)(nil)
			if !errors.Is(err, drills.ErrRefused) || !errors.As(err, &hinted) {
				t.Fatalf("got %v", err)
			}
			text := strings.ReplaceAll(err.Error()+"|"+hinted.hint, hash, "HASH")
			for _, part := range strings.Split(test.want, "|") {
				if !strings.Contains(text, part) {
					t.Errorf("%q does not say %q", text, part)
				}
			}
			if code := exitCode(t.Context(), drillError(nil, err)); code != exitRefused {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

// TestApprovalHoldsThePlan: what was approved before the drill began is what it carries out, and no other plan.
func TestApprovalHoldsThePlan(t *testing.T) {
	s, p, hash := approvable(t, labFleet)
	a := &app{Config: &Config{Evidence: t.TempDir()}}
	approve, err := a.approvePlan(t.Context(), s, hash, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := approve(t.Context(), p, hash); err != nil {
		t.Error(err)
	}
	if err := approve(t.Context(), p, "abcd"); !errors.Is(err, drills.ErrRefused) || !strings.Contains(err.Error(), "the one that was approved "+hash) {
		t.Errorf("got %v", err)
	}
	if err := os.WriteFile(filepath.Join(a.Config.Evidence, "STOP"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := a.approvePlan(t.Context(), s, hash, nil); exitCodeOf(t.Context(), err) != exitRefused {
		t.Errorf("asked in vain: %v", err)
	}
}

// TestNotify: a command gets the text and a webhook the whole notice; both have a time limit, and no error shows the URL.
func TestNotify(t *testing.T) {
	dir := t.TempDir()
	notice := drills.Notice{Schema: "gwdr/notice/v1", Event: drills.NoticeStarted, Text: "[DRILL] it begins", Scenario: "region-loss", Run: "r1"}
	var got drills.Notice
	answer := http.StatusOK
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil || r.URL.Path != "/0f1e2d3c" {
			t.Errorf("%s: %v", r.URL, err)
		}
		w.WriteHeader(answer)
	}))
	defer hook.Close()
	out := filepath.Join(dir, "told")
	a := &app{Config: &Config{Notify: NotifyConfig{Timeout: time.Minute, URL: hook.URL + "/0f1e2d3c",
		Exec: []string{"sh", "-c", `cat > "$1"; echo "$DRILL_EVENT $DRILL_SCENARIO" >> "$1"`, "sh", out}}}, environ: os.Environ()}
	notify, err := a.notifier()
	if err != nil {
		t.Fatal(err)
	}
	if err := notify(t.Context(), notice); err != nil || got != notice {
		t.Errorf("got %+v, %v", got, err)
	}
	if text, err := os.ReadFile(out); string(text) != "[DRILL] it begins\nstarted region-loss\n" {
		t.Errorf("told %q, %v", text, err)
	}
	answer = http.StatusForbidden
	a.Config.Notify.Exec = []string{"sh", "-c", "echo no such channel >&2; exit 3"}
	notify, _ = a.notifier()
	err = notify(t.Context(), notice)
	if err == nil || !strings.Contains(err.Error(), "run sh: exit status 3: no such channel") || !strings.Contains(err.Error(), "it answered Forbidden") || strings.Contains(err.Error(), "0f1e2d3c") {
		t.Errorf("got %v", err)
	}
	hook.Close()
	if err = notify(t.Context(), notice); err == nil || strings.Contains(err.Error(), "0f1e2d3c") {
		t.Errorf("got %v", err)
	}
	a.Config.Notify = NotifyConfig{URL: "ftp://host/0f1e2d3c"}
	if _, err := a.notifier(); err == nil || strings.Contains(err.Error(), "0f1e2d3c") {
		t.Errorf("got %v", err)
	}
	a.Config.Notify = NotifyConfig{}
	if notify, err := a.notifier(); notify != nil || err != nil {
		t.Errorf("nobody is to be told, and %v", err)
	}
}

// TestNotifyHasAnEnd: a command that goes on, and what it has started, is ended; so is a webhook that does not answer.
func TestNotifyHasAnEnd(t *testing.T) {
	over := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-over }))
	defer silent.Close()
	defer close(over)
	for name, c := range map[string]NotifyConfig{
		"command": {Exec: []string{"sh", "-c", "sleep 1000 & sleep 1000"}, Timeout: 100 * time.Millisecond},
		"webhook": {URL: silent.URL, Timeout: 100 * time.Millisecond},
	} {
		a := &app{Config: &Config{Notify: c}, environ: os.Environ()}
		notify, err := a.notifier()
		if err != nil {
			t.Fatal(err)
		}
		if err := notify(context.Background(), drills.Notice{}); err == nil || !strings.Contains(err.Error(), "(notify.timeout: 100ms)") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
