package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"filippo.io/age"

	"gwdr/backup"
	"gwdr/backup/backuptest"
	"gwdr/backup/dir"
	"gwdr/gateway/gatewaytest"
)

// TestFormatByHand runs the commands of docs/snapshot-format.md, as they stand there, on a real location.
func TestFormatByHand(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join(repository(), "docs", "snapshot-format.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(doc), -1)
	if len(blocks) != 2 {
		t.Fatalf("%d blocks of commands", len(blocks))
	}
	env := tools(t, "age", "zstd", "jq", "ssh-keygen", "tar", "sha256sum")
	home, folder := t.TempDir(), t.TempDir()
	location := &dir.Location{Dir: folder}
	if err := location.Init(t.Context()); err != nil {
		t.Fatal(err)
	}
	keys := backuptest.NewKeys(t)
	write(t, filepath.Join(home, "identity"), []byte(keys.Identities[0].(*age.X25519Identity).String()+"\n"))
	write(t, filepath.Join(home, "allowed_signers"), keys.Trusted.Marshal())
	taken, err := backup.Take(t.Context(), backup.Job{Source: gatewaytest.New(gatewaytest.Sample()...), Gateway: "test",
		Copies: []backup.Copy{{Name: "local", Location: location}}, Keys: keys, Spool: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	out := ""
	for _, block := range blocks {
		cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", block[1])
		cmd.Dir = filepath.Join(folder, "gwdr1", taken.Lineage)
		cmd.Env = append(env, "HOME="+home)
		raw, err := cmd.CombinedOutput()
		if out = string(raw); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	lines := strings.Fields(out)
	if len(lines) != 2 || lines[0] != lines[1] || len(lines[0]) != 64 {
		t.Errorf("digests differ:\n%s", out)
	}
}
