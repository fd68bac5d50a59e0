package proxy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
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
		for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded", "Traceparent", "Connection", "X-Hop", "Te"} {
			if values, ok := r.Header[name]; ok {
				fmt.Fprintf(w, "%s: %s\n", name, strings.Join(values, " | "))
			}
		}
	}))
	t.Cleanup(upstream.Close)
	said := []string{"X-Forwarded-For", "203.0.113.7, 10.1.1.1", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "api.example",
		"Forwarded", "for=203.0.113.7", "Traceparent", "00-1-2-01", "Connection", "X-Hop", "X-Hop", "1", "Te", "gzip"}
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
		"Forwarded: for=203.0.113.7 | for=127.0.0.1\nTraceparent: 00-1-2-01\n"
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

// TestAccessLog: a line for each request, that holds nothing secret.
func TestAccessLog(t *testing.T) {
	var lines bytes.Buffer
	u := backend(t, "a")
	key, text := keyEntity(nil, nil)
	g := newGateway(t, Options{Access: slog.New(slog.NewJSONHandler(&lines, nil))}, upstreamOf("u", deadURL(t), u.URL), key,
		entity(gateway.Route, "r", gateway.RouteBody{Path: "/a/{x}", Upstream: "u"}))
	for _, c := range []struct {
		path, key string
		want      map[string]any
	}{
		{"/a/b%20c?token=secret", text, map[string]any{"client": "192.0.2.1", "method": "GET", "host": "example.com", "path": "/a/b%20c",
			"proto": "HTTP/1.1", "status": 200.0, "bytes": 26.0, "route": "r", "upstream": "u", "key": key.ID,
			"endpoint": strings.TrimPrefix(u.URL, "http://"), "attempts": 2.0, "msg": "request", "level": "INFO"}},
		{"/a/b", "", map[string]any{"client": "192.0.2.1", "method": "GET", "host": "example.com", "path": "/a/b", "proto": "HTTP/1.1",
			"status": 401.0, "route": "r", "upstream": "u", "msg": "request", "level": "INFO"}},
		{"/b", "", map[string]any{"client": "192.0.2.1", "method": "GET", "host": "example.com", "path": "/b", "proto": "HTTP/1.1",
			"status": 404.0, "msg": "request", "level": "INFO"}},
	} {
		req := httptest.NewRequest("GET", c.path, nil)
		if c.key != "" {
			req.Header.Set("Authorization", "Bearer "+c.key)
		}
		g.ServeHTTP(httptest.NewRecorder(), req)
		if text := lines.String(); strings.Contains(text, "secret") || c.key != "" && strings.Contains(text, c.key) {
			t.Errorf("a secret: %s", text)
		}
		var got map[string]any
		if err := json.Unmarshal(lines.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		lines.Reset()
		if took, ok := got["took_s"].(float64); !ok || took <= 0 {
			t.Errorf("took %v", got["took_s"])
		}
		if got["status"] != 200.0 {
			delete(got, "bytes") // of the refusal's text
		}
		delete(got, "took_s")
		delete(got, "time")
		if fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%s:\n%v, want\n%v", c.path, got, c.want)
		}
	}
}
