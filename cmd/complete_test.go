package cmd

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
)

func TestComplete(t *testing.T) {
	s := newSite(t)
	run1 := filepath.Base(writeRefusedRun(t, s.dir))
	env := func(name string) string {
		return map[string]string{"HOME": s.dir, "GWDR_CONFIG": s.path("gwdr.yaml"), "GWDR_EVIDENCE": s.path("evidence")}[name]
	}
	for line, want := range map[string]string{
		"restore --from ":             "local nas offsite :4",
		"restore --from nas,":         "nas,local nas,offsite :4",
		"restore --only routes,k":     "routes,keys",
		"diff --from nas,":            "nas,local nas,offsite :4",
		"diff ":                       "backup the newest state of the backups backup@1d a day ago live the configured gateway gwdr+http:// another gateway :4",
		"diff backup@":                "backup@1h an hour ago backup@1d a day ago :4",
		"diff live g":                 "gwdr+http:// gwdr+https:// :6",
		"diff backup live ":           ":4",
		"probe a":                     "agent Probe from this host",
		"probe --vantage-":            "--vantage-only",
		"probe agent --l":             "--lease",
		"probe --vantage ":            ":4",
		"report --format ":            "text html json :4",
		"report ":                     run1 + " region-loss :32",
		"report verify ":              run1 + " region-loss :32",
		"report verify " + run1 + " ": ":4",
	} {
		var stdout, stderr bytes.Buffer
		args := append([]string{"__complete"}, strings.Split(line, " ")...)
		if code := run(args, invocation{nil, &stdout, &stderr, env, "gwdr", nil}); code != 0 {
			t.Fatalf("%s: exit code %d\n%s", line, code, &stderr)
		}
		if got := strings.Join(strings.Fields(stdout.String()), " "); !strings.Contains(got, want) {
			t.Errorf("%q offers %q, want %q", line, got, want)
		}
	}
}
