package cmd

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gwdr/drills"
	"gwdr/internal/journal"
)

// TestRunsByName calls a run by all that a person may call it.
func TestRunsByName(t *testing.T) {
	work := t.TempDir()
	dir := writeRefusedRun(t, work)
	other := filepath.Join(work, "evidence", "20261122T024601Z-region-loss-a1b2")
	if err := os.CopyFS(other, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	a := &app{Config: &Config{Evidence: filepath.Join(work, "evidence")}}
	for name, want := range map[string]string{
		"": other, "20261121": dir, "20261122T024601Z-region-loss-a1b2": other, dir: dir, dir + "/": dir,
	} {
		if got, err := a.findRun(name); got != want || err != nil {
			t.Errorf("findRun(%q) = %s, %v; want %s", name, got, err, want)
		}
	}
	for name, want := range map[string]string{
		"1":     "may be any of 2 runs", // two with one number is damage, and no reason to guess
		"2026":  "may be any of 2 runs",
		"7":     "no run 7 in",
		"20270": "no run 20270 in",
	} {
		if got, err := a.findRun(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("findRun(%q) = %s, %v; want %q", name, got, err, want)
		}
	}
	if err := os.RemoveAll(other); err != nil {
		t.Fatal(err)
	}
	if got, err := a.findRun("1"); got != dir || err != nil {
		t.Errorf("findRun(1) = %s, %v", got, err)
	}
}

// TestKilledRun asks for a run that was killed, before and after it gets its report.
func TestKilledRun(t *testing.T) {
	work := t.TempDir()
	dir := writeRefusedRun(t, work)
	kill(t, dir)
	gwdr := func(want int, args ...string) string {
		t.Helper()
		var stdout, stderr bytes.Buffer
		env := map[string]string{"GWDR_EVIDENCE": filepath.Join(work, "evidence"), "HOME": work}
		code := run(args, invocation{strings.NewReader(""), &stdout, &stderr, func(key string) string { return env[key] }, "gwdr", nil})
		if code != want {
			t.Fatalf("gwdr %v: exit code %d, want %d\n%s%s", args, code, want, stdout.String(), stderr.String())
		}
		return stdout.String() + stderr.String()
	}
	for _, step := range []struct {
		code int
		args string
		want []string
	}{
		{0, "drill list", []string{"1    2026-11-21 02:46:01  killed, reverted  20261121T024601Z-region-loss-a1b2\n"}},
		{1, "report " + dir, []string{"run 1 was killed after 2026-", "while in observing; its guard reverted power-cut\n",
			"hint: 'gwdr drill revert 20261121T024601Z-region-loss-a1b2' writes its report"}},
		{8, "report verify 1", []string{"INCOMPLETE  ", "there is no manifest.json"}},
		{0, "drill revert 1", []string{"clean: 20261121T024601Z-region-loss-a1b2"}},
		{0, "drill list", []string{"1    2026-11-21 02:46:01  killed, reverted  20261121T024601Z-region-loss-a1b2\n"}},
		{0, "report 1", []string{"ERROR  region-loss"}},
		{0, "report verify 2026", []string{"VERIFIED  "}},
		{0, "drill show 1", []string{"the record has no end"}},
	} {
		out := gwdr(step.code, strings.Fields(step.args)...)
		for _, want := range step.want {
			if !strings.Contains(out, want) {
				t.Errorf("gwdr %s: want %q in\n%s", step.args, want, out)
			}
		}
	}
}

// kill makes the run's evidence what is left of one that was killed while its fault was in effect; its guard reverted it.
func kill(t *testing.T, dir string) {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{drills.ReportFile, "manifest.json", "attestation.dsse.json", "report.html"} {
		check(os.Remove(filepath.Join(dir, file)))
	}
	read, err := os.Open(filepath.Join(dir, drills.JournalFile))
	check(err)
	defer read.Close()
	entries, err := journal.Read(read)
	check(err)
	check(os.Remove(filepath.Join(dir, drills.JournalFile)))
	j, err := journal.Create(filepath.Join(dir, drills.JournalFile))
	check(err)
	for _, e := range entries[:2] { // start and plan
		check(j.Append(e.Type, 0, e.Data))
	}
	check(j.Append("phase", time.Second, map[string]any{"phase": drills.Observing}))
	check(j.Close())
	undo := fmt.Sprintf(`{"driver":"process","fault":{"id":"power-cut","kind":"kill"},"targets":["us-east-1"],"data":{"dir":%q,"lab":{"pid":4194304,"start":1},"targets":[{"id":"us-east-1","pid":4194304,"start":1,"ports":["127.0.0.1:9"]}]}}`+"\n",
		filepath.Join(dir, "no-lab"))
	check(os.WriteFile(filepath.Join(dir, drills.UndoFile), []byte(undo), 0o600))
	guard, err := journal.Create(filepath.Join(dir, drills.RevertFile))
	check(err)
	check(guard.Append("fault-reverted", 0, map[string]any{"id": "power-cut", "by": "guard"}))
	check(guard.Append("end", 0, map[string]any{"clean": true, "by": "guard"}))
	check(guard.Close())
}

// TestEvidenceElsewhereIsFound: what a drill left behind is found wherever it kept its evidence.
func TestEvidenceElsewhereIsFound(t *testing.T) {
	state, elsewhere := t.TempDir(), t.TempDir()
	a := &app{Config: &Config{State: state, Evidence: elsewhere}}
	for range 2 {
		if err := a.rememberEvidence("prod"); err != nil {
			t.Fatal(err)
		}
	}
	gone := filepath.Join(t.TempDir(), "gone")
	b := &app{Config: &Config{State: state, Evidence: gone}}
	if err := b.rememberEvidence("prod"); err != nil {
		t.Fatal(err)
	}
	c := &app{Config: &Config{State: state, Evidence: "/configured"}}
	if got := c.evidences(); !slices.Equal(got, []string{"/configured", elsewhere}) {
		t.Errorf("evidence in %q", got)
	}
}
