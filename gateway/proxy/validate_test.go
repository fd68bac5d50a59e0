package proxy

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gwdr/gateway"
)

const shopSpec = `openapi: 3.0.3
info: {title: Shop, version: "1"}
security: [{never: []}]
paths:
  /orders/{id}:
    post:
      parameters:
        - {name: id, in: path, required: true, schema: {type: integer}}
        - {name: limit, in: query, schema: {type: integer, default: 5}}
      requestBody:
        content: {application/json: {schema: {type: object, required: [item], properties: {item: {type: string}, n: {type: integer, default: 1}}}}}
`

func specEntity(id, text string) gateway.Entity {
	return gateway.Entity{Ref: gateway.Ref{Kind: gateway.Spec, ID: id}, Body: []byte(text)}
}

func validated(id string, change func(*gateway.RouteBody)) gateway.Entity {
	body := gateway.RouteBody{Methods: []string{"POST"}, Path: "/orders/{order}", Upstream: "u", Auth: gateway.AuthNone, Spec: "shop", Validate: true}
	if change != nil {
		change(&body)
	}
	return entity(gateway.Route, id, body)
}

var asJSON = []string{"Content-Type", "application/json"}

func TestValidate(t *testing.T) {
	back := backend(t, "u")
	g := newGateway(t, Options{}, upstreamOf("u", back.URL), specEntity("shop", shopSpec), validated("r", nil),
		validated("open", func(b *gateway.RouteBody) { b.Path, b.Validate = "/open/{order}", false }))
	url := serve(t, g)
	if got := do(t, "POST", url+"/orders/7?limit=1&x=y", `{"item":"a"}`, asJSON...); got.Status != 200 || got.Body != `POST /orders/7?limit=1&x=y {"item":"a"}` {
		t.Errorf("%+v", got)
	}
	if got := do(t, "POST", url+"/orders/7", ""); got.Status != 200 {
		t.Errorf("without a body: %+v", got)
	}
	if got := do(t, "POST", url+"/open/x?limit=ten", "[]", asJSON...); got.Status != 200 {
		t.Errorf("a route that does not validate: %+v", got)
	}
	got := do(t, "POST", url+"/orders/7", `{"item":"a","n":"secret"}`, asJSON...)
	var problem map[string]any
	if err := json.Unmarshal([]byte(got.Body), &problem); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]any{"type": "urn:gwdr:problem:invalid_request", "title": "The request is not as its specification says", "status": 400.0,
		"detail": `the body at /n is not as the specification's "type" says`, "in": "body", "name": "/n", "rule": "type"}, problem); diff != "" {
		t.Error(diff)
	}
	if got.Status != 400 || got.Header.Get("Content-Type") != "application/problem+json" || got.Backend != "" {
		t.Errorf("%+v", got)
	}
	if got := do(t, "POST", url+"/orders/x", `{"item":"a"}`, asJSON...); got.Status != 400 || !strings.Contains(got.Body, `parameter \"id\" in path`) {
		t.Errorf("%+v", got)
	}
	if n := counted(t, g.metrics.invalid.WithLabelValues("request")); n != 2 {
		t.Errorf("%v are counted", n)
	}
}

// What comes in pieces, without a length, is sent on as it came.
func TestValidateChunks(t *testing.T) {
	back := backend(t, "u")
	url := serve(t, newGateway(t, Options{}, upstreamOf("u", back.URL), specEntity("shop", shopSpec), validated("r", nil)))
	for body, want := range map[string]int{`{"item":"a"}`: 200, `{}`: 400} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/orders/7", io.MultiReader(strings.NewReader(body)))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != want || want == 200 && string(text) != "POST /orders/7 "+body {
			t.Errorf("%s: %d %s", body, resp.StatusCode, text)
		}
	}
}

// Who may not ask is told so first; a body is read up to a limit.
func TestValidateComesLast(t *testing.T) {
	url := serve(t, newGateway(t, Options{}, upstreamOf("u", backend(t, "u").URL), specEntity("shop", shopSpec),
		validated("key", func(b *gateway.RouteBody) { b.Auth, b.Hosts = "", []string{"127.0.0.1"} })))
	if got := do(t, "POST", url+"/orders/x", ""); got.Status != 401 {
		t.Errorf("%+v", got)
	}
	url = serve(t, newGateway(t, Options{}, upstreamOf("u", backend(t, "u").URL), specEntity("shop", shopSpec), validated("a", nil),
		validated("b", func(b *gateway.RouteBody) { b.MaxBody, b.Hosts = 2<<20, []string{"large.example"} })))
	large := `{"item":"` + strings.Repeat("x", 1<<20) + `"}`
	if got := do(t, "POST", url+"/orders/7", large, asJSON...); got.Status != 413 {
		t.Errorf("%d", got.Status)
	}
}

// No body is read, nor asked for, of a request that nobody would be asked.
func TestNothingIsReadForAnOpenBreaker(t *testing.T) {
	back := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }))
	defer back.Close()
	g := newGateway(t, Options{}, upstreamOf("u", back.URL), specEntity("shop", shopSpec), validated("r", func(b *gateway.RouteBody) {
		b.Breaker = &gateway.Breaker{Failures: 1}
	}))
	for _, want := range []int{500, 503} {
		body := strings.NewReader(`{"item":"a"}`)
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/orders/7", body)
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		if g.ServeHTTP(w, r); w.Code != want || (body.Len() > 0) != (want == 503) {
			t.Errorf("%d with %d bytes unread, want %d", w.Code, body.Len(), want)
		}
	}
}

// A spec that cannot be used, as after a restore, lets nothing through that nobody checked, and all else goes on. When it can be used, it is.
func TestValidateBySpecsThatCannotBeUsed(t *testing.T) {
	for name, spec := range map[string]gateway.Entity{"missing": specEntity("other", shopSpec), "no document": specEntity("shop", "nothing"),
		"another path": specEntity("shop", strings.ReplaceAll(shopSpec, "/orders/", "/other/"))} {
		g := newGateway(t, Options{}, upstreamOf("u", backend(t, "u").URL), spec, validated("r", nil), open("open", "/open", "u"))
		url := serve(t, g)
		for range 2 {
			if got := do(t, "POST", url+"/orders/7", ""); got.Status != 503 {
				t.Errorf("%s: %+v", name, got)
			}
		}
		if n := counted(t, g.metrics.invalid.WithLabelValues("spec")); n != 2 {
			t.Errorf("%s: %v are counted", name, n)
		}
		if got := get(t, url+"/open"); got.Status != 200 {
			t.Errorf("%s: %+v", name, got)
		}
		if err := g.Update(gateway.Batch{Revision: 2, Changes: []gateway.Change{put(specEntity("shop", shopSpec))}}); err != nil {
			t.Fatal(err)
		}
		if got := do(t, "POST", url+"/orders/7", ""); got.Status != 200 {
			t.Errorf("%s: later %+v", name, got)
		}
		if err := g.Update(gateway.Batch{Revision: 3, Changes: []gateway.Change{{Op: gateway.Delete, Entity: specEntity("shop", "")}}}); err != nil {
			t.Fatal(err)
		}
		if got := do(t, "POST", url+"/orders/7", ""); got.Status != 503 {
			t.Errorf("%s: deleted %+v", name, got)
		}
	}
}

func BenchmarkValidate(b *testing.B) {
	g := newGateway(b, Options{}, upstreamOf("u"), specEntity("shop", shopSpec), validated("r", nil))
	for b.Loop() {
		req := request(b, "POST /orders/7?limit=1")
		req.Host, req.Body = "h", io.NopCloser(strings.NewReader(`{"item":"a","n":5}`))
		req.Header.Set("Content-Type", "application/json")
		c := &call{Gateway: g, config: g.live.Load(), request: req, answer: &recorder{ResponseWriter: discarded{}}}
		if f := c.match(); f != nil {
			b.Fatal(f)
		}
		if f := c.validate(); f != nil {
			b.Fatal(f)
		}
	}
}

// discarded is an answer that nobody reads.
type discarded struct{}

func (discarded) Header() http.Header         { return http.Header{} }
func (discarded) Write(p []byte) (int, error) { return len(p), nil }
func (discarded) WriteHeader(int)             {}
