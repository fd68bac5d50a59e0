package proxy

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"gwdr/gateway"
)

// TestForwarded: what a trusted proxy says of those before it is passed on and believed, what anybody else says is dropped.
func TestForwarded(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded", "Traceparent", "Connection", "X-Hop", "Te",
			"X-Real-Ip", "X-Forwarded-Port", "X-Forwarded-Prefix"} {
			if values, ok := r.Header[name]; ok {
				fmt.Fprintf(w, "%s: %s\n", name, strings.Join(values, " | "))
			}
		}
	}))
	t.Cleanup(upstream.Close)
	said := []string{"X-Forwarded-For", "203.0.113.7, 10.1.1.1", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "api.example",
		"Forwarded", "for=203.0.113.7", "Traceparent", "00-1-2-01", "Connection", "X-Hop", "X-Hop", "1", "Te", "gzip",
		"X-Real-IP", "203.0.113.7", "X-Forwarded-Port", "443", "X-Forwarded-Prefix", "/shop"}
	entities := []gateway.Entity{upstreamOf("u", upstream.URL), open("r", "/{rest...}", "u")}
	stranger := serve(t, newGateway(t, Options{}, entities...))
	got := do(t, "GET", stranger+"/", "", said...).Body
	want := "X-Forwarded-For: 127.0.0.1\nX-Forwarded-Proto: http\nX-Forwarded-Host: " + strings.TrimPrefix(stranger, "http://") + "\nTraceparent: 00-1-2-01\n"
	if got != want {
		t.Errorf("of a stranger:\n%swant\n%s", got, want)
	}
	trusted := serve(t, newGateway(t, Options{Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, entities...))
	got = do(t, "GET", trusted+"/", "", said...).Body
	want = "X-Forwarded-For: 203.0.113.7, 10.1.1.1, 127.0.0.1\nX-Forwarded-Proto: https\nX-Forwarded-Host: api.example\n" +
		"Forwarded: for=203.0.113.7 | for=127.0.0.1\nTraceparent: 00-1-2-01\n" +
		"X-Real-Ip: 203.0.113.7\nX-Forwarded-Port: 443\nX-Forwarded-Prefix: /shop\n"
	if got != want {
		t.Errorf("of a trusted proxy:\n%swant\n%s", got, want)
	}
}

func TestClientAddress(t *testing.T) {
	g := newGateway(t, Options{Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}})
	for _, c := range []struct {
		peer string
		said []string
		want string
	}{
		{"192.0.2.1:7", []string{"203.0.113.7"}, "192.0.2.1"},
		{"10.0.0.1:7", nil, "10.0.0.1"},
		{"10.0.0.1:7", []string{"203.0.113.7"}, "203.0.113.7"},
		{"10.0.0.1:7", []string{"1.1.1.1, 203.0.113.7", "10.0.0.2"}, "203.0.113.7"}, // 1.1.1.1 is what the client claims
		{"10.0.0.1:7", []string{"203.0.113.7:4711"}, "203.0.113.7"},
		{"[fd00::1]:7", []string{"[2001:db8::1]:4711"}, "2001:db8::1"},
		{"[::ffff:10.0.0.1]:7", []string{"2001:db8::1%eth0"}, "2001:db8::1"},
		{"10.0.0.1:7", []string{"203.0.113.7, unknown"}, "10.0.0.1"},
		{"10.0.0.1:7", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
	} {
		req := httptest.NewRequest("GET", "/", nil)
		req.RemoteAddr = c.peer
		req.Header["X-Forwarded-For"] = c.said
		if got := g.clientAddress(req); got != c.want {
			t.Errorf("%s says %q: %s, want %s", c.peer, c.said, got, c.want)
		}
	}
}
