package proxy

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gwdr/gateway"
)

func put(e gateway.Entity) gateway.Change { return gateway.Change{Op: gateway.Update, Entity: e} }

func remove(e gateway.Entity) gateway.Change {
	return gateway.Change{Op: gateway.Delete, Entity: gateway.Entity{Ref: e.Ref}}
}

func TestUpdateIsServed(t *testing.T) {
	a, b := backend(t, "a"), backend(t, "b")
	g := newGateway(t, Options{}, upstreamOf("u", a.URL), open("r", "/r", "u"))
	url := serve(t, g)
	for i, step := range []struct {
		changes []gateway.Change
		path    string
		status  int
		backend string
	}{
		{nil, "/r", 200, "a"},
		{[]gateway.Change{put(open("s", "/s/{id}", "u"))}, "/s/1", 200, "a"},
		{[]gateway.Change{put(upstreamOf("u", b.URL))}, "/r", 200, "b"},
		{[]gateway.Change{put(upstreamOf("v", a.URL)), put(open("s", "/s/{id}", "v"))}, "/s/1", 200, "a"},
		{[]gateway.Change{remove(open("r", "", "")), remove(upstreamOf("u"))}, "/r", 404, ""},
		{[]gateway.Change{put(entity(gateway.Spec, "x", "")), put(entity(gateway.Setting, "y", ""))}, "/s/1", 200, "a"},
	} {
		if err := g.Update(gateway.Batch{Revision: int64(i), Changes: step.changes}); err != nil {
			t.Fatal(err)
		}
		if got := get(t, url+step.path); got.Status != step.status || got.Backend != step.backend {
			t.Errorf("step %d: %d from %q", i, got.Status, got.Backend)
		}
	}
	if s := g.Status(); s.Revision != 5 || s.Store != "a" || s.Counts[gateway.Route] != 1 || !s.Ready {
		t.Errorf("status is %+v", s)
	}
}

func TestBadEntityChangesNothing(t *testing.T) {
	b := backend(t, "b")
	good := []gateway.Entity{upstreamOf("u", b.URL), open("r", "/r", "u")}
	for name, bad := range map[string]gateway.Change{
		"route without upstream": put(open("x", "/x", "nowhere")),
		"path":                   put(open("x", "x", "u")),
		"unknown field":          put(gateway.Entity{Ref: gateway.Ref{Kind: gateway.Route, ID: "x"}, Body: []byte(`{"path":"/x","upstream":"u","scopse":["a"]}`)}),
		"not JSON":               put(gateway.Entity{Ref: gateway.Ref{Kind: gateway.Route, ID: "x"}, Body: []byte(`hello`)}),
		"upstream in use":        remove(good[0]),
		"endpoint":               put(upstreamOf("u", "unix:///x")),
		"key":                    put(entity(gateway.Key, "x", gateway.KeyBody{Hash: "short"})),
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t, Options{}, good...)
			url := serve(t, g)
			digest := g.Status().Digest
			other := put(open("other", "/other", "u"))
			if err := g.Update(gateway.Batch{Revision: 2, Changes: []gateway.Change{bad, other}}); err == nil {
				t.Fatal("no error")
			} else if errors.Is(err, ErrRefused) {
				t.Errorf("error is %v", err)
			}
			if s := g.Status(); s.Digest != digest || s.Revision != 1 || s.Rejected == "" || counted(t, g.metrics.rejected) != 1 {
				t.Errorf("status is %+v", s)
			}
			if a, b := get(t, url+"/r"), get(t, url+"/other"); a.Status != 200 || b.Status != 404 {
				t.Errorf("/r %d, /other %d", a.Status, b.Status)
			}
			heal := []gateway.Change{remove(bad.Entity)}
			if bad.Entity.Ref == good[0].Ref {
				heal = []gateway.Change{put(good[0])}
			}
			if err := g.Update(gateway.Batch{Revision: 3, Changes: heal}); err != nil {
				t.Fatal(err)
			}
			if a, b := get(t, url+"/r"), get(t, url+"/other"); a.Status != 200 || b.Status != 200 {
				t.Errorf("healed: /r %d, /other %d", a.Status, b.Status)
			}
			if s := g.Status(); s.Revision != 3 || s.Rejected != "" {
				t.Errorf("healed: status is %+v", s)
			}
		})
	}
}

func TestRevocationCountsEvenInABadConfiguration(t *testing.T) {
	b := backend(t, "b")
	key, text := keyEntity(nil, nil)
	good := []gateway.Entity{upstreamOf("u", b.URL), key, entity(gateway.Route, "r", gateway.RouteBody{Path: "/r", Upstream: "u"})}
	bad := open("x", "/x", "nowhere")
	revocation := entity(gateway.Revocation, key.ID, gateway.RevocationBody{})
	for name, send := range map[string]func(g *Gateway) error{
		"update": func(g *Gateway) error {
			return g.Update(gateway.Batch{Revision: 2, Changes: []gateway.Change{put(bad), put(revocation)}})
		},
		"load": func(g *Gateway) error {
			return g.Load(gateway.Header{Store: "a", Revision: 2}, gateway.NewState(append(good, bad, revocation)...))
		},
		"refused": func(g *Gateway) error { return g.Load(gateway.Header{Store: "b"}, gateway.NewState(revocation)) },
		"blank":   func(g *Gateway) error { return g.Load(gateway.Header{}, gateway.NewState(revocation)) },
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t, Options{}, good...)
			url := serve(t, g)
			if err := send(g); err == nil {
				t.Fatal("no error")
			}
			if got := get(t, url+"/r", "X-Api-Key", text); got.Status != 401 || !strings.Contains(got.Body, "revoked") {
				t.Errorf("%d %s", got.Status, got.Body)
			}
		})
	}
}

func TestWhichStatesAreFollowed(t *testing.T) {
	routes := gateway.NewState(upstreamOf("u"), open("r", "/", "u"))
	none := gateway.NewState()
	consumers := gateway.NewState(entity(gateway.Consumer, "c", gateway.ConsumerBody{}))
	for name, c := range map[string]struct {
		now    *gateway.State // nil: nothing is loaded
		header gateway.Header
		next   *gateway.State
		follow bool
	}{
		"first":                           {nil, gateway.Header{Store: "a"}, routes, true},
		"first, and empty":                {nil, gateway.Header{Store: "a"}, none, true},
		"first, but waits for a restore":  {nil, gateway.Header{}, none, false},
		"same, later":                     {routes, gateway.Header{Store: "a", Revision: 6}, routes, true},
		"same, later, all routes deleted": {routes, gateway.Header{Store: "a", Revision: 6}, none, true},
		"same id, but lost its data":      {routes, gateway.Header{Store: "a", Revision: 1}, none, false},
		"same, older copy":                {routes, gateway.Header{Store: "a", Revision: 3}, routes, true},
		"new, empty":                      {routes, gateway.Header{Store: "b", Revision: 9}, none, false},
		"new, without routes":             {routes, gateway.Header{Store: "b", Revision: 9}, consumers, false},
		"new, restored":                   {routes, gateway.Header{Store: "b", Revision: 1}, routes, true},
		"being restored":                  {routes, gateway.Header{Revision: 1}, routes, false},
		"nothing to lose":                 {none, gateway.Header{Store: "b"}, none, true},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t, Options{})
			if c.now != nil {
				if err := g.Load(gateway.Header{Store: "a", Revision: 5}, c.now); err != nil {
					t.Fatal(err)
				}
			}
			before := g.Status()
			err := g.Load(c.header, c.next)
			if (err == nil) != c.follow || (err != nil && !errors.Is(err, ErrRefused)) {
				t.Fatalf("error is %v", err)
			}
			after := g.Status()
			if c.follow && (after.Digest != c.next.Digest() || after.Store != c.header.Store || after.Revision != c.header.Revision) {
				t.Errorf("status is %+v", after)
			}
			before.Rejected, after.Rejected = "", ""
			if d := cmp.Diff(before, after); !c.follow && d != "" {
				t.Error(d)
			}
		})
	}
}

func TestNothingIsServedBeforeTheFirstGoodState(t *testing.T) {
	g := newGateway(t, Options{})
	key := entity(gateway.Revocation, "x", gateway.RevocationBody{})
	if err := g.Load(storeA, gateway.NewState(key, open("r", "/", "nowhere"))); err == nil || g.Ready() {
		t.Fatalf("ready: %v, error: %v", g.Ready(), err)
	}
	if err := g.Update(gateway.Batch{Revision: 7, Changes: []gateway.Change{put(upstreamOf("nowhere"))}}); err != nil {
		t.Fatal(err)
	}
	if s := g.Status(); !s.Ready || s.Store != "a" || s.Revision != 7 || s.Counts[gateway.Revocation] != 1 {
		t.Errorf("status is %+v", s)
	}
}

func TestSwapsDropNoRequest(t *testing.T) {
	a, b := backend(t, "a"), backend(t, "b")
	g := newGateway(t, Options{}, entity(gateway.Upstream, "u", checked(a.URL)), open("r", "/r", "u"))
	url := serve(t, g)
	var stop atomic.Bool
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for !stop.Load() {
				if got := get(t, url+"/r"); got.Status != 200 {
					t.Errorf("%d %s", got.Status, got.Body)
					return
				}
			}
		})
	}
	for i := range 200 {
		e := checked(a.URL, b.URL)
		e.Retries = 1 + i%3
		changes := []gateway.Change{put(entity(gateway.Upstream, "u", e)), put(open(fmt.Sprint(i), fmt.Sprintf("/%d", i), "u"))}
		if err := g.Update(gateway.Batch{Revision: int64(i), Changes: changes}); err != nil {
			t.Fatal(err)
		}
	}
	stop.Store(true)
	clients.Wait()
}

func TestMetrics(t *testing.T) {
	a := backend(t, "a")
	dead := deadURL(t)
	registry := newRegistry()
	g := newGateway(t, Options{Metrics: registry}, upstreamOf("u", a.URL, dead), open("r", "/r", "u"))
	url := serve(t, g)
	for range 4 {
		get(t, url+"/r")
	}
	get(t, url+"/none")
	text := gathered(t, registry)
	for _, want := range []string{
		`gwdr_requests_total{code="2xx"} 4`, `gwdr_requests_total{code="4xx"} 1`, `gwdr_request_duration_seconds 5`,
		`gwdr_config_revision 1`, `gwdr_config_rejected_total 0`, `gwdr_retries_total 1`,
		`gwdr_endpoint_healthy{endpoint="` + a.URL + `",upstream="u"} 1`, `gwdr_endpoint_healthy{endpoint="` + dead + `",upstream="u"} 0`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("%s is missing in\n%s", want, text)
		}
	}
	if _, err := New(Options{Metrics: registry}); err == nil {
		t.Error("two gateways share one registry")
	}
}

// TestNoChangeWaitsForAStatus: its digest takes seconds for a million entities, and revocations do not have them.
func TestNoChangeWaitsForAStatus(t *testing.T) {
	g := newGateway(t, Options{}, upstreamOf("u", "http://127.0.0.1:1"))
	g.summary = func() (string, []string) {
		if !g.mu.TryLock() {
			t.Fatal("a change would wait")
		}
		g.mu.Unlock()
		return "d", nil
	}
	if s := g.Status(); s.Digest != "d" {
		t.Errorf("digest %q", s.Digest)
	}
	if err := g.Update(gateway.Batch{Revision: 9, Changes: []gateway.Change{put(upstreamOf("v", "http://127.0.0.1:1"))}}); err != nil {
		t.Fatal(err)
	}
	if _, state := g.State(); g.Status().Digest != state.Digest() {
		t.Error("the digest is not the new one")
	}
}
