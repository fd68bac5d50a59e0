package gateway

import (
	"strings"
	"testing"
)

// TestSameContent: what the bundled gateway does not tell apart is no difference, and all else is one.
func TestSameContent(t *testing.T) {
	for _, c := range []struct {
		kind Kind
		a, b string
		same bool
	}{
		{Route, `{"path":"/a","upstream":"u"}`, ` { "upstream" : "u", "path" : "\u002fa" } `, true},
		{Route, `{"path":"/a","upstream":"u"}`,
			`{"path":"/a","upstream":"u","auth":"key","hosts":[],"methods":null,"scopes":[],"headers":{},"timeout":"0s","spec":""}`, true},
		{Route, `{"path":"/a","auth":"key"}`, `{"path":"/a","auth":"none"}`, false},
		{Route, `{"methods":["GET","POST"],"hosts":["A.example.","b"]}`, `{"hosts":["b","a.example"],"methods":["POST","GET","GET"]}`, true},
		{Route, `{"methods":["GET","POST"]}`, `{"methods":["GET"]}`, false},
		{Route, `{"timeout":"1500ms"}`, `{"timeout":"1.5s"}`, true},
		{Route, `{"timeout":"1500ms"}`, `{"timeout":"1.6s"}`, false},
		{Route, `{"path":"/a"}`, `{"path":"/a","unknown":null}`, false},
		{Route, `{"limit":{"rate":5}}`, `{"limit":{"rate":5.0,"burst":0,"per":"key"}}`, true},
		{Route, `{"limit":{"rate":5}}`, `{"limit":{"rate":5,"per":"route"}}`, false},
		{Route, `{"limit":{"rate":5}}`, `{}`, false},
		{Route, `{"limit":{"rate":5}}`, `{"limit":{"rate":5,"mode":"refuse","max_wait":"0s","shared":false,"on_loss":""}}`, true},
		{Route, `{"limit":{"rate":5,"shared":true}}`, `{"limit":{"rate":5,"shared":true,"on_loss":"local"}}`, true},
		{Route, `{"limit":{"rate":5,"shared":true}}`, `{"limit":{"rate":5,"shared":true,"on_loss":"deny"}}`, false},
		{Route, `{"limit":{"rate":5,"shared":true}}`, `{"limit":{"rate":5}}`, false},
		{Route, `{"limit":{"rate":5}}`, `{"limit":{"rate":5,"mode":"delay"}}`, false},
		{Route, `{"limit":{"rate":5,"mode":"delay","max_wait":"1500ms"}}`, `{"limit":{"rate":5,"mode":"delay","max_wait":"1.5s"}}`, true},
		{Route, `{"limit":null,"max_body":0}`, `{}`, true},
		{Route, `{"max_body":1000}`, `{"max_body":1e3}`, true},
		{Route, `{"max_body":1000}`, `{}`, false},
		{Route, `{"allow_from":["10.1.2.3/8","::1"],"deny_from":[]}`, `{"allow_from":["::1/128","10.0.0.0/8"]}`, true},
		{Route, `{"allow_from":["10.0.0.0/8"]}`, `{}`, false},
		{Route, `{"min_body_rate":0}`, `{}`, true},
		{Route, `{"min_body_rate":100}`, `{}`, false},
		{Route, `{"deny_from":["10.0.0.0/8"]}`, `{"deny_from":["10.0.0.0/9"]}`, false},
		{Route, `{"auth":5}`, `{}`, false},
		{Route, `{"headers":{"X-Team":"a"}}`, `{"headers":{"X-Team":"b"}}`, false},
		{Upstream, `{"endpoints":[{"url":"http://a:1"},{"url":"http://b:1"}]}`,
			`{"endpoints":[{"priority":0,"url":"http://b:1"},{"url":"http://a:1"}],"balance":"round-robin","retries":2,"connect_timeout":"1s",
			"timeout":"30s","health":{"interval":"5s"}}`, true},
		{Upstream, `{"endpoints":[{"url":"http://a:1"}]}`, `{"endpoints":[{"url":"http://a:1"},{"url":"http://a:1"}]}`, false},
		{Upstream, `{"endpoints":[{"url":"http://a:1","priority":1}]}`, `{"endpoints":[{"url":"http://a:1"}]}`, false},
		{Upstream, `{"endpoints":[{"url":"http://a:1","weight":1}]}`, `{"endpoints":[{"url":"http://a:1"}]}`, true},
		{Upstream, `{"endpoints":[{"url":"http://a:1","weight":2}]}`, `{"endpoints":[{"url":"http://a:1"}]}`, false},
		{Upstream, `{"balance":"latency"}`, `{}`, false},
		{Upstream, `{"all_unhealthy":"fail-closed","slow_start":"0s","outlier":null}`, `{}`, true},
		{Upstream, `{"all_unhealthy":"fail-open"}`, `{}`, false},
		{Upstream, `{"outlier":{}}`, `{"outlier":{"failures":3,"ejection":"1000ms","max_ejected":50}}`, true},
		{Upstream, `{"outlier":{}}`, `{}`, false},
		{Upstream, `{"breaker":{}}`, `{"breaker":{"failures":5,"ratio":50,"window":"10000ms","open_for":"5s","half_open":1}}`, true},
		{Upstream, `{"breaker":{}}`, `{}`, false},
		{Route, `{"hedge_after":"0s"}`, `{}`, true},
		{Upstream, `{"hedge_after":"60s"}`, `{"hedge_after":"1m"}`, true},
		{Upstream, `{"bulkhead":{"max_in_flight":9,"queue":0,"wait":"3s"}}`, `{"bulkhead":{"max_in_flight":9}}`, true},
		{Upstream, `{"bulkhead":{"max_in_flight":9,"queue":1,"wait":"1000ms"}}`, `{"bulkhead":{"max_in_flight":9,"queue":1}}`, true},
		{Upstream, `{"bulkhead":{"max_in_flight":9,"queue":1}}`, `{"bulkhead":{"max_in_flight":9}}`, false},
		{Route, `{"breaker":{"failures":0}}`, `{"breaker":{}}`, true},
		{Route, `{"breaker":{"failures":6}}`, `{"breaker":{}}`, false},
		{Upstream, `{"endpoints":[]}`, `{}`, false},
		{Upstream, `{"retries":0}`, `{"retries":2.0}`, true},
		{Upstream, `{"retry_budget":20}`, `{}`, true},
		{Upstream, `{"retry_budget":50}`, `{}`, false},
		{Upstream, `{"total_timeout":"0s","idle_timeout":"0s"}`, `{}`, true},
		{Upstream, `{"total_timeout":"60s","idle_timeout":"90s"}`, `{"total_timeout":"1m","idle_timeout":"1m30s"}`, true},
		{Upstream, `{"total_timeout":"60s"}`, `{}`, false},
		{Upstream, `{"idle_timeout":"60s"}`, `{}`, false},
		{Upstream, `{"retries":-1}`, `{}`, false},
		{Upstream, `{"health":{"path":"/h"}}`, `{"health":{"path":"/h","interval":"1s","timeout":"1000ms","unhealthy":2,"healthy":1}}`, true},
		{Upstream, `{"health":{"path":"/h","interval":"5s"}}`, `{"health":{"path":"/h","interval":"5s","timeout":"5s"}}`, true},
		{Upstream, `{"health":{"path":"/h","interval":"5s"}}`, `{"health":{"path":"/h","interval":"5s","timeout":"1s"}}`, false},
		{Upstream, `{"health":{"interval":"5s"}}`, `{"health":{"path":"/h","interval":"5s"}}`, false},
		{Key, `{"hash":"ab","created":"2026-03-04T10:00:00Z"}`, `{"hash":"AB","created":"2025-03-04T10:00:00Z","consumer":""}`, true},
		{Key, `{"hash":"ab"}`, `{"hash":"ac"}`, false},
		{Key, `{"expires":"2027-01-01T00:00:00Z"}`, `{"expires":"2027-01-01T01:00:00.000+01:00"}`, true},
		{Key, `{"expires":"2027-01-01T00:00:00Z"}`, `{"expires":"2027-01-01T00:00:01Z"}`, false},
		{Key, `{"expires":"2027-01-01T00:00:00Z"}`, `{}`, false},
		{Key, `{"scopes":["a","b"]}`, `{"scopes":["b","a"]}`, true},
		{Revocation, `{"at":"2026-03-04T10:00:00Z"}`, `{"at":"2026-03-04T11:00:00Z","reason":""}`, true},
		{Revocation, `{"reason":"leaked"}`, `{"reason":"deleted"}`, false},
		{Consumer, `{"name":""}`, `{}`, true},
		{Setting, `{"a":[1,2]}`, `{"a":[2,1]}`, false},
		{Setting, `{"a":1.50,"b":0,"c":100}`, `{"c":1e2,"b":-0.0,"a":15e-1}`, true},
		{Setting, `{"created":"x","auth":"key"}`, `{}`, false},
		{Setting, `0.1`, `0.10000000000000000001`, false},
		{Setting, `123456789012345678901234567890`, `123456789012345678901234567891`, false},
		{Setting, `1e400`, `1e401`, false},
		{Setting, `1e400`, `10e399`, true},
		{Setting, `"\ud800"`, `"\udbff"`, false},
		{Setting, `"\ud83d\ude00"`, `"😀"`, true},
		{Setting, "\"a\xff\"", "\"a\xfe\"", false},
		{Setting, `{"a":1,"a":2}`, `{"a":2}`, false},
		{Setting, `plain`, ` plain`, false},
		{Setting, "a: 1", "a:  1", false},
		{Cert, "-----BEGIN\r\n", "-----BEGIN\n", false},
		{Spec, "a: 1\n", "# a\na:   1.0\n", true},
		{Spec, "\uFEFFa: 1\n", `{"a":1}`, true},
		{Spec, "a: plain\n", `{"a":"plain"}`, true},
		{Spec, "plain\ntext", "plain text", false},
		{Spec, "a: 1\n---\nb: 1\n", "a: 1\n---\nb: 2\n", false},
		{Spec, "a: 1\na: 2\n", "a: 2\n", false},
	} {
		if got := SameContent(c.kind, []byte(c.a), []byte(c.b)); got != c.same {
			t.Errorf("%s: %s and %s are the same: %v", c.kind, c.a, c.b, got)
		}
		if got := SameContent(c.kind, []byte(c.b), []byte(c.a)); got != c.same {
			t.Errorf("%s: %s and %s are the same: %v", c.kind, c.b, c.a, got)
		}
	}
}

// TestCanonicalYAML: a document says the same in YAML and in JSON.
func TestCanonicalYAML(t *testing.T) {
	for text, want := range map[string]string{
		"a: {200: x, true: y, 1.0: z}":                                  `{"a":{"1.0":"z","200":"x","true":"y"}}`,
		"a: [0x1f, 0o17, 1_000, +1, .5, 1., ~]":                         `{"a":[31,15,1000,1,0.5,1,null]}`,
		"a: [True, FALSE, yes, 2020-01-01]":                             `{"a":[true,false,"yes","2020-01-01"]}`,
		"a: [1e3, 1.25e+1, 18446744073709551615, 99999999999999999999]": `{"a":[1000,12.5,18446744073709551615,99999999999999999999]}`,
		"a: |\n  x\n  y\nb: >\n  x\n  y\n":                              `{"a":"x\ny\n","b":"x y\n"}`,
		"a: &x {k: 1, l: 2}\nb: {<<: *x, l: 3}\nc: *x":                  `{"a":{"k":1,"l":2},"b":{"k":1,"l":3},"c":{"k":1,"l":2}}`,
		"a: [{<<: [{k: 1}, {k: 2, l: 2}]}]":                             `{"a":[{"k":1,"l":2}]}`,
		`{"<<": {"k": 1}, b: "\u00fc"}`:                                 `{"<<":{"k":1},"b":"ü"}`,
	} {
		got, ok := Canonical(Spec, []byte(text))
		if !ok || string(got) != want {
			t.Errorf("%q: %s, %v, want %s", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "a", "- *x", "a: .inf", "a: .nan", "a: !mine x", "a: !!binary eA==", "a: !!set {x}", "? [a]\n: b", "~: a", "a: [",
		"<<: 1", "a: &a [*a]", strings.Repeat("[", 3000), billionLaughs()} {
		if got, ok := Canonical(Spec, []byte(text)); ok {
			t.Errorf("%.40q was read as %.40s", text, got)
		}
	}
}

// billionLaughs is a small text that says a lot.
func billionLaughs() string {
	var b strings.Builder
	b.WriteString("a0: &a0 [x]\n")
	for i := range 20 {
		name := string(rune('b' + i))
		before := "a0"
		if i > 0 {
			before = string(rune('b' + i - 1))
		}
		b.WriteString(name + ": &" + name + " [*" + before + ", *" + before + ", *" + before + ", *" + before + "]\n")
	}
	return b.String()
}
