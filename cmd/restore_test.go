package cmd

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gwdr/backup"
	"gwdr/gateway"
	"gwdr/gateway/native"
	"gwdr/restore"
)

func unpainted(_, text string) string { return text }

func entityOf(k gateway.Kind, id, body string) gateway.Entity {
	return gateway.Entity{Ref: gateway.Ref{Kind: k, ID: id}, Body: []byte(body)}
}

func TestCount(t *testing.T) {
	for want, got := range map[string]string{"1 key": count(1, "key"), "2 keys": count(2, "key"), "2 entities": count(2, "entity"), "0 copies": count(0, "copy")} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestWriteDiff(t *testing.T) {
	for name, test := range map[string]struct {
		change gateway.Change
		want   []string
	}{
		"a route": {
			gateway.Change{Op: gateway.Update, Entity: entityOf(gateway.Route, "r", `{"path":"/new","upstream":"echo"}`), Old: []byte(`{"path":"/old","upstream":"echo"}`)},
			[]string{`-  "path": "/old",`, `+  "path": "/new",`},
		},
		"a certificate": {
			gateway.Change{Op: gateway.Create, Entity: entityOf(gateway.Cert, "c", `{"chain":"x","pem":"-----BEGIN PRIVATE KEY-----S3CR3T","key":"S3CR3T"}`)},
			[]string{`+  "key": "***",`, `+  "pem": "***"`},
		},
		"a password in a URL": {
			gateway.Change{Op: gateway.Create, Entity: entityOf(gateway.Upstream, "u", `{"endpoints":[{"url":"http://me:S3CR3T@host:1/x?api_key=S3CR3T&n=1"}]}`)},
			[]string{`http://xxxxx@host:1/x?api_key=xxxxx&n=1`},
		},
		"a secret, nested": {
			gateway.Change{Op: gateway.Update, Entity: entityOf(gateway.Setting, "s", `{"credentials":{"a":["S3CR3T"]},"n":2}`), Old: []byte(`{"credentials":{"a":["S3CR3T"]},"n":1}`)},
			[]string{`-  "n": 1`, `+  "n": 2`},
		},
		"nothing but a secret": {
			gateway.Change{Op: gateway.Update, Entity: entityOf(gateway.Key, "k", `{"hash":"S3CR3T"}`), Old: []byte(`{"hash":"S3CR3T2"}`)},
			[]string{"masked here; 18 bytes before, 17 after"},
		},
		"not JSON": {
			gateway.Change{Op: gateway.Create, Entity: entityOf(gateway.Setting, "x", "token=S3CR3T")}, []string{"(12 bytes that are not JSON)"},
		},
		"a spec in YAML": {
			gateway.Change{Op: gateway.Create, Entity: entityOf(gateway.Spec, "x", "openapi: 3.1.0\x1b[31m\r\ninfo: {}")}, []string{"openapi: 3.1.0\uFFFD[31m", "+info: {}"},
		},
	} {
		var b strings.Builder
		writeDiff(&b, test.change, unpainted)
		for _, want := range test.want {
			if !strings.Contains(b.String(), want) {
				t.Errorf("%s: no %q in\n%s", name, want, b.String())
			}
		}
		if strings.Contains(b.String(), "S3CR3T") {
			t.Errorf("%s: a secret is shown:\n%s", name, b.String())
		}
	}
}

// TestPrintable: neither a finding nor an error, which name objects that strangers put at a location, steers the terminal.
func TestPrintable(t *testing.T) {
	const evil = "points/\x1b]0;owned\x07\u202e\u009b2J.tar"
	var stderr strings.Builder
	a := &app{Stderr: &stderr, Env: func(string) string { return "" }}
	a.noteFindings([]restore.Finding{{Subject: evil, Text: evil}})
	a.fail(t.Context(), errors.New("read "+evil+"\nand more"))
	if strings.ContainsAny(stderr.String(), "\x1b\x07\u202e\u009b") || strings.Count(stderr.String(), "\n") != 3 {
		t.Errorf("%q", stderr.String())
	}
}

// FuzzPresentable: whatever a body is, what is shown of it cannot steer the terminal.
func FuzzPresentable(f *testing.F) {
	for _, seed := range []string{"", `{"a":[1,"\u001b"]}`, "\x00", "\u009b", `{"url":"http://a:b@c/%zz"}`, `"\ud800"`, "openapi: 3\r\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		for _, k := range []gateway.Kind{gateway.Spec, gateway.Route} {
			for _, r := range string(presentable(k, []byte(body))) {
				if r < 0x20 && r != '\n' || r >= 0x7f && r < 0xa0 {
					t.Errorf("%q is shown with %q", body, r)
				}
			}
		}
	})
}

func TestWritePlan(t *testing.T) {
	p := &restore.Plan{Point: "points/20260304T100000Z-000000000000002a-0011aabb", Revision: 42, Lineage: "abcd", Time: time.Now().Add(-time.Hour),
		Provenance: map[string]int{"nas": 1, "local": 30}, Revoked: 1, EstimateS: 2.4,
		Kinds: map[gateway.Kind]restore.Counts{gateway.Route: {Create: 25, Update: 1, Delete: 1, Unchanged: 7}},
		Total: restore.Counts{Create: 25, Update: 1, Delete: 1, Unchanged: 7}}
	for range 25 {
		p.Changes = append(p.Changes, gateway.Change{Op: gateway.Create, Entity: entityOf(gateway.Route, "a\x1b[2J", `{}`)})
	}
	p.Changes = append(p.Changes,
		gateway.Change{Op: gateway.Update, Entity: entityOf(gateway.Route, "b", `{"n":1}`), Old: []byte(`{"n":2}`)},
		gateway.Change{Op: gateway.Delete, Entity: entityOf(gateway.Route, "c", ``), Old: []byte(`{}`)})
	for range 5 {
		p.Findings = append(p.Findings, restore.Finding{Subject: "nas", Text: "a point is missing"})
	}
	var b strings.Builder
	if err := writePlan(&b, p, unpainted, false); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	for _, want := range []string{"Restore point 20260304T100000Z-000000000000002a-0011aabb\n", "(1h0m0s ago), revision 42", "read from local (30 entities), nas (1 entity)",
		"  ! nas: a point is missing (and 2 more like this)\n", "+ route/a\uFFFD[2J\n", "+ 5 more (-v shows all)\n", "~ route/b\n", "- route/c\n",
		"route  25      1       1       7", "1 revocation made after", "Takes about 2s."} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	b.Reset()
	if err := writePlan(&b, p, unpainted, true); err != nil || !strings.Contains(b.String(), `+  "n": 1`) || strings.Contains(b.String(), "more (-v") {
		t.Errorf("%v\n%s", err, b.String())
	}
}

func TestParseKinds(t *testing.T) {
	got, err := parseKinds([]string{"routes", " Spec", "keys", "settings"})
	want := []gateway.Kind{gateway.Route, gateway.Spec, gateway.Key, gateway.Setting}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	if _, err := parseKinds([]string{"plugins"}); err == nil {
		t.Error("plugins is a kind")
	}
}

func TestPickCopies(t *testing.T) {
	copies := []backup.Copy{{Name: "local"}, {Name: "nas"}}
	got, others, err := pickCopies(copies, []string{"nas"})
	if err != nil || len(got) != 1 || got[0].Name != "nas" || len(others) != 1 || others[0].Name != "local" {
		t.Errorf("%v, and the others %v: %v", got, others, err)
	}
	if _, _, err := pickCopies(copies, []string{"moon"}); err == nil || !strings.Contains(err.Error(), "local, nas") {
		t.Error(err)
	}
}

// TestNotRead: whoever names the wrong thing is told which one is right.
func TestNotRead(t *testing.T) {
	for name, test := range map[string]struct {
		err  error
		code int
		hint string
	}{
		"the data plane's address": {fmt.Errorf("%w: %w", restore.ErrTarget, &native.Error{Status: http.StatusNotFound, Message: "no route matches"}), exitError, "gwdr serve --admin"},
		"a gateway that is gone":   {fmt.Errorf("%w: %w", restore.ErrTarget, &net.OpError{Op: "dial", Err: errors.New("refused")}), exitError, "is it running?"},
		"half a name":              {fmt.Errorf("point 2026 %w: a, b", restore.ErrAmbiguous), exitUsage, "give more of its name"},
	} {
		err := notRead(test.err, "is it running?")
		hinted := (*hintedError)(nil)
		if code := exitCode(t.Context(), err); code != test.code || !errors.As(err, &hinted) || !strings.Contains(hinted.hint, test.hint) {
			t.Errorf("%s: exit code %d, %+v; want %d, %q", name, code, hinted, test.code, test.hint)
		}
	}
}
