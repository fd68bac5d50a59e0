package report

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gwdr/drills"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares got with testdata/name, or writes it there.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(string(got), "\n")); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func TestHTMLGolden(t *testing.T) {
	_, dir := chain(t, 3, nil)
	got, err := os.ReadFile(filepath.Join(dir, HTMLFile))
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "report.html", got)
}

// TestHTMLEscapes puts markup into everything that comes from people.
// TestHTMLOpenBounds shows what has no upper bound: a plane that never recovered, and a loss of unknown reach.
func TestHTMLOpenBounds(t *testing.T) {
	_, dir := chain(t, 1, nil)
	b, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	rta := b.Result.RTA["data"]
	rta.Recovered, rta.Impact, rta.HighS = false, "outage", 30
	b.Result.RTA["data"], b.Result.RPA.Open = rta, true
	var out bytes.Buffer
	if err := HTML(&out, b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"&gt; 30s, not recovered", "not recovered after 30s", `<td class="t">at least `} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the page does not say %q", want)
		}
	}
}

func TestHTMLEscapes(t *testing.T) {
	const evil = `</title></style><script>alert(1)</script><img src=x onerror=alert(1)>"'`
	dir := newRun().write(t, t.TempDir())
	result := judged(t, dir)
	b, err := open(dir, result)
	if err != nil {
		t.Fatal(err)
	}
	result.Title, result.Scenario, result.Reason, result.Evidence, result.Tool = evil, evil, evil, evil, evil
	result.Findings, result.Verdict = []string{evil}, drills.Verdict(evil)
	result.Objectives[0].ID, result.Objectives[0].Value, result.Objectives[0].Verdict = evil, evil, drills.Verdict(evil)
	result.Faults[0].ID, result.Faults[0].Targets = evil, []string{evil}
	result.Timeline[0].Phase = drills.Phase(evil)
	b.Facts.Faults[0].Detail, b.Facts.Steps[1].To, b.Facts.Digests[0].Error = evil, evil, evil
	b.Scenario.Metadata.Description, b.Scenario.Metadata.Owner, b.Scenario.Metadata.FalsePass = evil, evil, []string{evil}
	b.Scenario.Report.Controls = []string{evil + ":" + evil}
	b.Journal[0].Type, b.Journal[0].Data = "fault-verified", []byte(`{"id":"\u003cscript>alert(1)\u003c/script>"}`)
	var out bytes.Buffer
	if err := HTML(&out, b); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"<script", "<img", "<a ", "url(", "@import", "http:", "https:"} {
		if strings.Contains(out.String(), bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	if !strings.Contains(out.String(), "&lt;script&gt;") {
		t.Error("the page does not show the text")
	}
}

// TestHTMLOfLittle renders runs that have less to show: nothing measured, nothing injected, no outage.
func TestHTMLOfLittle(t *testing.T) {
	full := newRun()
	dir := full.write(t, t.TempDir())
	for name, less := range map[string]func(*Bundle){
		"nothing measured": func(b *Bundle) {
			b.Facts.Samples, b.Facts.Ledger, b.Facts.Survivors, b.Facts.Final, b.Facts.Digests = nil, nil, nil, nil, nil
		},
		"nothing injected": func(b *Bundle) { b.Facts.Faults, b.Journal = nil, nil },
		"no outage": func(b *Bundle) {
			for plane, rta := range b.Result.RTA {
				rta.Impact, rta.HighS = "none", 0
				b.Result.RTA[plane] = rta
			}
			b.Result.Outages = nil
		},
		"outage lasts": func(b *Bundle) { b.Result.Outages[0].End = 0 },
		"no timeline":  func(b *Bundle) { b.Result.Timeline, b.Result.Objectives = nil, nil },
	} {
		t.Run(name, func(t *testing.T) {
			b, err := open(dir, judged(t, dir))
			if err != nil {
				t.Fatal(err)
			}
			less(b)
			var out bytes.Buffer
			if err := HTML(&out, b); err != nil {
				t.Fatal(err)
			}
			if page := out.String(); strings.Contains(page, "NaN") || strings.Contains(page, "Inf") || !strings.HasSuffix(strings.TrimSpace(page), "</html>") {
				t.Error("the page is broken")
			}
		})
	}
}
