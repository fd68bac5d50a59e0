package vantage

import (
	"crypto/tls"
	"encoding/json"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"gwdr/probes"
)

// FuzzBatch wants no panic, and of what is taken everything within its bounds.
func FuzzBatch(f *testing.F) {
	for _, line := range []string{
		`{"first":3,"now_ns":5,"samples":[{"series":"eu","seq":1,"due_ns":1,"sent_ns":2,"done_ns":3,"class":"ok"}]}`,
		`{"first":0,"now_ns":5,"end":"stopped"}`, `{"first":-1}`, `{"first":0}{}`, `{"samples":[{"series":"eu","class":"fail:"}]}`,
		`{"samples":[{"series":"eu","class":"ok","due_ns":9223372036854775807}]}`, `null`, `[]`, "",
	} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		b, err := decodeBatch(line, map[string]bool{"eu": true})
		if err != nil {
			return
		}
		if b.First < 0 || b.Now < 0 || len(b.Samples) > maxBatch || !b.End.known() {
			t.Errorf("%+v", b)
		}
		for _, s := range b.Samples {
			if s.Series != "eu" || s.Seq < 0 || s.Due < 0 || s.Done < s.Sent || s.Done > maxInstant || s.Class == "" {
				t.Errorf("%+v", s)
			}
		}
		again, err := json.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		if c, err := decodeBatch(again, map[string]bool{"eu": true}); err != nil || !cmp.Equal(b, c, cmpopts.EquateEmpty()) {
			t.Errorf("%s: %v: %s", again, err, cmp.Diff(b, c, cmpopts.EquateEmpty()))
		}
	})
}

// FuzzPlan wants no panic, and of what is taken nothing that an agent could not carry out.
func FuzzPlan(f *testing.F) {
	good, err := json.Marshal(newPlan("http://localhost/"))
	if err != nil {
		f.Fatal(err)
	}
	for _, text := range []string{string(good), `{"schema":"gwdr/vantage/v2"}`, `{"schema":"gwdr/vantage/v1","series":[{}]}`, `[]`, "",
		strings.Replace(string(good), `"fresh"`, `"fresher"`, 1), strings.Replace(string(good), "10000000", "1", 1)} {
		f.Add([]byte(text))
	}
	agent := &Agent{MaxRate: 1000, MaxFor: time.Hour, Allow: []string{"localhost"}}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := readPlan(strings.NewReader(string(text)))
		if err != nil || agent.admit(p) != nil {
			return
		}
		if rateOf(p) > 1000 || len(p.Series) > maxSeries || p.For > time.Hour || p.For < 0 {
			t.Errorf("%+v", p)
		}
		for _, s := range p.Series {
			if s.Interval < time.Millisecond || s.Timeout <= 0 || s.Target != nil && !strings.Contains(strings.ToLower(s.Target.URL), "localhost") {
				t.Errorf("%+v", s)
			}
		}
	})
}

// TestTargetsTravelWhole sets every field of a request: a new one must be carried, or this test says so.
func TestTargetsTravelWhole(t *testing.T) {
	r := probes.Request{
		URL: "https://localhost/", Host: "example.com", Header: map[string]string{"A": "b"}, Expect: 204, Send: []byte{0, 255},
		Echo: true, Fresh: true, HTTP2: true, TLS: &tls.Config{ServerName: "example.com"},
		Want: probes.Expectation{Status: "2xx", Header: map[string]*regexp.Regexp{"B": regexp.MustCompile("^c"), "D": nil}, Contains: "e",
			Match: regexp.MustCompile("f+"), SHA256: "00", Records: []string{"192.0.2.1"}},
	}
	for _, v := range []reflect.Value{reflect.ValueOf(r), reflect.ValueOf(r.Want)} {
		for i := range v.NumField() {
			if field := v.Type().Field(i); field.IsExported() && v.Field(i).IsZero() {
				t.Errorf("%s.%s is not carried to agents, or not tested", v.Type(), field.Name)
			}
		}
	}
	target, err := TargetOf(r)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(target)
	if err != nil {
		t.Fatal(err)
	}
	var arrived Target
	if err := json.Unmarshal(text, &arrived); err != nil {
		t.Fatal(err)
	}
	got, err := arrived.Request()
	if err != nil {
		t.Fatal(err)
	}
	pattern := cmp.Comparer(func(a, b *regexp.Regexp) bool {
		return (a == nil) == (b == nil) && (a == nil || a.String() == b.String())
	})
	if got.TLS == nil || got.TLS.ServerName != r.TLS.ServerName {
		t.Error("the name of the server is lost")
	}
	got.TLS, r.TLS = nil, nil
	if diff := cmp.Diff(r, got, pattern, cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".dial" }, cmp.Ignore())); diff != "" {
		t.Error(diff)
	}
	for _, config := range []*tls.Config{{InsecureSkipVerify: true}, {MinVersion: tls.VersionTLS13}, {NextProtos: []string{"h2"}}} {
		if _, err := TargetOf(probes.Request{URL: "https://localhost/", TLS: config}); err == nil {
			t.Errorf("%+v was sent without its settings", config)
		}
	}
}

func TestAllow(t *testing.T) {
	a := &Agent{Allow: []string{"API.example.com", "*.internal", "db:5432", "[::1]:80", "10.0.0.1"}}
	for text, want := range map[string]bool{
		"https://api.example.com/": true, "http://api.example.com:81/": true, "http://example.com/": false, "http://xapi.example.com/": false,
		"http://a.internal/": true, "http://internal/": false, "http://a.internal.evil/": false, "http://xinternal/": false,
		"tcp://db:5432": true, "tcp://db:5433": false, "http://db/": false, "http://[::1]/": true, "http://[::1]:81/": false,
		"http://10.0.0.1:9/": true, "http://10.0.0.10/": false, "http://api.example.com@evil/": false, "http://evil/?api.example.com": false,
	} {
		p := newPlan(text)
		p.Series[0].Interval, p.Series[1].Interval = time.Second, time.Second
		a.MaxRate = 10
		if got := a.admit(p) == nil; got != want {
			t.Errorf("%s: allowed %v, want %v", text, got, want)
		}
	}
}

func TestBufferIsBounded(t *testing.T) {
	b := newBuffer(time.Now())
	for i := range int64(maxBuffered + 10) {
		b.add(probes.Sample{Seq: i})
	}
	batch, more := b.batch(0)
	if len(b.samples) != maxBuffered || batch.First != 10 || len(batch.Samples) != maxBatch || !more || batch.Samples[0].Seq != 10 {
		t.Errorf("%d kept, from %d on", len(b.samples), batch.First)
	}
	b.acknowledge(5) // which is gone already
	b.acknowledge(maxBuffered)
	b.close(Stopped)
	b.close(Lapsed)
	batch, more = b.batch(0)
	if batch.First != maxBuffered || len(batch.Samples) != 10 || more || batch.End != Stopped {
		t.Errorf("%d from %d on, %q", len(batch.Samples), batch.First, batch.End)
	}
	b.acknowledge(1 << 40)
	if batch, _ = b.batch(1 << 50); len(batch.Samples) != 0 || batch.First != maxBuffered+10 {
		t.Errorf("%+v, want nothing", batch)
	}
	if !slices.Equal(b.samples, nil) {
		t.Error("something is kept")
	}
}
