package cmd

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gwdr/backup"
	"gwdr/drills"
	"gwdr/internal/journal"
	"gwdr/internal/sshsig"
	"gwdr/report"
	"gwdr/scenarios"
)

// writeRefusedRun makes the signed evidence of a drill that was refused before it injected anything, and the file of
// trusted keys. It returns the run's directory.
func writeRefusedRun(t *testing.T, work string) string {
	t.Helper()
	const id = "20261121T024601Z-region-loss-a1b2"
	dir := filepath.Join(work, "evidence", id)
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(os.MkdirAll(dir, 0o700))
	s, err := scenarios.Load("region-loss")
	check(err)
	plan, err := s.Plan(s.Topology.Instances())
	check(err)
	file, err := plan.YAML()
	check(err)
	check(os.WriteFile(filepath.Join(dir, drills.PlanFile), file, 0o600))
	j, err := journal.Create(filepath.Join(dir, drills.JournalFile))
	check(err)
	t0 := time.Date(2026, 11, 21, 2, 46, 1, 0, time.UTC)
	check(j.Append("start", 0, map[string]any{"id": id, "run_no": 1, "scenario": "region-loss", "fleet": "lab", "evidence": dir, "t0": t0}))
	check(j.Append("plan", time.Millisecond, map[string]any{"sha256": scenarios.Hash(file)}))
	check(j.Append("abort", time.Second, drills.AbortFact{Cause: drills.AbortRefused, Reason: "preflight: no backup"}))
	check(j.Append("end", time.Second, map[string]any{"clean": true}))
	check(j.Close())
	facts, scenario, err := drills.ReadFacts(dir)
	check(err)
	signer := sshsig.NewSigner("")
	check(report.Write(dir, drills.Judge(scenario, facts), signer))
	trusted := sshsig.Trusted{}.Trust("ops", signer.Public(), report.Namespace)
	check(os.WriteFile(filepath.Join(work, "allowed_signers"), trusted.Marshal(), 0o600))
	return dir
}

func TestReport(t *testing.T) {
	work := t.TempDir()
	dir := writeRefusedRun(t, work)
	gwdr := func(want int, args ...string) string {
		t.Helper()
		var stdout, stderr bytes.Buffer
		env := map[string]string{"GWDR_EVIDENCE": filepath.Join(work, "evidence"), "HOME": work}
		code := run(args, invocation{strings.NewReader(""), &stdout, &stderr, func(key string) string { return env[key] }, "gwdr", nil})
		if code != want {
			t.Fatalf("gwdr %v: exit code %d, want %d\n%s%s", args, code, want, stdout.String(), stderr.String())
		}
		return stdout.String()
	}
	if out := gwdr(0, "report"); !strings.Contains(out, "preflight: no backup") {
		t.Errorf("report says %q", out)
	}
	var result drills.Result
	if err := json.Unmarshal([]byte(gwdr(0, "report", "--json", filepath.Base(dir))), &result); err != nil || result.RunNo != 1 {
		t.Errorf("report --json: run %d, %v", result.RunNo, err)
	}
	page := filepath.Join(work, "page.html")
	gwdr(0, "report", "-f", "html", "-o", page, dir)
	if content, err := os.ReadFile(page); err != nil || !bytes.HasPrefix(content, []byte("<!DOCTYPE html>")) {
		t.Errorf("no page was written: %v", err)
	}
	trusted := filepath.Join(work, "allowed_signers")
	if out := gwdr(0, "report", "verify", "--trusted", trusted); !strings.HasPrefix(out, "VERIFIED") {
		t.Errorf("report verify says %q", out)
	}
	gwdr(exitUsage, "report", "--json", "--format", "html")
	gwdr(0, "report", "--json", "--format", "json")
	path := filepath.Join(dir, drills.PlanFile)
	plan, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	plan[len(plan)-2] ^= 1
	if err := os.WriteFile(path, plan, 0o600); err != nil {
		t.Fatal(err)
	}
	var v report.Verification
	if err := json.Unmarshal([]byte(gwdr(8, "report", "verify", "--trusted", trusted, "--json")), &v); err != nil || v.Verified {
		t.Errorf("report verify --json: verified %t, %v", v.Verified, err)
	}
}

// TestReportSignedByLab: after 'gwdr init' the configuration no longer trusts the lab's key, and gwdr says whose it is.
func TestReportSignedByLab(t *testing.T) {
	work := t.TempDir()
	dir := writeRefusedRun(t, work)
	lab, err := backup.GenerateKeys(filepath.Join(work, "state", "keys"))
	if err != nil {
		t.Fatal(err)
	}
	configured, err := backup.GenerateKeys(filepath.Join(work, "gwdr-keys"))
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"GWDR_STATE": filepath.Join(work, "state"), "GWDR_KEYS_TRUSTED": configured.Trusted}
	verify := func() string {
		var stdout, stderr bytes.Buffer
		code := run([]string{"report", "verify", dir}, invocation{strings.NewReader(""), &stdout, &stderr, func(key string) string { return env[key] }, "gwdr", nil})
		if code != exitIntegrity {
			t.Errorf("exit code %d\n%s%s", code, &stdout, &stderr)
		}
		return stderr.String()
	}
	if text := verify(); strings.Contains(text, "lab key") {
		t.Errorf("a stranger's key is the lab's: %s", text)
	}
	if err := os.Rename(filepath.Join(work, "allowed_signers"), lab.Trusted); err != nil {
		t.Fatal(err)
	}
	if text := verify(); !strings.Contains(text, "hint: signed by this machine's lab key: --trusted "+lab.Trusted) {
		t.Error(text)
	}
}
