package native

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"gwdr/gateway"
)

func TestErrorsSayWhereAndWhy(t *testing.T) {
	answers := map[string]error{
		`{"error":"x","code":"not_found"}`:  gateway.ErrNotFound,
		`{"error":"x","code":"conflict"}`:   gateway.ErrConflict,
		`{"error":"x","code":"not_leader"}`: gateway.ErrNotLeader,
		`{"error":"x","code":"missing"}`:    gateway.ErrMissing,
		`{"error":"x","code":"compacted"}`:  gateway.ErrCompacted,

		`{"type":"urn:gwdr:problem:missing","title":"t","status":422,"detail":"x","code":"missing"}`:               gateway.ErrMissing,
		`{"type":"urn:gwdr:problem:conflict","title":"t","status":409,"detail":"x","error":"x","code":"conflict"}`: gateway.ErrConflict,
	}
	for body, want := range answers {
		ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, body, http.StatusConflict) }))
		_, err := (&Client{URL: ts.URL, Token: "secret-token"}).Status(t.Context())
		if !errors.Is(err, want) || !strings.Contains(err.Error(), ts.URL+"/v1/status: x") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", body, err)
		}
		ts.Close()
	}
}

func TestForeignAnswers(t *testing.T) {
	for _, body := range []string{"", "<html>", "null", `{"error":1}`} {
		ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, body, http.StatusBadGateway) }))
		_, err := (&Client{URL: ts.URL}).Status(t.Context())
		refused := (*Error)(nil)
		if !errors.As(err, &refused) || refused.Status != 502 || !strings.Contains(err.Error(), "502 Bad Gateway") {
			t.Errorf("%q: %v", body, err)
		}
		ts.Close()
	}
}

func TestPartialApply(t *testing.T) {
	ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, `{"error":"full","code":"full","applied":1000}`, http.StatusInsufficientStorage)
	}))
	defer ts.Close()
	err := (&Client{URL: ts.URL}).Apply(t.Context(), make([]gateway.Change, 0))
	partial := (*gateway.PartialError)(nil)
	if !errors.As(err, &partial) || partial.Applied != 1000 {
		t.Errorf("%v", err)
	}
}

func TestUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	c := &Client{URL: "http://" + l.Addr().String(), HTTP: NewHTTP()}
	if _, err := c.Status(t.Context()); err == nil || !strings.Contains(err.Error(), "connection refused") || strings.Count(err.Error(), c.URL) != 1 {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Follow(ctx, "", 1, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// A state or watch that is cut off is never taken for a whole one.
func TestTornStreams(t *testing.T) {
	ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, `{"store":"s","revision":1,"epoch":1,"time":"2026-01-01T00:00:00Z"}`)
		if r.URL.Path == "/v1/state" {
			fmt.Fprintln(w, `{"kind":"key","id":"k","body":"e30="}`)
		}
	}))
	defer ts.Close()
	c := &Client{URL: ts.URL}
	if _, _, err := c.State(t.Context()); !errors.Is(err, gateway.ErrTorn) {
		t.Errorf("state: %v", err)
	}
	if err := c.Follow(t.Context(), "", 1, func(gateway.Batch) error { return nil }); err == nil {
		t.Error("watch ended without an error")
	}
}

// A gateway that cannot say what has changed is one that does not know, and its watch is not waited for.
func TestChangesOfWhoKnowsNone(t *testing.T) {
	header := `{"store":"s","revision":1,"epoch":1,"time":"2026-01-01T00:00:00Z"}` + "\n"
	change := `{"revision":2,"changes":[{"op":"delete","kind":"key","id":"k"}]}` + "\n"
	for name, test := range map[string]struct {
		status int
		text   string
		want   error
	}{
		"compacted":       {http.StatusGone, `{"error":"x","code":"compacted"}`, gateway.ErrCompacted},
		"a data plane":    {http.StatusNotFound, `{"error":"x","code":"no_endpoint"}`, gateway.ErrCompacted},
		"an older one":    {http.StatusOK, header + `{"revision":1}` + "\n" + change, gateway.ErrCompacted},
		"torn":            {http.StatusOK, header + change, gateway.ErrTorn},
		"torn at once":    {http.StatusOK, "", gateway.ErrTorn},
		"torn at the end": {http.StatusOK, header + change + `{"end":true,"revision":3`, gateway.ErrTorn},
		"whole":           {http.StatusOK, header + change + `{"end":true,"revision":3}`, nil},
	} {
		ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(test.status)
			fmt.Fprint(w, test.text)
		}))
		h, err := (&Client{URL: ts.URL}).Changes(t.Context(), "s", 1, func(gateway.Batch) error { return nil })
		if !errors.Is(err, test.want) || (err == nil) != (h.Revision == 3) || (err == nil) != (h.Store == "s") {
			t.Errorf("%s: %+v, %v", name, h, err)
		}
		ts.Close()
	}
}

func TestSilentWatchEnds(t *testing.T) {
	t.Parallel()
	ts := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer ts.Close()
	begun := time.Now()
	err := (&Client{URL: ts.URL}).Follow(t.Context(), "", 1, func(gateway.Batch) error { return nil })
	if !errors.Is(err, errSilent) || time.Since(begun) < silence {
		t.Errorf("after %s: %v", time.Since(begun), err)
	}
}

func TestTokenIsNotPrinted(t *testing.T) {
	c := Client{URL: "http://user:secret@host", Token: "secret"}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(format, c) + fmt.Sprintf(format, &c); strings.Contains(text, "secret") {
			t.Errorf("%s: %s", format, text)
		}
	}
}

// Whatever an id holds, the server finds the same id in the path.
func FuzzEntityPath(f *testing.F) {
	for _, id := range []string{"a", "a/b", "..", "../..", "a/../b", "%2e", "//", "?#", "ü ;=&+", "\\", "."} {
		f.Add(id)
	}
	mux, got := http.NewServeMux(), ""
	mux.HandleFunc("GET /v1/{kind}/{id...}", func(_ http.ResponseWriter, r *http.Request) { got = r.PathValue("id") })
	f.Fuzz(func(t *testing.T, id string) {
		ref := gateway.Ref{Kind: gateway.Route, ID: id}
		if ref.Validate() != nil {
			return
		}
		req, err := http.NewRequest(http.MethodGet, "http://host"+entityPath(ref), nil)
		if err != nil {
			t.Fatal(err)
		}
		got = ""
		req.RequestURI = req.URL.RequestURI()
		sent, err := http.NewRequest(http.MethodGet, "http://host"+req.RequestURI, nil)
		if err != nil {
			t.Fatal(err)
		}
		mux.ServeHTTP(httptest.NewRecorder(), sent)
		if got != id {
			t.Errorf("id %q arrives as %q", id, got)
		}
	})
}

func FuzzReadWatch(f *testing.F) {
	f.Add(`{"store":"s","revision":1}` + "\n" + `{"revision":2,"changes":[{"op":"create","kind":"key","id":"k","body":"e30="}]}`)
	f.Add(`{}{"revision":"x"}`)
	f.Fuzz(func(_ *testing.T, text string) {
		_ = readWatch(strings.NewReader(text), func() {}, func(gateway.Batch) error { return nil })
	})
}
