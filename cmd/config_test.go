package cmd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestConfigPaths: what is relative in gwdr.yaml is so to its directory; what is in a variable, to the current one.
func TestConfigPaths(t *testing.T) {
	dir, here := t.TempDir(), t.TempDir()
	t.Chdir(here)
	file := filepath.Join(dir, "gwdr.yaml")
	content := `{state: state, evidence: ../evidence, metrics_file: /m/gwdr.prom, token_file: token,
keys: {identity: 'a,/b', signing: keys/sign, trusted: keys/trusted, passphrase_file: p}}`
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"HOME": dir, "GWDR_KEYS_TRUSTED": "trusted"}
	c, err := loadConfig(file, func(name string) string { return env[name] })
	if err != nil {
		t.Fatal(err)
	}
	for got, want := range map[string]string{
		c.State: filepath.Join(dir, "state"), c.Evidence: filepath.Join(filepath.Dir(dir), "evidence"), c.MetricsFile: "/m/gwdr.prom",
		c.TokenFile: filepath.Join(dir, "token"), strings.Join(c.Keys.Identity, " "): filepath.Join(dir, "a") + " /b",
		c.Keys.Signing: filepath.Join(dir, "keys", "sign"), c.Keys.Trusted: "trusted", c.Keys.PassphraseFile: filepath.Join(dir, "p"),
	} {
		if got != want {
			t.Errorf("path %q, want %q", got, want)
		}
	}
	env["GWDR_STATE"] = "elsewhere"
	if c, err = loadConfig(file, func(name string) string { return env[name] }); err != nil || c.State != filepath.Join(here, "elsewhere") {
		t.Errorf("state of the environment: %q, %v", c.State, err)
	}
}

// TestConfigErrors: one line names the file, the key, what is wrong with it and what would be right.
func TestConfigErrors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "gwdr.yaml")
	for text, want := range map[string]string{
		"policy: {}\nlocation: {}":                              "line 2: unknown key location; did you mean locations?",
		"nonsense: 1":                                           "line 1: unknown key nonsense; there are evidence, ",
		"locations: {a: {urll: x}}":                             "line 1: unknown key urll in locations.a; did you mean url?",
		"POLICY: {maxAge: 2days}":                               `line 1: POLICY.maxAge "2days" cannot be used; it takes a time with its unit, such as 2h`,
		"policy: {copies: three, maxAge: 2d}":                   `policy.copies "three" cannot be used; it takes a number, such as 3; line 1: policy.maxAge "2d"`,
		"policy: {maxAge: 3}":                                   `policy.maxAge "3" cannot be used; it takes a time with its unit`,
		"policy: {maxAge: 3ns}":                                 `policy.maxAge "3ns" cannot be used`,
		"policy: {offsite: -1}":                                 `policy.offsite "-1" cannot be used`,
		"state: x\nstate: y":                                    "line 2: state is there already, at line 1",
		"policy: {maxAge: 2h,\n MAXAGE: 3h}":                    "line 2: policy.MAXAGE is there already, at line 1",
		"locations: {a: {url: file:///x}, A: {url: file:///y}}": "line 1: locations.A is there already, at line 1",
		"gateway: x\nlocations:\n  x: null":                     "line 3: locations.x cannot be used; it takes a name with its settings",
		"locations:\n  x: {}":                                   "line 2: locations.x has no url",
		"locations:\n  a.b: {url: file:///x}":                   "line 2: locations.a.b: a name has letters, digits, - and _",
		"locations: null":                                       "line 1: locations cannot be used",
		"policy:\n  copies: 2.5":                                `line 2: policy.copies "2.5" cannot be used; it takes a number, such as 3`,
		"policy:\n  copies: true":                               `line 2: policy.copies "true" cannot be used`,
		"policy:\n  copies:":                                    `line 2: policy.copies "" cannot be used`,
		"gateway: null":                                         "line 1: gateway cannot be used; it takes one line of text",
		"fleets: {prod: {allow: 1}}":                            `line 1: fleets.prod.allow "1" cannot be used; it takes true or false`,
		"keys: {recipients: [x, null]}":                         "line 1: keys.recipients cannot be used; it takes a list",
		"keys: {identity: [[x]]}":                               "line 1: keys.identity cannot be used; it takes a list",
		"state: x\n---\nstate: y":                               "line 3: a second document begins",
		"state: x\n---\nstate: [":                               "line 3",
		"text":                                                  "line 1: it has to be KEY: VALUE",
		"fleets: {b: &b {urll: x}}":                             "line 1: unknown key urll in fleets.b",
		"keys:\n  <<: {identiti: x}":                            "line 2: unknown key identiti in keys; did you mean identity?",
		"locations: file:///x":                                  "locations: {local: {url: file:///var/backups/gwdr, media: disk, site: dc1}}",
		"- a":                                                   "it has to be KEY: VALUE",
		"keys: &k\n  <<: *k":                                    "anchor 'k' value contains itself",
		"locations:\n  a: &a {<<: [*a]}":                        "anchor 'a' value contains itself",
		"a: [":                                                  "did not find expected node content",
		"keys: {recipients: {AGE-SECRET-KEY-1: x}}":             "keys.recipients",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := loadConfig(file, func(string) string { return "" })
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%q: %v\nwant %s", text, err, want)
		} else if !strings.Contains(err.Error(), file) {
			t.Errorf("%q: %v does not name the file", text, err)
		}
	}
	for _, text := range []string{"", "---", "# nothing", "state: x\n---\n", "state: x\n...\n", "ping:\n", "policy: {maxAge: 0, copies: '3'}", "keys: {identity: a}",
		"locations: {a: &a {url: file:///x, media: disk}, b: {<<: *a, media: tape}}"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if c, err := loadConfig(file, func(string) string { return "" }); err != nil || c.Policy.Copies != 3 {
			t.Errorf("%q: %v", text, err)
		}
	}
	_, err := loadConfig("", func(name string) string { return map[string]string{"GWDR_POLICY_COPIES": "x"}[name] })
	if err == nil || !strings.Contains(err.Error(), `GWDR_POLICY_COPIES "x" cannot be used`) {
		t.Errorf("variable: %v", err)
	}
}
