package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gwdr/backup"
	fleetlink "gwdr/fleet/link"
	"gwdr/fleet/process"
)

// TestLocationOfTheLabOverItsLink backs a lab up to a real S3 server and cuts the lab's link to it.
func TestLocationOfTheLabOverItsLink(t *testing.T) {
	home := t.TempDir()
	gwdr := gwdrCommand(t, home)
	writeLabConfig(t, home, shared.bucket(t, true), shared.link(t).address)
	gwdr(0, "lab", "up")
	t.Cleanup(func() { gwdr(0, "lab", "down") })
	lab, err := process.Open(filepath.Join(home, "state", "lab"))
	if err != nil {
		t.Fatal(err)
	}

	for _, step := range []struct {
		mode fleetlink.Mode
		code int
		ok   bool
	}{{fleetlink.Pass, 0, true}, {fleetlink.Refuse, 3, false}, {fleetlink.Pass, 0, true}} {
		state := fleetlink.State{Mode: step.mode}
		if step.mode != fleetlink.Pass {
			state.Lease = time.Minute
		}
		if err := lab.Links().Set(t.Context(), "location--offsite", state); err != nil {
			t.Fatal(err)
		}
		var r backup.Result
		if err := json.Unmarshal([]byte(gwdr(step.code, "backup", "--json")), &r); err != nil {
			t.Fatal(err)
		}
		for _, l := range r.Locations {
			if want := step.ok || l.Name != "offsite"; l.OK != want {
				t.Errorf("link %s: location %s ok %v (%s), want %v", step.mode, l.Name, l.OK, l.Error, want)
			}
		}
	}
	gwdr(0, "backup", "verify", "--all")
}

func writeLabConfig(t *testing.T, home, bucket, server string) {
	t.Helper()
	keys, err := backup.GenerateKeys(filepath.Join(home, "keys"))
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(`state: %[1]s/state
locations:
  local:   {url: "file://%[1]s/copy", media: disk, site: dc1}
  offsite: {url: "s3://%[2]s/lab?endpoint=http://%[3]s&region=%[4]s", media: object, site: dc2, lock: compliance/1h}
policy: {site: dc1, copies: 2, media: 2, offsite: 1, immutable: 1}
keys: {recipients: [%[5]s], identity: %[6]s, signing: %[7]s, trusted: %[8]s}
`, home, bucket, server, region, strings.Join(keys.Recipients, ", "), keys.Identities[0], keys.Signing, keys.Trusted)
	if err := os.WriteFile(filepath.Join(home, "gwdr.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(home, "copy"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(home, "copy", ".gwdr-location"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// gwdrCommand builds gwdr and returns a function that runs it in home, wants the exit code and returns stdout.
func gwdrCommand(t *testing.T, home string) func(code int, args ...string) string {
	t.Helper()
	binary := buildGWDR(t)
	return func(code int, args ...string) string {
		t.Helper()
		cmd := exec.Command(binary, args...)
		cmd.Dir = home
		cmd.Env = []string{"HOME=" + home, "AWS_ACCESS_KEY_ID=" + accessKey, "AWS_SECRET_ACCESS_KEY=" + secretKey}
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
			t.Fatalf("run gwdr %v: %v", args, err)
		}
		if got := cmd.ProcessState.ExitCode(); got != code {
			t.Fatalf("gwdr %v: exit code %d, want %d\nstdout: %s\nstderr: %s", args, got, code, out, stderr.String())
		}
		return string(out)
	}
}

func buildGWDR(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "gwdr")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".")
	build.Dir = repository()
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build gwdr: %v\n%s", err, out)
	}
	return binary
}
