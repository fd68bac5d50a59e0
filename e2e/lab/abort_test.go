package lab

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gwdr/e2e/shell"
)

// flapping is calm with a fault that comes and goes before the one that stays.
func flapping() string {
	text := strings.Replace(calm(), "targets: {", "targets: {one: {select: {instance: us-east-1}}, ", 1)
	text = strings.Replace(text, "target: east, hold", "target: east, after: flap, when: 1s, hold", 1)
	return strings.Replace(text, "steps:\n", "steps:\n  - {id: flap, fault: kill, target: one, hold: 500ms, repeat: {times: 2, every: 3s}}\n", 1)
}

// TestAbort ends a drill from elsewhere, and another one for good.
func TestAbort(t *testing.T) {
	u := newUser(t)
	r := u.reach(calm(), "observing")
	end := u.want(0, "drill", "abort")
	contains(t, end.stdout, "clean: ", "; aborted")
	contains(t, end.stderr, "waiting for another drill (", " since 20")
	if code := r.code(); code != 5 {
		t.Errorf("exit code %d, want 5", code)
	}
	if _, err := os.Stat(filepath.Join(u.home, "evidence", "STOP")); err == nil {
		t.Error("new drills are blocked")
	}
	u.want(0, "drill", "abort", "--all")
	contains(t, u.want(7, "drill", "run", "region-loss").stderr, "STOP blocks all drills", "gwdr drill abort --lift")
	u.want(0, "drill", "abort", "--lift")
	if left := shell.Processes(binary, ""); len(left) > 0 {
		t.Errorf("still running: %v", left)
	}
}

// TestComposedKilled kills a drill after a fault of it has ended by itself: its guard reverts the others, and only those.
func TestComposedKilled(t *testing.T) {
	u := newUser(t)
	r := u.reach(flapping(), "recovered")
	if err := r.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	r.code()
	var text []byte
	eventually(t, 20*time.Second, "the guard has reverted", func() bool {
		journals, _ := filepath.Glob(filepath.Join(u.home, "evidence", "2*", "revert.jsonl"))
		for _, file := range journals {
			text, _ = os.ReadFile(file)
		}
		return strings.Contains(string(text), `"type":"end"`)
	})
	var reverted []string
	for line := range strings.Lines(string(text)) {
		var e struct {
			Type string
			Data struct{ ID string }
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		if e.Type == "fault-reverted" {
			reverted = append(reverted, e.Data.ID)
		}
	}
	if len(reverted) != 1 || strings.HasPrefix(reverted[0], "flap") {
		t.Errorf("the guard reverted %v", reverted)
	}
}
