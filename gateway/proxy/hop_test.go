package proxy

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"gwdr/gateway"
)

// TestNothingIsDecidedByWhatStaysHere: a header that no endpoint sees, as Connection names it, opens no route that asks for it, and is no
// key, and says nothing about a body.
func TestNothingIsDecidedByWhatStaysHere(t *testing.T) {
	g := newGateway(t, Options{}, upstreamOf("u", backend(t, "u").URL), specEntity("shop", shopSpec), validated("shop", nil),
		entity(gateway.Route, "guarded", gateway.RouteBody{Path: "/", Upstream: "u"}),
		entity(gateway.Route, "public", gateway.RouteBody{Path: "/", Upstream: "u", Auth: gateway.AuthNone,
			Match: &gateway.Match{Headers: map[string]string{"X-Public": "1"}}}))
	for line, want := range map[string]int{
		"GET / X-Public:1":                                                     200,
		"GET / X-Public:1 Connection:keep-alive":                               200,
		"GET / X-Public:1 Connection:X-Public":                                 401,
		"GET / X-Public:1 Connection:close,x-public":                           401,
		"POST /orders/7 Content-Type:application/json":                         400,
		"POST /orders/7 Content-Type:application/json Connection:Content-Type": 400,
	} {
		fields := strings.Fields(line)
		r := httptest.NewRequestWithContext(t.Context(), fields[0], fields[1], strings.NewReader("{}"))
		for _, header := range fields[2:] {
			name, value, _ := strings.Cut(header, ":")
			r.Header.Add(name, value)
		}
		w := httptest.NewRecorder()
		if g.ServeHTTP(w, r); w.Code != want {
			t.Errorf("%s: %d, want %d", line, w.Code, want)
		}
	}
	header := http.Header{"Connection": {"Upgrade, TE", "x-forwarded-for"}, "Upgrade": {"websocket"}, "Te": {"trailers"}, "X-Forwarded-For": {"10.0.0.1"}}
	if dropForHop(header); len(header) != 4 {
		t.Errorf("left: %v", header)
	}
}
