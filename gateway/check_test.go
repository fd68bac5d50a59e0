package gateway_test

import (
	"strings"
	"testing"

	"gwdr/gateway"
)

func TestCheckPasses(t *testing.T) {
	for _, e := range []gateway.Entity{
		entity(gateway.Route, "a", `{"path":"/orders/{id}","upstream":"echo","methods":["GET"],"hosts":["api.example","*.api.example"]}`),
		entity(gateway.Route, "b", `{"path":"/","upstream":"x","auth":"none","headers":{"X-A":"1"},"timeout":"250ms"}`),
		entity(gateway.Route, "c", `{"path":"/","upstream":"x","limit":{"rate":0.5},"max_body":1048576}`),
		entity(gateway.Route, "d", `{"path":"/","upstream":"x","auth":"none","limit":{"rate":5,"burst":20,"per":"address"}}`),
		entity(gateway.Route, "e", `{"path":"/x/{id}/{n}","upstream":"x","priority":-3,"match":{"headers":{"X-Amz-Target":"A.b","Content-Type":"text/plain"},
			"query":{"Action":"","Version":"1 2"},"params":{"id":"uuid","n":"integer"}}}`),
		entity(gateway.Route, "f", `{"path":"/","upstream":"x","match":{}}`),
		entity(gateway.Upstream, "a", `{"endpoints":[]}`),
		entity(gateway.Upstream, "b", `{"endpoints":[{"url":"http://[::1]:80/"}],"balance":"failover","health":{"path":"/ready"}}`),
		entity(gateway.Upstream, "c", `{"endpoints":[{"url":"http://a","weight":100}],"balance":"latency","outlier":{"max_ejected":100},"all_unhealthy":"fail-open"}`),
		entity(gateway.Upstream, "d", `{"endpoints":[],"breaker":{},"bulkhead":{"max_in_flight":1,"queue":2,"wait":"50ms"},"hedge_after":"30ms"}`),
		entity(gateway.Route, "e", `{"path":"/","upstream":"x","breaker":{"failures":1,"ratio":100,"window":"1m","open_for":"10ms","half_open":3}}`),
		entity(gateway.Key, "a", `{"hash":"`+strings.Repeat("aB", 32)+`","created":"2026-01-01T00:00:00Z"}`),
		entity(gateway.Revocation, "0123456789abcdef", `{"at":"2026-01-01T00:00:00Z"}`),
		entity(gateway.Consumer, "a", `{"name":"shop"}`),
		entity(gateway.Spec, "a", "openapi: 3.1.0"),
		entity(gateway.Cert, "a", `{"chain":"-----BEGIN CERTIFICATE-----\nMII..."}`),
		entity(gateway.Setting, "a", "{}"),
		entity(gateway.Setting, "jwt-", "{}"),
		entity(gateway.Route, "e", `{"path":"/","upstream":"x","auth":"jwt","scopes":["a"],"limit":{"rate":5}}`),
		entity(gateway.Route, "f", `{"path":"/","upstream":"x","auth":"any"}`),
		issuer(`"jwks":{"keys":[` + publicKey + `],"more":1}`),
		issuer(`"jwks_url":"https://id.example/keys?v=2","algorithms":["RS256","ES256","EdDSA"],"refresh":"10s","max_stale":"720h"`),
		issuer(`"jwks_url":"http://127.0.0.1:8080/keys","max_stale":"1m"`),
		issuer(`"jwks_url":"http://[::1]/keys"`),
		issuer(`"jwks_file":"/etc/gwdr/jwks.json"`),
	} {
		if err := gateway.Check(e); err != nil {
			t.Error(err)
		}
	}
}

// issuer has what is usual but its keys.
func issuer(more string) gateway.Entity {
	return entity(gateway.Setting, "jwt-a", `{"issuer":"https://id.example","audiences":["api"],`+more+`}`)
}

// publicKey is that of RFC 8037, appendix A.2.
const publicKey = `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`

func TestCheckRefusesIssuers(t *testing.T) {
	for more, want := range map[string]string{
		`"jwks":{"keys":[]}`: "has no key",
		`"jwks":[]`:          "must be an object with a list",
		`"algorithms":[]`:    "one of jwks, jwks_url and jwks_file",
		`"jwks_file":"/a","jwks_url":"https://a"`:                "one of jwks, jwks_url and jwks_file",
		`"jwks_file":"a/b"`:                                      "not an absolute path",
		`"jwks_url":"http://id.example/keys"`:                    "not https",
		`"jwks_url":"http://127.0.0.1.example/keys"`:             "not https",
		`"jwks_url":"file:///keys"`:                              "not https",
		`"jwks_url":"https:///keys"`:                             "not https",
		`"jwks_url":"https://u:hunter2@a"`:                       "without a password",
		`"jwks_url":"https://a","algorithms":["HS256"]`:          `not "HS256"`,
		`"jwks_url":"https://a","algorithms":["none"]`:           `not "none"`,
		`"jwks_url":"https://a","refresh":"1s"`:                  "10s or longer",
		`"jwks_url":"https://a","refresh":"2m","max_stale":"1m"`: "max_stale",
		`"jwks_url":"https://a","max_stale":"721h"`:              "max_stale",
		`"jwks_url":"https://a","jwks_uri":"https://a"`:          "unknown field",
		`"jwks_url":"https://a","audiences":[]`:                  "audiences",
		`"jwks_url":"https://a","audiences":[""]`:                "audiences",
		`"jwks_url":"https://a","issuer":""`:                     "issuer",
		`"jwks":{"keys":[{"kty":"oct","k":"AAAA"}]}`:             "key 1 of the JWKS is not a public one",
		`"jwks":{"keys":[` + strings.Replace(publicKey, "}", `,"d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}`, 1) + `]}`: "not a public one",
		`"jwks":{"keys":[` + strings.Replace(publicKey, "}", `,"use":"enc"}`, 1) + `]}`:                                       "has no key",
		`"jwks":{"keys":[` + strings.Replace(publicKey, "}", `,"alg":"ES256"}`, 1) + `]}`:                                     "has no key",
		`"jwks":{"keys":[{"kty":"OKP","crv":"X25519","x":"AAAA"},{"kty":"new"},5]}`:                                           "has no key",
		`"jwks":{"keys":[{"kty":"RSA","n":"` + strings.Repeat("_", 171) + `","e":"AQAB"}]}`:                                   "has no key", // 1024 bits
	} {
		err := gateway.Check(issuer(more))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: error is %v, want %s", more, err, want)
		}
	}
}

// manyFields are more than a match may have.
const manyFields = `"a":"","b":"","c":"","d":"","e":"","f":"","g":"","h":"","i":"","j":"","k":"","l":"","m":"","n":"","o":"","p":"","q":""`

func TestCheckRefuses(t *testing.T) {
	for body, kind := range map[string]gateway.Kind{
		``:                                 gateway.Route,
		`[]`:                               gateway.Route,
		`{"path":"/"}`:                     gateway.Route,
		`{"path":"orders","upstream":"a"}`: gateway.Route,
		`{"path":"/","upstream":"a","scopse":["b"]}`:                                 gateway.Route,
		`{"path":"/","upstream":"a"} {}`:                                             gateway.Route,
		`{"path":"/","upstream":"a","auth":"basic"}`:                                 gateway.Route,
		`{"path":"/","upstream":"a","auth":"none","scopes":["a"]}`:                   gateway.Route,
		`{"path":"/","upstream":"a","methods":["get"]}`:                              gateway.Route,
		`{"path":"/","upstream":"a","hosts":["a:80"]}`:                               gateway.Route,
		`{"path":"/","upstream":"a","hosts":["*"]}`:                                  gateway.Route,
		`{"path":"/","upstream":"a","hosts":["*."]}`:                                 gateway.Route,
		`{"path":"/","upstream":"a","hosts":["a.*.b"]}`:                              gateway.Route,
		`{"path":"/","upstream":"a","hosts":["*a.b"]}`:                               gateway.Route,
		`{"path":"/","upstream":"a","hosts":["*.*.b"]}`:                              gateway.Route,
		`{"path":"/","upstream":"a","hosts":["*..b"]}`:                               gateway.Route,
		`{"path":"/","upstream":"a","headers":{"Content-Length":"1"}}`:               gateway.Route,
		`{"path":"/","upstream":"a","headers":{"X-A":"b\r\nX-B: c"}}`:                gateway.Route,
		`{"path":"/","upstream":"a","max_body":-1}`:                                  gateway.Route,
		`{"path":"/","upstream":"a","priority":1.5}`:                                 gateway.Route,
		`{"path":"/","upstream":"a","match":{"methods":{}}}`:                         gateway.Route,
		`{"path":"/","upstream":"a","match":{"headers":{"Host":"a"}}}`:               gateway.Route,
		`{"path":"/","upstream":"a","match":{"headers":{"a b":"c"}}}`:                gateway.Route,
		`{"path":"/","upstream":"a","match":{"headers":{"A":" c"}}}`:                 gateway.Route,
		`{"path":"/","upstream":"a","match":{"headers":{"A":"b\n"}}}`:                gateway.Route,
		`{"path":"/","upstream":"a","match":{"headers":{"A-B":"","a-b":""}}}`:        gateway.Route,
		`{"path":"/","upstream":"a","match":{"headers":{"content-type":"a/b;c=d"}}}`: gateway.Route,
		`{"path":"/","upstream":"a","match":{"query":{"":"a"}}}`:                     gateway.Route,
		`{"path":"/","upstream":"a","match":{"query":{"a":"\u0000"}}}`:               gateway.Route,
		`{"path":"/{a}","upstream":"a","match":{"params":{"a":"number"}}}`:           gateway.Route,
		`{"path":"/{a}","upstream":"a","match":{"params":{"b":"integer"}}}`:          gateway.Route,
		`{"path":"/{a}.b","upstream":"a","match":{"params":{"a":"integer"}}}`:        gateway.Route,
		`{"path":"/{a...}","upstream":"a","match":{"params":{"a...":"integer"}}}`:    gateway.Route,
		`{"path":"/","upstream":"a","match":{"query":{` + manyFields + `}}}`:         gateway.Route,
		`{"path":"/","upstream":"a","limit":{}}`:                                     gateway.Route,
		`{"path":"/","upstream":"a","limit":{"rate":-1}}`:                            gateway.Route,
		`{"path":"/","upstream":"a","limit":{"rate":1,"burst":-1}}`:                  gateway.Route,
		`{"path":"/","upstream":"a","limit":{"rate":1,"per":"consumer"}}`:            gateway.Route,
		`{"path":"/","upstream":"a","limit":{"rate":1,"every":"1s"}}`:                gateway.Route,
		`{"path":"/","upstream":"a","auth":"none","limit":{"rate":1}}`:               gateway.Route,
		`{"path":"/","upstream":"a","timeout":"-1s"}`:                                gateway.Route,
		`{}`:                                                                           gateway.Upstream,
		`{"endpoints":null}`:                                                           gateway.Upstream,
		`{"endpoints":[{"url":"ftp://a"}]}`:                                            gateway.Upstream,
		`{"endpoints":[{"url":"http://"}]}`:                                            gateway.Upstream,
		`{"endpoints":[{"url":"http://a/b"}]}`:                                         gateway.Upstream,
		`{"endpoints":[{"url":"http://u:p@a"}]}`:                                       gateway.Upstream,
		`{"endpoints":[],"balance":"random"}`:                                          gateway.Upstream,
		`{"endpoints":[],"retries":-2}`:                                                gateway.Upstream,
		`{"endpoints":[],"retry_budget":-1}`:                                           gateway.Upstream,
		`{"endpoints":[],"retry_budget":1001}`:                                         gateway.Upstream,
		`{"endpoints":[],"health":{"path":"ready"}}`:                                   gateway.Upstream,
		`{"endpoints":[],"health":{"path":"/ready","unhealthy":-1}}`:                   gateway.Upstream,
		`{"endpoints":[{"url":"http://a","weight":101}]}`:                              gateway.Upstream,
		`{"endpoints":[{"url":"http://a","weight":-1}]}`:                               gateway.Upstream,
		`{"endpoints":[],"outlier":{"failures":-1}}`:                                   gateway.Upstream,
		`{"endpoints":[],"outlier":{"max_ejected":101}}`:                               gateway.Upstream,
		`{"endpoints":[],"hedge_after":30}`:                                            gateway.Upstream,
		`{"endpoints":[],"bulkhead":{}}`:                                               gateway.Upstream,
		`{"endpoints":[],"bulkhead":{"max_in_flight":1000001}}`:                        gateway.Upstream,
		`{"endpoints":[],"bulkhead":{"max_in_flight":1,"queue":-1}}`:                   gateway.Upstream,
		`{"path":"/","upstream":"a","bulkhead":{"max_in_flight":1,"wait":"2h"}}`:       gateway.Route,
		`{"endpoints":[],"breaker":{"failures":-1}}`:                                   gateway.Upstream,
		`{"endpoints":[],"breaker":{"ratio":101}}`:                                     gateway.Upstream,
		`{"endpoints":[],"breaker":{"ratio":0.5}}`:                                     gateway.Upstream,
		`{"endpoints":[],"breaker":{"window":"1ms"}}`:                                  gateway.Upstream,
		`{"endpoints":[],"breaker":{"open_for":"2h"}}`:                                 gateway.Upstream,
		`{"path":"/","upstream":"a","breaker":{"half_open":1001}}`:                     gateway.Route,
		`{"endpoints":[],"all_unhealthy":"open"}`:                                      gateway.Upstream,
		`{"hash":"abc"}`:                                                               gateway.Key,
		`{"hash":"` + strings.Repeat("0", 63) + `","created":"2026-01-01T00:00:00Z"}`:  gateway.Key,
		`{"hash":"` + strings.Repeat("0", 66) + `","created":"2026-01-01T00:00:00Z"}`:  gateway.Key,
		`{"hash":"` + strings.Repeat("zz", 32) + `","created":"2026-01-01T00:00:00Z"}`: gateway.Key,
	} {
		if err := gateway.Check(entity(kind, "x", body)); err == nil {
			t.Errorf("%s %s passes", kind, body)
		}
	}
	if err := gateway.Check(entity("plugin", "x", "{}")); err == nil || !strings.Contains(err.Error(), "there are setting, cert, upstream") {
		t.Errorf("an unknown kind: %v", err)
	}
	for _, kind := range []gateway.Kind{gateway.Spec, gateway.Cert} {
		for _, body := range []string{"", " \n", "{}", "null", `""`} {
			if err := gateway.Check(entity(kind, "x", body)); err == nil {
				t.Errorf("%s %q passes", kind, body)
			}
		}
	}
	for _, id := range []string{"x", "0123456789ABCDEF", "0123456789abcdef0"} {
		if err := gateway.Check(entity(gateway.Revocation, id, "{}")); err == nil {
			t.Errorf("revocation of %s passes", id)
		}
	}
}

// Whoever writes JSON by hand need not know Go.
func TestErrorsAreInWordsOfJSON(t *testing.T) {
	for _, c := range []struct {
		kind       gateway.Kind
		body, want string
	}{
		{gateway.Upstream, `{"endpoints":["http://a:1"]}`, "upstream/x: endpoints must be an object, not a string"},
		{gateway.Upstream, `{"endpoints":"http://a:1"}`, "upstream/x: endpoints must be an array, not a string"},
		{gateway.Upstream, `{"endpoints":[{"url":5}]}`, "upstream/x: endpoints.url must be a string, not a number"},
		{gateway.Upstream, `{"endpoints":[],"retries":1.5}`, "upstream/x: retries must be a whole number, not 1.5"},
		{gateway.Upstream, `{"endpoints":[],"timeout":5}`, "upstream/x: timeout must be a string, not a number"},
		{gateway.Upstream, `{"endpoints":[],"timeout":"5"}`, `upstream/x: "5" is not a duration such as 250ms or 30s`},
		{gateway.Upstream, `["http://a:1"]`, "upstream/x: body must be an object, not an array"},
		{gateway.Route, `{"path":true}`, "route/x: path must be a string, not true or false"},
		{gateway.Route, `{"paths":"/"}`, `route/x: unknown field "paths"`},
		{gateway.Route, `{"path":"/"`, "route/x: body is not JSON: it ends early: unexpected EOF"},
		{gateway.Route, `path: /`, "route/x: body is not JSON: invalid character 'p' looking for beginning of value"},
		{gateway.Key, `{"created":5}`, `key/x: a time must be a string such as "2026-03-04T10:00:00Z"`},
		{gateway.Key, `{"created":"now"}`, `key/x: "now" is not a time such as "2026-03-04T10:00:00Z"`},
	} {
		if err := gateway.Check(entity(c.kind, "x", c.body)); err == nil || err.Error() != c.want {
			t.Errorf("%s:\n%v, want\n%s", c.body, err, c.want)
		}
	}
}

func TestErrorsKeepAPasswordInAnEndpoint(t *testing.T) {
	for _, url := range []string{"http://u:hunter2@a", "http://u:hunter2@a b"} {
		err := gateway.Check(entity(gateway.Upstream, "x", `{"endpoints":[{"url":"`+url+`"}]}`))
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("error is %v", err)
		}
	}
}

func FuzzCheck(f *testing.F) {
	f.Add("route", `{"path":"/orders/{id}","upstream":"echo","headers":{"X-A":"1"}}`)
	f.Add("route", `{"path":"/{id}","upstream":"a","match":{"headers":{"Content-Type":"a/b"},"query":{"a":""},"params":{"id":"uuid"}}}`)
	f.Add("upstream", `{"endpoints":[{"url":"http://a:1"}],"health":{"path":"/"}}`)
	f.Add("key", `{"hash":"00"}`)
	f.Fuzz(func(t *testing.T, kind, body string) {
		_ = gateway.Check(entity(gateway.Kind(kind), "x", body)) // must not panic
	})
}

func TestBroken(t *testing.T) {
	for body, want := range map[string]int{`{}`: gateway.BrokenLimit, `{"outlier":{}}`: gateway.BrokenLimit, `{"outlier":{"failures":7}}`: 7} {
		var b gateway.UpstreamBody
		if err := gateway.Decode([]byte(body), &b); err != nil || b.Broken() != want {
			t.Errorf("%s: %d, want %d, %v", body, b.Broken(), want, err)
		}
	}
}
