package link

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func newSet(t *testing.T, specs ...Spec) (*Set, *Client) {
	t.Helper()
	s, err := Open(specs, nil)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.Handler("secret"))
	t.Cleanup(func() { server.Close(); s.Close() })
	return s, &Client{URL: server.URL, Token: "secret", HTTP: server.Client()}
}

func TestClient(t *testing.T) {
	f := newFar(t)
	to := f.Addr().String()
	s, c := newSet(t, Spec{ID: "b", Listen: "127.0.0.1:0", To: to}, Spec{ID: "a", Listen: "127.0.0.1:0", To: to})
	want := State{Mode: Latency, Delay: time.Second, Lease: time.Minute}
	if err := c.Set(t.Context(), "a", want); err != nil {
		t.Fatal(err)
	}
	got, err := c.Links(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Info{
		{Spec: Spec{ID: "b", Listen: s.links["b"].Addr(), To: to}, State: State{Mode: Pass}},
		{Spec: Spec{ID: "a", Listen: s.links["a"].Addr(), To: to}, State: want},
	}, got); diff != "" {
		t.Errorf("links (-want +got):\n%s", diff)
	}
}

func TestClientReportsRefusals(t *testing.T) {
	_, c := newSet(t, Spec{ID: "a", Listen: "127.0.0.1:0", To: "127.0.0.1:1"})
	for name, test := range map[string]struct {
		id    string
		state State
		want  string
	}{
		"unknown link": {"x", State{Mode: Pass}, `no link "x"`},
		"unknown mode": {"a", State{Mode: "slow", Lease: 1}, `unknown link mode "slow"`},
		"no lease":     {"a", State{Mode: Refuse}, "link mode refuse needs a lease"},
		"no delay":     {"a", State{Mode: Latency, Lease: 1}, "link mode latency does not go with a delay of 0s"},
		"a delay":      {"a", State{Mode: Reset, Delay: 1, Lease: 1}, "link mode reset does not go with a delay of 1ns"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := c.Set(t.Context(), test.id, test.state); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q in it", err, test.want)
			}
		})
	}
}

func TestTokenIsRequired(t *testing.T) {
	s, c := newSet(t, Spec{ID: "a", Listen: "127.0.0.1:0", To: "127.0.0.1:1"})
	for _, token := range []string{"", "wrong"} {
		stranger := &Client{URL: c.URL, Token: token}
		if _, err := stranger.Links(t.Context()); err == nil || !strings.Contains(err.Error(), "401") {
			t.Errorf("token %q: got %v, want 401", token, err)
		}
	}
	w := httptest.NewRecorder()
	s.Handler("").ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/links", nil))
	if w.Code != http.StatusUnauthorized {
		t.Errorf("without a token of its own the set answers %d to anybody", w.Code)
	}
}

func TestOpenIsAllOrNothing(t *testing.T) {
	f := newFar(t)
	free := newLink(t, f.Addr().String())
	addr := free.Addr()
	free.Close()
	for name, second := range map[string]Spec{
		"port in use": {ID: "b", Listen: f.Addr().String()},
		"id twice":    {ID: "a", Listen: "127.0.0.1:0"},
	} {
		if _, err := Open([]Spec{{ID: "a", Listen: addr}, second}, nil); err == nil {
			t.Fatalf("%s: opened", name)
		}
		l, err := Listen(Spec{ID: "a", Listen: addr}, nil)
		if err != nil {
			t.Fatalf("%s: the first link's port is still taken: %v", name, err)
		}
		l.Close()
	}
}

func FuzzPut(f *testing.F) {
	for _, body := range []string{
		`{"mode":"pass"}`, `{"mode":"refuse","lease_ns":1}`, `{"mode":"latency","delay_ns":5,"lease_ns":9}`,
		`{"mode":"latency","delay_ns":-5,"lease_ns":9}`,
		`{"mode":"shape","there":{"drop":true},"back":{"delay_ns":5,"jitter_ns":5,"rate":9},"deaf":true,"lease_ns":1}`,
		`{"mode":"backlog","owner":"x","lease_ns":1}`, `{}`, `null`, `[`, `{"mode":"pass","x":1}`, `{"lease_ns":1e99}`,
	} {
		f.Add([]byte(body))
	}
	s, err := Open([]Spec{{ID: "a", Listen: "127.0.0.1:0", To: "127.0.0.1:1"}}, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { s.Close() })
	h := s.Handler("secret")
	f.Fuzz(func(t *testing.T, body []byte) {
		r := httptest.NewRequest(http.MethodPut, "/links/a", bytes.NewReader(body))
		r.Header.Set("Authorization", "Bearer secret")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != http.StatusOK && w.Code != http.StatusBadRequest && w.Code != http.StatusConflict {
			t.Fatalf("%q gave %d %s", body, w.Code, w.Body)
		}
		if err := s.links["a"].info().State.Validate(); err != nil {
			t.Fatalf("%q put the link into a state that it cannot have: %v", body, err)
		}
	})
}
