package proxy

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"gwdr/gateway"
)

func TestTokens(t *testing.T) {
	rs, es, ed := newSigner(t, "rs", jose.RS256), newSigner(t, "es", jose.ES256), newSigner(t, "ed", jose.EdDSA)
	stranger, unnamed := newSigner(t, "es", jose.ES256), es
	unnamed.id = ""
	public, err := jose.JSONWebKey{Key: rs.public}.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	confused := signer{id: "rs", by: jose.HS256, private: public}
	narrow, neighbour := newSigner(t, "", jose.EdDSA), newSigner(t, "next", jose.ES256)
	key, keyText := keyEntity([]string{"read"}, nil)
	b := backend(t, "echo")
	g := newGateway(t, Options{}, upstreamOf("u", b.URL), issuerOf(t, "main", rs, es, ed), key,
		entity(gateway.Setting, "jwt-narrow", gateway.IssuerBody{Issuer: "narrow", Audiences: []string{"x", "y"}, JWKS: keySetOf(t, narrow),
			Algorithms: []jose.SignatureAlgorithm{jose.EdDSA}}),
		entity(gateway.Setting, "jwt-only-rsa", gateway.IssuerBody{Issuer: "rsa", Audiences: []string{"api"}, JWKS: keySetOf(t, rs, es),
			Algorithms: []jose.SignatureAlgorithm{jose.RS256}}),
		entity(gateway.Setting, "jwt-next", gateway.IssuerBody{Issuer: "next", Audiences: []string{"api"}, JWKS: keySetOf(t, neighbour)}),
		tokenRoute("jwt", "jwt"), tokenRoute("scoped", "jwt", "read", "write"), tokenRoute("any", "any"), tokenRoute("key", "key"))
	url := serve(t, g)
	type set = map[string]any
	now := time.Now()
	in := func(d time.Duration) int64 { return now.Add(d).Unix() }
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + es.token(t, nil)[strings.IndexByte(es.token(t, nil), '.'):]
	for name, c := range map[string]struct {
		path, token string
		status      int
		text        string
	}{
		"RS256":                     {"/jwt", rs.token(t, nil), 200, ""},
		"ES256":                     {"/jwt", es.token(t, nil), 200, ""},
		"EdDSA":                     {"/jwt", ed.token(t, nil), 200, ""},
		"one of its audiences":      {"/jwt", es.token(t, set{"aud": []string{"other", "api"}}), 200, ""},
		"typ of an access token":    {"/jwt", es.token(t, nil, jose.HeaderType, "at+JWT"), 200, ""},
		"typ with application":      {"/jwt", es.token(t, nil, jose.HeaderType, "application/jwt"), 200, ""},
		"scope in a text":           {"/scoped", es.token(t, set{"scope": "write read"}), 200, ""},
		"scope in a list":           {"/scoped", es.token(t, set{"scope": []string{"write", "read"}}), 200, ""},
		"scp in a list":             {"/scoped", es.token(t, set{"scp": []string{"write", "read"}}), 200, ""},
		"scp in a text, and scope":  {"/scoped", es.token(t, set{"scp": "read", "scope": "write"}), 200, ""},
		"expired within the leeway": {"/jwt", es.token(t, set{"exp": in(-10 * time.Second)}), 200, ""},
		"begins within the leeway":  {"/jwt", es.token(t, set{"nbf": in(20 * time.Second)}), 200, ""},
		"the only key":              {"/jwt", narrow.token(t, set{"iss": "narrow", "aud": "y"}), 200, ""},
		"either way":                {"/any", es.token(t, nil), 200, ""},
		"either way, a key":         {"/any", keyText, 200, ""},

		"a scope is missing":          {"/scoped", es.token(t, set{"scope": "read"}), 403, "lacks scope write"},
		"scopes with no separator":    {"/scoped", es.token(t, set{"scope": "readwrite"}), 403, "lacks scope"},
		"none presented":              {"/jwt", "", 401, "a token is required"},
		"neither presented":           {"/any", "", 401, "an API key or a token is required"},
		"a key where a token must be": {"/jwt", keyText, 401, "a token is required"},
		"a token where a key must be": {"/key", es.token(t, nil), 401, "an API key is required"},
		"expired":                     {"/jwt", es.token(t, set{"exp": in(-40 * time.Second)}), 401, "expired"},
		"not yet":                     {"/jwt", es.token(t, set{"nbf": in(time.Minute)}), 401, "not valid yet"},
		"issued later":                {"/jwt", es.token(t, set{"iat": in(time.Minute)}), 401, "not valid yet"},
		"no expiry":                   {"/jwt", es.token(t, set{"exp": nil}), 401, "needs an expiry"},
		"no subject":                  {"/jwt", es.token(t, set{"sub": nil}), 401, "and a subject"},
		"long subject":                {"/jwt", es.token(t, set{"sub": strings.Repeat("x", 256)}), 401, "at most 255"},
		"another audience":            {"/jwt", es.token(t, set{"aud": "other"}), 401, "another audience"},
		"no audience":                 {"/jwt", es.token(t, set{"aud": nil}), 401, "another audience"},
		"another issuer":              {"/jwt", es.token(t, set{"iss": "https://id.example/"}), 401, "not valid"},
		"no issuer":                   {"/jwt", es.token(t, set{"iss": nil}), 401, "not valid"},
		"another's key":               {"/jwt", stranger.token(t, nil), 401, "not valid"},
		"another's key, expired":      {"/jwt", stranger.token(t, set{"exp": in(-time.Hour)}), 401, "not valid"},
		"a key of another issuer":     {"/jwt", neighbour.token(t, nil), 401, "not valid"},
		"a key as of another issuer":  {"/jwt", es.token(t, set{"iss": "next"}), 401, "not valid"},
		"an unknown key":              {"/jwt", newSigner(t, "new", jose.ES256).token(t, nil), 401, "not valid"},
		"of several keys, none named": {"/jwt", unnamed.token(t, nil), 401, "not valid"},
		"an algorithm it may not":     {"/jwt", es.token(t, set{"iss": "rsa"}), 401, "not valid"},
		"another algorithm's key":     {"/jwt", signer{id: "ed", by: es.by, private: es.private}.token(t, nil), 401, "not valid"},
		"RS256 by an EC key":          {"/jwt", signer{id: "es", by: rs.by, private: rs.private}.token(t, nil), 401, "not valid"},
		"HS256 by the public key":     {"/jwt", confused.token(t, nil), 401, "malformed"},
		"alg none":                    {"/jwt", none, 401, "malformed"},
		"alg none, no signature":      {"/jwt", none[:strings.LastIndexByte(none, '.')+1], 401, "malformed"},
		"critical":                    {"/jwt", es.token(t, nil, "crit", []string{"exp"}, "exp", 5), 401, ""},
		"typ of a logout":             {"/jwt", es.token(t, nil, jose.HeaderType, "logout+jwt"), 401, "malformed"},
		"typ of no text":              {"/jwt", es.token(t, nil, jose.HeaderType, 5), 401, "malformed"},
		"cut":                         {"/jwt", es.token(t, nil)[:100], 401, "malformed"},
		"signature cut":               {"/jwt", strings.TrimRight(es.token(t, nil), "=")[:len(es.token(t, nil))-8], 401, ""},
		"too large":                   {"/jwt", es.token(t, set{"x": strings.Repeat("x", 8<<10)}), 401, "malformed"},
		"expiry of no number":         {"/jwt", es.token(t, set{"exp": "soon"}), 401, "malformed"},
		"scope of no text":            {"/jwt", es.token(t, set{"scope": 5}), 401, "malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			header := []string{"Authorization", "Bearer " + c.token}
			if c.token == "" {
				header = nil
			}
			got := get(t, url+c.path, header...)
			if got.Status != c.status || !strings.Contains(got.Body, c.text) {
				t.Errorf("answer is %d %s", got.Status, got.Body)
			}
			if challenge := got.Header.Get("WWW-Authenticate"); (challenge != "") != (c.status == 401) {
				t.Errorf("challenge is %q", challenge)
			}
		})
	}
	two := []string{"Authorization", "Bearer " + es.token(t, nil), "X-Api-Key", keyText}
	for path, status := range map[string]int{"/any": 401, "/jwt": 200, "/key": 200} {
		if got := get(t, url+path, two...); got.Status != status {
			t.Errorf("%s with a token and a key is %d %s", path, got.Status, got.Body)
		}
	}
	if got := get(t, url+"/jwt", "Authorization", "Bearer "+es.token(t, nil), "Authorization", "Bearer "+es.token(t, nil)); got.Status != 401 {
		t.Errorf("two tokens: %d", got.Status)
	}
}

// TestOneIssuerTwice: whoever calls itself the same as another is told from it by its audience.
func TestOneIssuerTwice(t *testing.T) {
	s := newSigner(t, "k", jose.EdDSA)
	twin := func(name, audience string) gateway.Entity {
		return entity(gateway.Setting, "jwt-"+name, gateway.IssuerBody{Issuer: "https://id.example", Audiences: []string{audience}, JWKS: keySetOf(t, s)})
	}
	g := newGateway(t, Options{}, upstreamOf("u"), tokenRoute("r", "jwt"), twin("a", "shop"), twin("b", "api"))
	if got := opened(g, "/r", s.token(t, nil)); got != http.StatusServiceUnavailable {
		t.Errorf("with both: %d", got)
	}
	if err := g.Update(gateway.Batch{Revision: 2, Changes: []gateway.Change{remove(twin("b", "api"))}}); err != nil {
		t.Fatal(err)
	}
	if got := opened(g, "/r", s.token(t, nil)); got != http.StatusUnauthorized {
		t.Errorf("without the one: %d", got)
	}
}

// opened asks for the path, and returns the status: 503 of an upstream without endpoints if the door is open.
func opened(g *Gateway, path, token string) int {
	rec, req := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, path, nil)
	req.Header.Set("Authorization", "Bearer "+token)
	g.ServeHTTP(rec, req)
	return rec.Code
}

// TestTokensGoOn: the upstream gets the token, and never an API key that opened a route.
func TestTokensGoOn(t *testing.T) {
	s := newSigner(t, "k", jose.ES256)
	key, keyText := keyEntity(nil, nil)
	var got http.Header
	back := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Clone() }))
	t.Cleanup(back.Close)
	url := serve(t, newGateway(t, Options{}, upstreamOf("u", back.URL), issuerOf(t, "main", s), key, tokenRoute("jwt", "jwt"), tokenRoute("any", "any")))
	bearer := "Bearer " + s.token(t, nil)
	for _, c := range []struct{ path, authorization, apiKey, passed, passedKey string }{
		{"/jwt", bearer, "the upstream's own", bearer, "the upstream's own"},
		{"/any", bearer, "", bearer, ""},
		{"/any", "Bearer " + keyText, "", "", ""},
		{"/any", "Basic eDp5", keyText, "Basic eDp5", ""},
	} {
		header := []string{"Authorization", c.authorization}
		if c.apiKey != "" {
			header = append(header, "X-Api-Key", c.apiKey)
		}
		if r := get(t, url+c.path, header...); r.Status != 200 || got.Get("Authorization") != c.passed || got.Get("X-Api-Key") != c.passedKey {
			t.Errorf("%s %s: %d, passed %v", c.path, c.authorization, r.Status, got)
		}
	}
}

// TestLimitPerSubject: who has so many is the subject of an issuer.
func TestLimitPerSubject(t *testing.T) {
	s, other := newSigner(t, "k", jose.EdDSA), newSigner(t, "k", jose.EdDSA)
	key, keyText := keyEntity(nil, nil)
	g := newGateway(t, Options{}, upstreamOf("u"), issuerOf(t, "main", s), key,
		entity(gateway.Setting, "jwt-other", gateway.IssuerBody{Issuer: "other", Audiences: []string{"api"}, JWKS: keySetOf(t, other)}),
		entity(gateway.Route, "r", gateway.RouteBody{Path: "/r", Upstream: "u", Auth: gateway.AuthAny, Limit: &gateway.Limit{Rate: 0.001, Burst: 1}}))
	type set = map[string]any
	for i, c := range []struct {
		token  string
		status int
	}{
		{s.token(t, nil), 503}, {s.token(t, set{"jti": "another"}), 429}, {s.token(t, set{"sub": "bob"}), 503},
		{other.token(t, set{"iss": "other"}), 503}, {other.token(t, set{"iss": "other"}), 429}, {keyText, 503}, {keyText, 429},
		{s.token(t, set{"sub": key.ID}), 503},
	} {
		if got := opened(g, "/r", c.token); got != c.status {
			t.Errorf("request %d is answered %d, want %d", i, got, c.status)
		}
	}
}

// TestAccessLogOfTokens: it says whose token it was, and neither about whom nor the token.
func TestAccessLogOfTokens(t *testing.T) {
	var lines bytes.Buffer
	s := newSigner(t, "k", jose.EdDSA)
	g := newGateway(t, Options{Access: slog.New(slog.NewJSONHandler(&lines, nil))}, upstreamOf("u"), issuerOf(t, "main", s), tokenRoute("r", "jwt", "x"))
	text := s.token(t, map[string]any{"sub": "ann@example.com", "scope": "x"})
	opened(g, "/r", text)
	if got := lines.String(); !strings.Contains(got, `"issuer":"main"`) || strings.Contains(got, "ann") || strings.Contains(got, text) {
		t.Errorf("let in: %s", got)
	}
	lines.Reset()
	opened(g, "/r", s.token(t, nil))
	if got := lines.String(); strings.Contains(got, "issuer") || !strings.Contains(got, `"status":403`) {
		t.Errorf("refused: %s", got)
	}
}

func FuzzReadToken(f *testing.F) {
	s := newSigner(f, "k", jose.EdDSA)
	genuine := s.token(f, nil)
	parts := strings.Split(genuine, ".")
	f.Add(parts[0], parts[1], parts[2])
	f.Add(base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)), parts[1], "")
	f.Add(parts[0], base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"https://id.example","aud":["api"],"exp":1e300,"scope":[null]}`)), parts[2])
	change := put(issuerOf(f, "main", s))
	all := issuers{parseOne(change).issuer}
	f.Fuzz(func(t *testing.T, header, payload, signature string) {
		text := strings.Join([]string{header, payload, signature}, ".")
		req := httptest.NewRequest(http.MethodGet, "/", nil)
		req.Header["Authorization"] = []string{"Bearer " + text}
		if _, _, refusal := all.authenticate(req, &route{}, time.Now()); refusal == nil && (header != parts[0] || payload != parts[1]) {
			t.Errorf("%s opens", text)
		}
	})
}

// FuzzClaims: whatever an issuer signs, it opens only if it says of itself for whom, about whom and until when.
func FuzzClaims(f *testing.F) {
	s := newSigner(f, "k", jose.EdDSA)
	signing, err := jose.NewSigner(jose.SigningKey{Algorithm: s.by, Key: s.private}, new(jose.SignerOptions).WithHeader("kid", s.id))
	if err != nil {
		f.Fatal(err)
	}
	all := issuers{parseOne(put(issuerOf(f, "main", s))).issuer}
	f.Add(`{"iss":"https://id.example","aud":["api"],"sub":"ann","exp":4e9,"scope":"read","scp":[null]}`)
	f.Add(`{"iss":"https://id.example","aud":"api","sub":"ann","Exp":4e9,"exp":1e300,"nbf":-1,"iat":null}`)
	f.Fuzz(func(t *testing.T, payload string) {
		signed, err := signing.Sign([]byte(payload))
		if err != nil {
			t.Fatal(err)
		}
		text, err := signed.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		req, now := httptest.NewRequest(http.MethodGet, "/", nil), time.Now()
		req.Header.Set("Authorization", "Bearer "+text)
		_, subject, refusal := all.authenticate(req, &route{}, now)
		if refusal != nil {
			return
		}
		var said map[string]any
		err = json.Unmarshal([]byte(payload), &said)
		until, _ := said["exp"].(float64)
		if err != nil || said["iss"] != "https://id.example" || said["sub"] != subject || subject == "" ||
			!strings.Contains(fmt.Sprint(said["aud"]), "api") || until < float64(now.Add(-leeway).Unix()-1) {
			t.Errorf("%s opens, as of %q: %v", payload, subject, err)
		}
	})
}

func BenchmarkToken(b *testing.B) {
	for _, by := range gateway.Algorithms() {
		b.Run(string(by), func(b *testing.B) {
			s := newSigner(b, "k", by)
			all := issuers{parseOne(put(issuerOf(b, "main", s))).issuer}
			req := httptest.NewRequest(http.MethodGet, "/", nil)
			req.Header.Set("Authorization", "Bearer "+s.token(b, map[string]any{"scope": "read write"}))
			r := &route{id: "bench", scopes: []string{"read"}}
			b.ReportAllocs()
			for b.Loop() {
				if _, _, f := all.authenticate(req, r, time.Now()); f != nil {
					b.Fatal(f)
				}
			}
		})
	}
}
