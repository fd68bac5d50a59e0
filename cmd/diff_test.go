package cmd

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"gwdr/backup/backuptest"
	"gwdr/fleet/process"
	"gwdr/gateway"
	"gwdr/gateway/gatewaytest"
	"gwdr/gateway/native"
	"gwdr/restore"
)

// diff compares the newest backup with the gateway, and returns the exit code.
func (rig *restoreRig) diff(t *testing.T, opts diffOptions) int {
	t.Helper()
	source := rig.restorer.Source
	d := &comparison{Comparison: restore.Comparison{Exact: opts.exact}, From: backupReader(&source), To: gatewayReader("gwdr+http://gw:8081", rig.gateway)}
	return rig.fail(t.Context(), d.run(t.Context(), rig.app, opts.verbose))
}

// drifted changes the gateway in every way, an hour after the backup.
func drifted(rig *restoreRig) {
	time.Sleep(time.Hour)
	rig.gateway.Put(changedOrders)
	rig.gateway.Put(entityOf(gateway.Consumer, "acme", `{ "name" : "\u0041cme" }`))
	rig.gateway.Put(entityOf(gateway.Spec, "shop", "x: <&> ü 😀\nopenapi: 3.1.0 # in YAML now\n"))
	rig.gateway.Put(entityOf(gateway.Setting, "log", `{"level":"debug","unknown":{"z":1,"a":[1000,0.1]},"token":"S3CR3T"}`))
	rig.gateway.Put(entityOf(gateway.Route, "a\x1b[31mb\nc\u202e", `{"path":"/x\u001b[2J","upstream":"echo"}`))
	rig.gateway.Remove(gateway.Ref{Kind: gateway.Key, ID: "fedcba9876543210"})
}

// TestDiffView shows what people see.
func TestDiffView(t *testing.T) {
	for name, test := range map[string]struct {
		harm func(rig *restoreRig)
		opts diffOptions
		code int
	}{
		"equal":        {func(*restoreRig) { time.Sleep(50 * time.Hour) }, diffOptions{}, exitDone},
		"layout":       {func(rig *restoreRig) { rig.gateway.Put(entityOf(gateway.Consumer, "acme", `{"name": "Acme"}`)) }, diffOptions{}, exitDone},
		"drift":        {drifted, diffOptions{}, exitMissed},
		"verbose":      {drifted, diffOptions{verbose: true}, exitMissed},
		"exact":        {drifted, diffOptions{verbose: true, exact: true}, exitMissed},
		"not compared": {func(rig *restoreRig) { rig.gateway.Withhold(gateway.Key, gateway.Cert) }, diffOptions{}, exitDone},
		"many": {func(rig *restoreRig) {
			for i := range 25 {
				rig.gateway.Put(entityOf(gateway.Route, strings.Repeat("r", 100)+string(rune('a'+i)), "{}"))
			}
		}, diffOptions{}, exitMissed},
		"a location is gone": {func(rig *restoreRig) { rig.memories[0].Break(backuptest.Dead) }, diffOptions{}, exitDone},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rig := newRestoreRig(t)
				test.harm(rig)
				if code := rig.diff(t, test.opts); code != test.code {
					t.Errorf("exit code %d, want %d", code, test.code)
				}
				text := rig.out.String() + "---\n" + rig.err.String()
				golden(t, "diff/"+strings.ReplaceAll(name, " ", "-")+".txt", text)
				if strings.Contains(text, "S3CR3T") || strings.Contains(text, "\x1b") || strings.Contains(text, "\u202e") {
					t.Errorf("a secret or a control character in\n%s", text)
				}
			})
		})
	}
}

// Colours are for terminals.
func TestDiffColours(t *testing.T) {
	from, to := gateway.NewState(gatewaytest.Sample()...), gateway.NewState(gatewaytest.Sample()...)
	to.Put(changedOrders)
	side := func(s *gateway.State) *restore.Side { return restore.GatewaySide("g", &gateway.Export{State: s}) }
	var b bytes.Buffer
	paint := func(colour, text string) string { return colour + text + plain }
	if err := writeDrift(&b, restore.Comparison{}.Compare(side(from), side(to)), paint, true); err != nil {
		t.Fatal(err)
	}
	contains(t, b.String(), yellow+"~ route/orders"+plain, red+`-  "path": "/orders",`+plain, green+`+  "path": "/changed",`+plain)
}

func TestDiffExitCodes(t *testing.T) {
	for name, test := range map[string]struct {
		harm func(rig *restoreRig)
		code int
		has  string
	}{
		"equal":              {func(*restoreRig) {}, exitDone, ""},
		"drift":              {func(rig *restoreRig) { rig.gateway.Put(changedOrders) }, exitMissed, "0 added, 1 changed, 0 removed"},
		"an emptied gateway": {func(rig *restoreRig) { rig.gateway.Wipe() }, exitMissed, "0 added, 0 changed, 11 removed"},
		"not all compared":   {func(rig *restoreRig) { rig.gateway.Withhold(gateway.Key) }, exitDone, "! key: NOT compared: could not be read at TO, a gateway"},
		"nothing restorable": {func(rig *restoreRig) {
			for _, m := range rig.memories {
				m.Break(backuptest.Dead)
			}
		}, exitIntegrity, "hint: 'gwdr backup verify'"},
		"no gateway": {func(rig *restoreRig) { rig.gateway.FailExport(errors.New("on fire")) }, exitError, "read gateway: export gateway: on fire"},
	} {
		for _, asJSON := range []bool{false, true} {
			rig := newRestoreRig(t)
			rig.Quiet, rig.JSON = !asJSON, asJSON
			test.harm(rig)
			if code := rig.diff(t, diffOptions{}); code != test.code {
				t.Errorf("%s: exit code %d, want %d", name, code, test.code)
			}
			if !asJSON {
				contains(t, rig.err.String(), test.has)
				if rig.out.Len() > 0 || test.has == "" && rig.err.Len() > 0 {
					t.Errorf("%s: quiet said\n%s%s", name, rig.out, rig.err)
				}
				continue
			}
			var d restore.Drift
			if err := json.Unmarshal(rig.out.Bytes(), &d); err != nil || d.Schema != restore.DriftSchema || d.Equal != (test.code == exitDone) {
				t.Errorf("%s: %v in %s", name, err, rig.out)
			}
		}
	}
}

// TestDiffContract: docs/restore.md describes every field.
func TestDiffContract(t *testing.T) {
	rig := newRestoreRig(t)
	rig.JSON = true
	rig.gateway.Put(changedOrders)
	rig.diff(t, diffOptions{})
	docs, err := os.ReadFile("../docs/restore.md")
	if err != nil {
		t.Fatal(err)
	}
	var fields func(value any)
	fields = func(value any) {
		switch v := value.(type) {
		case map[string]any:
			for name, inner := range v {
				if name == "provenance" || name == "kinds" { // their names are those of locations and kinds
					inner = nil
				}
				if !strings.Contains(string(docs), "`"+name+"`") && !strings.Contains(string(docs), `"`+name+`"`) {
					t.Errorf("no word about %q", name)
				}
				fields(inner)
			}
		case []any:
			for _, inner := range v {
				fields(inner)
			}
		}
	}
	var doc any
	if err := json.Unmarshal(rig.out.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	fields(doc)
}

// TestDiffRegions: regions that nothing replicates between are compared by their control planes' URLs, and drift.
func TestDiffRegions(t *testing.T) {
	lab := newLab(t, process.ReplicationNone)
	east, west := "gwdr+"+lab.ControlURL("east"), "gwdr+"+lab.ControlURL("west")
	var out, errs bytes.Buffer
	a := &app{Stdout: &out, Stderr: &errs, Env: func(string) string { return "" }, Config: &Config{State: filepath.Dir(filepath.Dir(lab.KeysFile()))}}
	want := func(code int, args ...string) {
		t.Helper()
		if got := a.fail(t.Context(), runDiff(t.Context(), a, args, diffOptions{})); got != code {
			t.Errorf("diff %v: exit code %d, want %d\n%s%s", args, got, code, &out, &errs)
		}
	}
	want(exitDone, east, west)
	client := native.Client{URL: lab.ControlURL("west"), Token: lab.AdminToken()}
	if _, err := client.Put(t.Context(), entityOf(gateway.Route, "only-west", `{"path":"/west","upstream":"echo"}`), gateway.Condition{}); err != nil {
		t.Fatal(err)
	}
	want(exitMissed, east, west+"/")
	contains(t, out.String(), "from  gateway "+east, "to    gateway "+west, "+ route/only-west")
	contains(t, errs.String(), "gwdr: drift from gateway "+east+" to gateway "+west)
}

func TestParseSides(t *testing.T) {
	now := time.Date(2026, 3, 4, 10, 0, 0, 0, time.UTC)
	newest, live := sideArg{Backup: true}, sideArg{}
	for text, want := range map[string][2]sideArg{
		"":                            {newest, live},
		"backup":                      {newest, live},
		"backup@2h":                   {{Backup: true, At: restore.At{Time: now.Add(-2 * time.Hour)}}, live},
		"backup@20260304T10":          {{Backup: true, At: restore.At{Point: "20260304T10"}}, live},
		"live backup":                 {live, newest},
		"gwdr+http://u@eu:8081":       {{URL: "gwdr+http://u@eu:8081"}, live},
		"backup backup@1d":            {newest, {Backup: true, At: restore.At{Time: now.Add(-24 * time.Hour)}}},
		"gwdr+http://a gwdr+http://b": {{URL: "gwdr+http://a"}, {URL: "gwdr+http://b"}},
	} {
		from, to, err := parseSides(strings.Fields(text), now)
		if diff := cmp.Diff(want, [2]sideArg{from, to}); diff != "" || err != nil {
			t.Errorf("%q: %v %s", text, err, diff)
		}
	}
	for _, text := range []string{"live", "live live", "gwdr+http://a gwdr+http://a", "nas", "backups", "backup@", "backup@x", "@2h", "live@2h", "backup \x1b"} {
		if from, to, err := parseSides(strings.Fields(text), now); err == nil || exitCode(t.Context(), err) != exitUsage {
			t.Errorf("%q: %v, %v, %v", text, from, to, err)
		}
	}
}

// TestDiffFromCron: the lines for cron that we show are understood.
func TestDiffFromCron(t *testing.T) {
	lines := 0
	for _, file := range []string{"../docs/restore.md", "../deploy/gwdr.cron"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			_, command, ok := strings.Cut(line, " --config /etc/gwdr/gwdr.yaml --quiet diff ")
			if !ok {
				continue
			}
			c := newDiffCommand(&app{})
			if err := c.ParseFlags(strings.Fields(command)); err != nil {
				t.Errorf("%s: %s: %v", file, line, err)
			}
			if _, _, err := parseSides(c.Flags().Args(), time.Now()); err != nil {
				t.Errorf("%s: %s: %v", file, line, err)
			}
			lines++
		}
	}
	if lines != 3 {
		t.Errorf("%d lines", lines)
	}
}
