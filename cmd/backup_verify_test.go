package cmd

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gwdr/backup"
	"gwdr/backup/backuptest"
	"gwdr/gateway"
)

func (s *site) verification(code int, args ...string) *backup.Verification {
	s.t.Helper()
	s.want(code, append([]string{"backup", "verify", "--json"}, args...)...)
	var v backup.Verification
	if err := json.Unmarshal(s.stdout.Bytes(), &v); err != nil {
		s.t.Fatalf("stdout is not one document: %v", err)
	}
	return &v
}

// remove removes the files that match.
func (s *site) remove(pattern ...string) {
	s.t.Helper()
	files, err := filepath.Glob(s.path(pattern...))
	if err != nil || len(files) == 0 {
		s.t.Fatalf("nothing matches %v: %v", pattern, err)
	}
	for _, file := range files {
		if err := os.Remove(file); err != nil {
			s.t.Fatal(err)
		}
	}
}

// TestVerifyRepairs: what is missing is put back, only if told to, and the report says what.
func TestVerifyRepairs(t *testing.T) {
	s := newSite(t)
	s.backup(3, false)
	s.source.Put(backuptest.Entity(gateway.Route, "b", "{}"))
	s.backup(3, false)
	s.remove("nas", "gwdr1", "*", "packs", "*", "*")
	s.remove("nas", "gwdr1", "*", "points", "*")
	s.remove("offsite", "gwdr1", "*", "log", "*")
	contains(t, s.want(3, "backup", "verify", "--all"), "PROBLEM at nas, lineage ", "missing here, but another location has it",
		"gwdr: everything that was read can be restored, but there are 4 problems\n", "hint: the same with --repair")
	contains(t, s.want(0, "backup", "verify", "--all", "--repair"), "HEALED at nas, lineage ", "  put back as it is at local\n",
		"2 of 2 decrypted", "segments 1 to 2, revision 2, ")
	if v := s.verification(0, "--all"); !v.Sound() || len(v.Repairs) != 0 {
		t.Errorf("after the repair: %+v", v)
	}
}

// TestVerifyText: nobody has to scroll sideways.
func TestVerifyText(t *testing.T) {
	s := newSite(t)
	s.backup(3, false)
	s.source.Put(backuptest.Entity(gateway.Route, "b", "{}"))
	s.backup(3, false)
	s.damage("nas", "gwdr1", "*", "packs", "*", "*")
	s.damage("nas", "gwdr1", "*", "log", "*2.tar")
	s.remove("offsite", "gwdr1", "*", "points", "*")
	for _, c := range []struct {
		code int
		args []string
	}{{3, []string{"--all", "--attest"}}, {0, []string{"--all", "--repair"}}, {8, nil}} {
		if c.args == nil {
			s.remove("*", "gwdr1", "*", "packs", "*", "*")
		}
		s.want(c.code, append([]string{"backup", "verify"}, c.args...)...)
		for line := range strings.Lines(s.stdout.String()) {
			if len(strings.TrimRight(line, "\n")) > 80 {
				t.Errorf("%d columns: %s", len(line), line)
			}
		}
	}
}

func TestVerifyAttests(t *testing.T) {
	s := newSite(t)
	s.backup(3, false)
	contains(t, s.want(0, "backup", "verify", "--attest"), "attested  pass, at local, nas, offsite\n", "by SHA256:")
	for _, location := range []string{"local", "nas", "offsite"} {
		if files, err := filepath.Glob(s.path(location, "gwdr1", "*", "attest", "*.tar")); err != nil || len(files) != 1 {
			t.Errorf("%s has %v, %v", location, files, err)
		}
	}
	trusted := s.path("gwdr-keys", "allowed_signers")
	old, err := os.ReadFile(trusted)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(trusted, []byte(strings.Replace(string(old), ","+backup.AttestNamespace, "", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	contains(t, s.want(2, "backup", "verify", "--attest"), "the trusted signers do not let the signing key", "hint: in the file of trusted signers, add gwdr-attest-v1")
	s.want(0, "backup", "verify")
}

// TestVerifyIsSeen: status shows when everything was read back last, and prune keeps what was verified.
func TestVerifyIsSeen(t *testing.T) {
	s := newSite(t)
	s.backup(3, false)
	status := func() backup.LocationStatus {
		s.want(3, "backup", "status", "--json")
		var status backup.Status
		if err := json.Unmarshal(s.stdout.Bytes(), &status); err != nil {
			t.Fatal(err)
		}
		return status.Locations[1]
	}
	s.want(0, "backup", "verify", "--attest")
	if l := status(); l.Scrubbed != nil {
		t.Errorf("the newest point only: %+v", l)
	}
	s.damage("nas", "gwdr1", "*", "packs", "*", "*")
	s.want(3, "backup", "verify", "--all", "--attest")
	if l := status(); l.Scrubbed != nil || len(l.Problems) == 0 {
		t.Errorf("after a failure: %+v", l)
	}
	s.want(0, "backup", "verify", "--all", "--attest", "--repair")
	if l := status(); l.Scrubbed == nil || len(l.Problems) != 0 {
		t.Errorf("after the repair: %+v", l)
	}
	contains(t, s.want(0, "backup", "prune", "--keep-within", "1h", "--json"), `"last verified"`)
}

func TestVerifySample(t *testing.T) {
	s := newSite(t)
	s.backup(3, false)
	for _, args := range [][]string{{"--sample", "0"}, {"--sample", "101%"}, {"--sample", "some"}, {"--sample", "NaN%"}, {"--seed", "1"}, {"--all", "--sample", "5"}} {
		s.want(2, append([]string{"backup", "verify"}, args...)...)
	}
	contains(t, s.want(0, "backup", "verify", "--sample", "50%", "--seed", "7"), "sample    2 of 4 objects, seed 7\n")
	first := s.verification(0, "--sample", "1")
	if first.Sample == nil || first.Sample.Objects != 1 || first.Scope != "sample" {
		t.Errorf("sample: %+v", first)
	}
}

// TestVerifyStrangersLog: where no trusted signer signed the log, that is a matter of integrity.
func TestVerifyStrangersLog(t *testing.T) {
	s := newSite(t)
	s.backup(3, false)
	trusted := s.path("gwdr-keys", "allowed_signers")
	content, err := os.ReadFile(trusted)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(trusted, bytes.ReplaceAll(content, []byte(backup.SegmentNamespace), []byte("other")), 0o600); err != nil {
		t.Fatal(err)
	}
	contains(t, s.want(8, "backup", "verify"), "no location has segment 1 of the log as a trusted signer signed it")
}

// TestVerifyJSON holds the contract gwdr/verify/v1.
func TestVerifyJSON(t *testing.T) {
	s := newSite(t)
	s.backup(3, false)
	s.want(0, "backup", "verify", "--json", "--sample", "100%", "--attest")
	var got map[string]any
	if err := json.Unmarshal(s.stdout.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	want := []string{"attested", "decrypted", "duration_s", "locations", "logs", "lost", "opened", "points", "points_known", "repairs",
		"sample", "schema", "scope", "sealed", "started"}
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(got))); diff != "" {
		t.Error(diff)
	}
	location := got["locations"].([]any)[0].(map[string]any)
	if diff := cmp.Diff([]string{"bytes", "name", "objects", "points", "points_elsewhere", "problems"}, slices.Sorted(maps.Keys(location))); diff != "" {
		t.Error(diff)
	}
	if got["schema"] != "gwdr/verify/v1" || got["points"] != 1.0 || got["lost"] == nil || got["repairs"] == nil {
		t.Errorf("document: %v", got)
	}
}

// TestVerifyProgress: slow verifications say how far they are, about once a second.
func TestVerifyProgress(t *testing.T) {
	s := newSite(t)
	a := &app{Stderr: &s.stderr}
	now := time.Unix(0, 0)
	s.stderr.Reset()
	tell := a.verifyProgress(func() time.Time { now = now.Add(300 * time.Millisecond); return now })
	for i := range 10 {
		tell(backup.Progress{Phase: "read", Location: "nas", Done: int64(i) * 1e6, Total: 5e6})
	}
	if got, want := s.stderr.String(), "reading: 3.0 MB of 5.0 MB\nreading: 7.0 MB\n"; got != want {
		t.Errorf("progress: %q, want %q", got, want)
	}
}
