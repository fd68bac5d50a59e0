package proxy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"gwdr/gateway"
)

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

// traced is a Tracer, and the only span of it.
type traced struct {
	parent string
	ended  []Outcome
}

func (s *traced) Begin(header http.Header, _ time.Time) Span {
	s.parent = header.Get("Traceparent")
	return s
}
func (s *traced) Pass(header http.Header) { header.Set("Traceparent", "ours") }
func (s *traced) End(o Outcome)           { s.ended = append(s.ended, o) }

// TestTraced: the span is below the client's and above the upstream's, and ends with the outcome.
func TestTraced(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Header.Get("Traceparent")) }))
	t.Cleanup(upstream.Close)
	s := &traced{}
	g := newGateway(t, Options{Trace: s}, upstreamOf("u", upstream.URL), open("r", "/", "u"))
	req := httptest.NewRequest("GET", "/", nil)
	req.Header.Set("Traceparent", "theirs")
	answer := httptest.NewRecorder()
	g.ServeHTTP(answer, req)
	if s.parent != "theirs" || answer.Body.String() != "ours" {
		t.Errorf("began below %q, passed on %q", s.parent, answer.Body)
	}
	if len(s.ended) != 1 || s.ended[0].Route != "r" || s.ended[0].Status != 200 || s.ended[0].Attempts != 1 || s.ended[0].Scheme != "http" {
		t.Errorf("ended with %+v", s.ended)
	}
}
