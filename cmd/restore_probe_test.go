package cmd

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gwdr/gateway"
	"gwdr/gateway/native"
	"gwdr/restore"
)

func TestParseProbeKeys(t *testing.T) {
	one, two := gateway.NewToken(), gateway.NewToken()
	tokens, err := parseProbeKeys("# of 2026\n\n" + one.Reveal() + "\r\n  " + two.Reveal() + " # revoked")
	if err != nil || len(tokens) != 2 || tokens[0] != one || tokens[1] != two {
		t.Errorf("%v, %v", tokens, err)
	}
	typo := one.Reveal()[:60] + "x" + one.Reveal()[61:]
	for _, text := range []string{typo, "password", "a: b"} {
		if _, err := parseProbeKeys("\n" + text); err == nil || !strings.Contains(err.Error(), "line 2: malformed API key") || strings.Contains(err.Error(), text) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// proofRig is a gateway with a route that needs a key, a point, and keys of which the gateway knows no secret.
type proofRig struct {
	*cli
	vars   map[string]string
	file   string
	admin  string
	client *native.Client
	keys   map[string]gateway.Token // live, revoked, unknown
}

func newProofRig(t *testing.T) *proofRig {
	t.Helper()
	s := serveUntilEnd(t, t.TempDir())
	rig := &proofRig{cli: &cli{t.TempDir()}, vars: map[string]string{}, admin: "gwdr+http://" + s.Admin, client: s.client(""), keys: map[string]gateway.Token{}}
	rig.file = filepath.Join(rig.home, "gwdr.yaml")
	fillGateway(t, rig.client)
	putEntity(t, rig.client, entityOf(gateway.Route, "locked", `{"path":"/locked/{id}","upstream":"echo"}`))
	for _, name := range []string{"live", "revoked", "unknown"} {
		token := gateway.NewToken()
		if rig.keys[name] = token; name != "unknown" {
			putEntity(t, rig.client, gateway.Entity{Ref: gateway.Ref{Kind: gateway.Key, ID: token.ID}, Body: gateway.Encode(gateway.KeyBody{Hash: token.Hash(), Created: time.Unix(1e9, 0).UTC()})})
		}
	}
	putEntity(t, rig.client, entityOf(gateway.Revocation, rig.keys["revoked"].ID, `{"at":"2026-03-04T05:06:07Z"}`))
	rig.run(t, exitDone, nil, "init", "--file", rig.file, "--gateway", rig.admin, "--site", "dc1",
		"--location", "local=file://"+rig.home+"/local,media=disk,site=dc1", "--location", "nas=file://"+rig.home+"/nas,media=nas,site=dc2")
	rig.run(t, exitMissed, nil, "--config", rig.file, "backup") // two copies on one disk are not 3-2-1
	return rig
}

// keysFile writes those with the names.
func (rig *proofRig) keysFile(t *testing.T, names ...string) string {
	t.Helper()
	var text strings.Builder
	for _, name := range names {
		text.WriteString(rig.keys[name].Reveal() + " # " + name + "\n")
	}
	file := filepath.Join(rig.home, "keys")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// restore runs gwdr restore, and checks that no secret is told.
func (rig *proofRig) restore(t *testing.T, code int, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	env := func(name string) string {
		if value, ok := rig.vars[name]; ok {
			return value
		}
		return rig.env(name)
	}
	args = append([]string{"--config", rig.file, "restore"}, args...)
	got := run(args, invocation{stdin: strings.NewReader(""), stdout: &stdout, stderr: &stderr, env: env})
	text := stdout.String() + stderr.String()
	if got != code {
		t.Errorf("%v: exit code %d, want %d\n%s", args, got, code, text)
	}
	for name, token := range rig.keys {
		if strings.Contains(text, token.Reveal()[21:60]) {
			t.Errorf("%v tells the secret of the %s key:\n%s", args, name, text)
		}
	}
	return text
}

func wantsText(t *testing.T, text string, wanted ...string) {
	t.Helper()
	for _, want := range wanted {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// TestRestoreProbeKeys: without a key of which somebody knows the secret, the result says that none was tried; those that are
// given, by file or by the environment, are tried for what the restored state makes of them.
func TestRestoreProbeKeys(t *testing.T) {
	rig := newProofRig(t)
	wantsText(t, rig.restore(t, exitDone), ": verified but for keys\n", "checks passed, at 1 instance\n", "keys            NOT one that works: --probe-issue")
	file := rig.keysFile(t, "live", "revoked", "unknown")
	wantsText(t, rig.restore(t, exitDone, "--probe-keys", file), ": verified\n", "keys            tried 1 live, 1 revoked, 1 unknown; each as it should be")
	wantsText(t, rig.restore(t, exitDone, "--probe-keys", rig.keysFile(t, "revoked")), ": verified but for keys\n", "tried 1 revoked; NOT one that works")

	rig.vars["GWDR_PROBE_TOKENS"] = rig.keys["live"].Reveal() + "," + rig.keys["revoked"].Reveal()
	text := rig.restore(t, exitDone, "--json", "--log-level", "debug")
	wantsText(t, text, `"key": "live"`, `"key": "revoked"`, "with the live key gwk_"+rig.keys["live"].ID+"_***")
	rig.vars["GWDR_PROBE_TOKENS"] = rig.keys["live"].Reveal() + "x"
	wantsText(t, rig.restore(t, exitUsage), "GWDR_PROBE_TOKENS: key 1: malformed API key")
	delete(rig.vars, "GWDR_PROBE_TOKENS")

	wantsText(t, rig.restore(t, exitUsage, "--probe-keys", filepath.Join(rig.home, "none")), "--probe-keys: open")
	rig.vars["GWDR_PROBE_KEYS"] = filepath.Join(rig.home, "none") // configured long ago, and not on this machine
	wantsText(t, rig.restore(t, exitDone), "! probe.keys: the keys in it are not tried: open "+rig.vars["GWDR_PROBE_KEYS"])
	rig.vars["GWDR_PROBE_KEYS"] = rig.keysFile(t, "live")
	if err := os.Chmod(rig.vars["GWDR_PROBE_KEYS"], 0o644); err != nil {
		t.Fatal(err)
	}
	wantsText(t, rig.restore(t, exitDone), ": verified\n", "others than its owner may read")
}

// TestRestoreProbeIssue: a key that is issued for it is let in, and, revoked, no more; it stays revoked, and is in nobody's way.
func TestRestoreProbeIssue(t *testing.T) {
	rig := newProofRig(t)
	wantsText(t, rig.restore(t, exitDone, "--probe-issue"), ": verified\n", "keys            tried 1 new, 1 revoked; each as it should be")
	e, err := rig.client.Export(t.Context())
	if counts := e.State.Counts(); err != nil || counts[gateway.Key] != 2 || counts[gateway.Revocation] != 2 {
		t.Errorf("%v, %v", counts, err)
	}
	wantsText(t, rig.restore(t, exitDone, "--probe-issue"), "0 created, 0 updated, 0 deleted") // nobody is asked
	rig.restore(t, exitUsage, "--probe-issue", "--rehearse", "--no-attest")
}

// TestRestoreProbeURLs: gwdr.yaml names the data planes; one that is named as a gateway is asked what it serves.
func TestRestoreProbeURLs(t *testing.T) {
	rig := newProofRig(t)
	rig.vars["GWDR_PROBE_URLS"] = rig.admin
	wantsText(t, rig.restore(t, exitDone), "at 1 instance\n")
	var result restore.Result
	rig.run(t, exitDone, &result, "--config", rig.file, "--json", "restore", "--probe", rig.admin)
	if last := result.DataPlane[len(result.DataPlane)-1]; last.Name != rig.admin || last.Request != "digest of its configuration" || last.Got != result.Actual[:12] {
		t.Errorf("%+v", last)
	}
	wantsText(t, rig.restore(t, exitUsage, "--probe", "gwdr+ftp://x"), "--probe: ")
}

// TestRestoreProbeKeysNowhere: where no request can tell what becomes of a key, nobody is left to believe that one was tried.
func TestRestoreProbeKeysNowhere(t *testing.T) {
	rig := newProofRig(t)
	putEntity(t, rig.client, entityOf(gateway.Route, "locked", `{"path":"/locked/{id}","upstream":"echo","methods":["POST"]}`))
	rig.run(t, exitMissed, nil, "--config", rig.file, "backup")
	said := "! keys: none was tried: no route that needs one takes GET"
	for _, args := range [][]string{{"--probe-keys", rig.keysFile(t, "live", "revoked")}, {"--probe-issue"}} {
		wantsText(t, rig.restore(t, exitDone, args...), said)
	}
	if text := rig.restore(t, exitDone); strings.Contains(text, said) {
		t.Error(text)
	}
}

// TestRestoreProbeOfNewGateway: a new gateway that is named as a data plane knows nothing of what was revoked at the lost one.
func TestRestoreProbeOfNewGateway(t *testing.T) {
	rig := newProofRig(t)
	to := "gwdr+http://" + serveUntilEnd(t, t.TempDir()).Admin
	for _, args := range [][]string{nil, {"--probe", to}} {
		var plan restore.Plan
		rig.run(t, exitDone, &plan, append([]string{"--config", rig.file, "--json", "restore", "--plan", "--to", to}, args...)...)
		if plan.Doubt == nil || plan.Doubt.Working == 0 {
			t.Errorf("%v: no doubt is left: %+v", args, plan.Findings)
		}
	}
}
