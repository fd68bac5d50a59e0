package cmd

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"gwdr/backup"
	"gwdr/backup/backuptest"
	"gwdr/backup/s3"
	"gwdr/gateway"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares text with a file of testdata. What is random in it counts only by its length.
func golden(t *testing.T, name, text string) {
	t.Helper()
	text = regexp.MustCompile(`age1[0-9a-z]{12}`).ReplaceAllString(text, "age1xxxxxxxxxxxx")
	text = regexp.MustCompile(`[0-9a-f]{64}|[0-9a-f]{32}|-[0-9a-f]{8}\b|/[0-9a-f]{2}/|[0-9a-f]{12}\.\.\.`).ReplaceAllStringFunc(text, func(hex string) string {
		return regexp.MustCompile(`[0-9a-f]`).ReplaceAllString(hex, "x")
	})
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(text, "\n")); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// posture is three locations in memory that a gateway is backed up to every 15 minutes.
type posture struct {
	job      backup.Job
	source   *backuptest.Source
	memories []*backuptest.Memory
}

func newPosture(t *testing.T) *posture {
	copies, memories := backuptest.Copies()
	for i, host := range []string{"device 2049", "device 2065", "s3 s3.eu-west-1.amazonaws.com account 1f40fc92"} {
		memories[i].Host = host
	}
	p := &posture{memories: memories, source: backuptest.NewSource("store",
		backuptest.Entity(gateway.Route, "a", "{}"), backuptest.Entity(gateway.Key, "k", "{}"))}
	policy := backuptest.Policy()
	policy.MaxAge = time.Hour
	p.job = backup.Job{Source: p.source, Gateway: "g", Copies: copies, Keys: backuptest.NewKeys(t), Policy: policy, Spool: t.TempDir(), Tool: "gwdr test"}
	for range 4 {
		p.take(t)
	}
	return p
}

// take makes a backup, and waits for the next one to be due.
func (p *posture) take(t *testing.T) {
	t.Helper()
	p.source.Put(backuptest.Entity(gateway.Route, time.Now().Format("1504"), "{}"))
	if _, err := backup.Take(t.Context(), p.job); err != nil {
		t.Fatal(err)
	}
	time.Sleep(15 * time.Minute)
}

func (p *posture) remove(at int, pattern string) {
	for name := range p.memories[at].Objects() {
		if strings.Contains(name, pattern) {
			p.memories[at].Set(name, nil)
		}
	}
}

// status returns what gwdr backup status says to people, and the exit code.
func (p *posture) status(t *testing.T, g *backup.GatewayStatus) (text string, code int, s *backup.Status) {
	t.Helper()
	s = backup.CheckStatus(t.Context(), p.job.Copies, p.job.Keys, p.job.Policy, backup.StatusOptions{Spool: p.job.Spool, Gateway: "g", ReadOnly: isDenied})
	s.Gateway = compareGateway(g, s.Newest)
	var out bytes.Buffer
	a := &app{Stdout: &out, Stderr: &out, Log: slog.New(slog.DiscardHandler)}
	if err := a.showStatus(s); err != nil {
		t.Fatal(err)
	}
	out.WriteString("---\n")
	code = a.fail(t.Context(), statusError(s))
	return out.String(), code, s
}

// unwritable is the fault of a location that can be read.
func unwritable(err error) func(context.Context, string, string) error {
	return func(_ context.Context, op, _ string) error {
		if op == "probe" {
			return fmt.Errorf("put canary: %w", err)
		}
		return nil
	}
}

// TestStatusView shows what people see, of what really happened to three locations.
func TestStatusView(t *testing.T) {
	for name, c := range map[string]struct {
		harm  func(t *testing.T, p *posture)
		code  int
		ahead int64 // what the gateway was changed by since
	}{
		"healthy": {func(*testing.T, *posture) {}, 0, 0},
		"gone": {func(t *testing.T, p *posture) {
			p.memories[1].Break(backuptest.Dead)
			p.take(t)
		}, 3, 2},
		"stale": {func(t *testing.T, p *posture) {
			p.memories[2].Break(backuptest.Dead)
			for range 5 {
				p.take(t)
			}
			p.memories[2].Break(nil)
		}, 3, 2},
		"stale everywhere": {func(*testing.T, *posture) { time.Sleep(26 * time.Hour) }, 3, 0},
		"incomplete":       {func(_ *testing.T, p *posture) { p.remove(0, "/packs/") }, 3, 0},
		"points deleted":   {func(_ *testing.T, p *posture) { p.remove(1, "/points/") }, 3, 0},
		"all deleted":      {func(_ *testing.T, p *posture) { p.remove(0, ""); p.remove(1, ""); p.remove(2, "") }, 8, 0},
		"full":             {func(_ *testing.T, p *posture) { p.memories[1].Break(unwritable(syscall.ENOSPC)) }, 3, 0},
		"read only credentials": {func(_ *testing.T, p *posture) {
			p.memories[1].Break(unwritable(fmt.Errorf("%w: AccessDenied", s3.ErrDenied)))
		}, 0, 0},
		"nobody there": {func(_ *testing.T, p *posture) {
			for _, m := range p.memories {
				m.Break(backuptest.Dead)
			}
		}, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPosture(t)
				c.harm(t, p)
				shown, err := p.source.Export(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				text, code, s := p.status(t, &backup.GatewayStatus{Store: shown.Store, Revision: shown.Revision + c.ahead})
				if code != c.code {
					t.Errorf("exit code %d, want %d", code, c.code)
				}
				golden(t, filepath.Join("status", strings.ReplaceAll(name, " ", "-")+".txt"), text)
				for line := range strings.Lines(text[:strings.Index(text, "---")]) {
					if longest := strings.Fields(line); len(line) > wide+1 && len(longest[len(longest)-1]) < wide/2 {
						t.Errorf("line of %d columns: %s", len(line), line)
					}
				}
				wantContract(t, s)
			})
		})
	}
}

// wantContract wants the fields of gwdr/status/v1 that others rely on, whatever has happened.
func wantContract(t *testing.T, s *backup.Status) {
	t.Helper()
	var document map[string]any
	raw, err := json.Marshal(s)
	if err != nil || json.Unmarshal(raw, &document) != nil {
		t.Fatal(err)
	}
	if document["schema"] != "gwdr/status/v1" {
		t.Errorf("schema %v", document["schema"])
	}
	if _, ok := document["policy"].(map[string]any)["satisfied"].(bool); !ok {
		t.Errorf("policy %v", document["policy"])
	}
	for _, l := range document["locations"].([]any) {
		for _, field := range []string{"name", "newest_point", "age_s", "exposure_s", "scrubbed", "problems", "tests", "notes"} {
			if value, ok := l.(map[string]any)[field]; !ok || value == nil && strings.HasSuffix(field, "s") && !strings.HasSuffix(field, "_s") {
				t.Errorf("location without %s: %v", field, l)
			}
		}
	}
}

// TestStatusOfGateway says how far a gateway is ahead, if that can be told.
func TestStatusOfGateway(t *testing.T) {
	newest := &backup.Restorable{Store: "store", Revision: 5}
	for name, c := range map[string]struct {
		g    backup.GatewayStatus
		want string
	}{
		"equal":   {backup.GatewayStatus{Store: "store", Revision: 5}, "nothing would be lost"},
		"ahead":   {backup.GatewayStatus{Store: "store", Revision: 8}, ": 3 revisions would be lost"},
		"another": {backup.GatewayStatus{Store: "other", Revision: 8}, "the gateway has another store than the newest point"},
		"silent":  {backup.GatewayStatus{Note: "did not answer: refused"}, "the gateway did not answer: refused"},
	} {
		if got := exposed(&backup.Status{Gateway: compareGateway(&c.g, newest)}); !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestTestedInWords says what a location was shown to withstand, whatever its driver has tested.
func TestTestedInWords(t *testing.T) {
	locked := backup.LocationStatus{CreateOnly: true, Domain: "s3 host account 1f40fc92", Tests: []backup.Test{
		{What: "overwrite", Denied: true, Detail: "lays a new version over it"}, {What: "delete"},
		{What: "lock", Denied: true, Detail: "the bucket locks them COMPLIANCE for 30d"}}}
	want := "create-only, withstands overwrite, delete succeeds, lock: the bucket locks them COMPLIANCE for 30d, fails with s3 host account 1f40fc92"
	if got := tested(locked.CreateOnly, locked.Tests, locked.Domain); got != want {
		t.Errorf("tested: %q, want %q", got, want)
	}
	for want, l := range map[string]backup.LocationStatus{
		"not tested": {}, "NOT create-only, no lock": {Tests: []backup.Test{{What: "lock"}}},
	} {
		if got := tested(l.CreateOnly, l.Tests, l.Domain); got != want {
			t.Errorf("tested: %q, want %q", got, want)
		}
	}
}

func TestElapsed(t *testing.T) {
	for seconds, want := range map[float64]string{0: "0s", 59.9: "59s", 60: "1m", 3599: "59m", 3660: "1h01m", 86400: "1d00h", 180000: "2d02h"} {
		if got := elapsed(&seconds); got != want {
			t.Errorf("elapsed(%v) = %q, want %q", seconds, got, want)
		}
	}
	if got := elapsed(nil); got != "-" {
		t.Errorf("elapsed(nil) = %q", got)
	}
}

// TestStatusIdentities: each recipient is tested with its own identity, the escrow copy too if somebody brings it; one that
// is in a safe is no error.
func TestStatusIdentities(t *testing.T) {
	s := newSite(t)
	s.backup(3, false) // one device
	contains(t, s.want(3, "backup", "status"), "opens it\n", "was not tested: its identity is not at hand")
	var status backup.Status
	if err := json.Unmarshal([]byte(s.want(3, "--json", "backup", "status", "--identity", s.path("gwdr-keys", "escrow"))[:s.stdout.Len()]), &status); err != nil {
		t.Fatal(err)
	}
	if len(status.Recipients) != 2 || !status.Recipients[0].Opens || !status.Recipients[1].Opens {
		t.Errorf("recipients: %+v", status.Recipients)
	}
	if err := os.Rename(s.path("gwdr-keys", "identity"), s.path("safe")); err != nil {
		t.Fatal(err)
	}
	contains(t, s.want(3, "backup", "status"), "note       the configured identity is not tested", "MISSING    1 of 3 copies")
	s.want(2, "backup", "status", "--identity", s.path("absent"))
	other, err := backup.GenerateKeys(s.path("other"))
	if err != nil {
		t.Fatal(err)
	}
	config, err := os.ReadFile(s.path("gwdr.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	config = regexp.MustCompile(`copies: 3, media: 2, offsite: 1`).ReplaceAll(config, []byte("copies: 1, media: 1, offsite: 0"))
	if err := os.WriteFile(s.path("gwdr.yaml"), config, 0o600); err != nil {
		t.Fatal(err)
	}
	s.want(0, "backup", "status")
	contains(t, s.want(3, "-q", "backup", "status", "--identity", other.Identities[0]), other.Identities[0]+" opens nothing of the newest point")
}
