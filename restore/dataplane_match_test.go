package restore

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"gwdr/gateway"
)

// TestProbeOfMatches: routes that ask for more than a path are asked in the way that they want, and no request has what another one asks for.
func TestProbeOfMatches(t *testing.T) {
	reached := make(chan string, 10)
	back := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { reached <- r.Header.Get("X-Route") }))
	defer back.Close()
	state := gateway.NewState(entity(gateway.Upstream, "echo", `{"endpoints":[{"url":"`+back.URL+`"}]}`))
	for id, m := range map[string]gateway.Match{
		"header":   {Headers: map[string]string{"x-target": "Shop.Buy"}},
		"query":    {Query: map[string]string{"action": "buy it", "any": ""}},
		"param":    {Params: map[string]string{"id": gateway.UUID}},
		"catchall": {Query: map[string]string{"all": ""}},
	} {
		body := gateway.RouteBody{Path: "/x/{id}#" + id, Match: &m, Upstream: "echo", Auth: gateway.AuthNone, Headers: map[string]string{"X-Route": id}}
		if id == "catchall" {
			body.Path = "/{rest...}"
		}
		state.Put(gateway.Entity{Ref: gateway.Ref{Kind: gateway.Route, ID: id}, Body: gateway.Encode(body)})
	}
	in := keyed{}.serve(t, state)
	for _, c := range (DataPlane{Instances: []Instance{in}}).Probe(t.Context(), state) {
		if !c.OK {
			t.Error(c)
		}
	}
	want := map[string]bool{"header": true, "query": true, "param": true, "catchall": true}
	for len(reached) > 0 {
		delete(want, <-reached)
	}
	if len(want) > 0 {
		t.Errorf("not reached: %v", want)
	}
}
