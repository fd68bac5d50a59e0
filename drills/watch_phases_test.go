package drills

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gwdr/probes"
)

// overTLS is what was recorded of a watch of one second over TLS, whose last certificate expires so long after its end.
func overTLS(kind string, left ...time.Duration) WatchFacts {
	began := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	f := WatchFacts{Started: began, Ended: began.Add(time.Second), Complete: true, Plan: WatchPlan{Stable: sec, Baseline: sec,
		Targets: []WatchTarget{{Kind: kind, URL: "https://gateway/", Expect: 200}}}}
	for _, name := range []string{"fresh", "keepalive"} {
		s := probes.Series{Name: name, Plane: probes.DataPlane, Interval: 100 * time.Millisecond, Timeout: sec}
		f.Plan.Series = append(f.Plan.Series, WatchSeries{Series: s, Fresh: name == "fresh"})
		for i := range 10 {
			due := time.Duration(i) * s.Interval
			a := probes.Sample{Series: name, Seq: int64(i), Due: due, Sent: due, Done: due + 2*time.Millisecond, Class: probes.OK, FirstByte: time.Millisecond}
			if name == "fresh" || i == 0 {
				a.Connect, a.Handshake = 100*time.Microsecond, 300*time.Microsecond
				a.TLS = &probes.TLS{Version: "TLS 1.3", NotAfter: f.Ended.Add(left[i*len(left)/10])}
			}
			f.Samples = append(f.Samples, a)
		}
	}
	return f
}

func TestAWatchSaysWhereTheTimeWent(t *testing.T) {
	r := JudgeWatch(overTLS("https", 15*24*time.Hour, 90*24*time.Hour))
	fresh, kept := r.Series[0], r.Series[1]
	if p := fresh.Phases; p == nil || p.DNS != nil || p.Connect.Count != 10 || p.TLS.P50S != 0.0003 || p.FirstByte.P99S != 0.001 {
		t.Errorf("fresh: %+v", p)
	}
	if p := kept.Phases; p == nil || p.Connect.Count != 1 || p.TLS.Count != 1 || p.FirstByte.Count != 10 {
		t.Errorf("kept alive: %+v", p)
	}
	want := &WatchTLS{Versions: map[string]int{"TLS 1.3": 10}, Refused: map[string]int{},
		NotAfter: r.Ended.Add(15 * 24 * time.Hour), NotAfterLast: r.Ended.Add(90 * 24 * time.Hour)}
	if diff := cmp.Diff(want, fresh.TLS); diff != "" {
		t.Error(diff)
	}
	if len(r.Warnings) > 0 || kept.TLS.Versions["TLS 1.3"] != 1 {
		t.Errorf("warnings %q, kept alive %+v", r.Warnings, kept.TLS)
	}
}

// TestAnOlderWatchIsJudgedAsItWas judges evidence whose samples have phases, and whose report had none.
func TestAnOlderWatchIsJudgedAsItWas(t *testing.T) {
	document, err := json.Marshal(JudgeWatch(overTLS("", time.Hour)))
	if err != nil {
		t.Fatal(err)
	}
	var r struct {
		Warnings []string
		Targets  []map[string]any
		Series   []map[string]any
	}
	if err := json.Unmarshal(document, &r); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]map[string]any{{"url": "https://gateway/", "expect": 200.0}}, r.Targets); diff != "" {
		t.Error(diff)
	}
	if _, phases := r.Series[0]["phases"]; phases || r.Series[0]["tls"] != nil || r.Warnings != nil {
		t.Errorf("it has got more than it had: %s", document)
	}
}

func TestAWatchWarnsOfCertificates(t *testing.T) {
	for name, c := range map[string]struct {
		left    time.Duration
		problem probes.TLSProblem
		want    []string
	}{
		"soon":      {13*24*time.Hour + time.Minute, "", []string{"certificate of https://gateway/ expires in 13 days, on 2026-12-09 12:01 UTC"}},
		"now":       {time.Hour, "", []string{"certificate of https://gateway/ expires in 1 hour, on 2026-11-26 13:00 UTC"}},
		"not soon":  {14 * 24 * time.Hour, "", nil},
		"never":     {24 * 36500 * time.Hour, "", nil},
		"not ours":  {90 * 24 * time.Hour, probes.UnknownAuthority, []string{"certificate of https://gateway/ was refused: its authority is not known here"}},
		"long gone": {-50 * time.Hour, probes.Expired, []string{"certificate of https://gateway/ was refused: it has expired, or is not valid yet", "certificate of https://gateway/ expired 2 days ago, on 2026-11-24 10:00 UTC"}},
	} {
		f := overTLS("https", c.left)
		for i := range f.Samples {
			if f.Samples[i].TLS != nil && c.problem != "" {
				f.Samples[i].Class, f.Samples[i].TLS.Version, f.Samples[i].TLS.Problem = probes.FailTLS, "", c.problem
			}
		}
		if diff := cmp.Diff(c.want, JudgeWatch(f).Warnings); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestTargetsAreNamedWithWhatTheyShouldAnswer(t *testing.T) {
	for want, target := range map[string]WatchTarget{
		"http://a/, expects 200":                           {URL: "http://a/", Expect: 200},
		"control, http://a/, expects 200":                  {Kind: "http", URL: "http://a/", Expect: 200, Control: true},
		"https://a/ over HTTP/2, expects 2xx, header A: b": {Kind: "https", URL: "https://a/", HTTP2: true, Want: WatchWant{Status: "2xx", Headers: []string{"A: b"}}},
		"https://a/, expects 200, body /x/, as b":          {Kind: "https", URL: "https://a/", Host: "b", Expect: 200, Want: WatchWant{Body: "/x/"}},
		"tcp://a:1, expects a connection":                  {Kind: "tcp", URL: "tcp://a:1"},
		"grpcs://a:1/b, expects SERVING":                   {Kind: "grpcs", URL: "grpcs://a:1/b"},
		"dns://a/b, expects a record":                      {Kind: "dns", URL: "dns://a/b"},
		"dns://a/b, expects 192.0.2.1, 192.0.2.2":          {Kind: "dns", URL: "dns://a/b", Want: WatchWant{Records: []string{"192.0.2.1", "192.0.2.2"}}},
	} {
		if got := target.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
