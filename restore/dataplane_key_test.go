package restore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gwdr/gateway"
	"gwdr/gateway/proxy"
)

// TestProbeKey: a new key must open a route, until it is revoked; a data plane takes a moment to learn of either.
func TestProbeKey(t *testing.T) {
	for name, c := range map[string]struct {
		opens, ignores bool // the key works; its revocation does not
		fails          error
		failed         []bool
	}{
		"good":                    {opens: true, failed: []bool{false, false}},
		"a key that never works":  {failed: []bool{true, false}},
		"a revocation in vain":    {opens: true, ignores: true, failed: []bool{false, true}},
		"a gateway without a pen": {fails: errors.New("read-only"), failed: []bool{true}},
	} {
		var asked, revoked atomic.Int64
		token := gateway.NewToken()
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			known := r.Header.Get("Authorization") == "Bearer "+token.Reveal() && c.opens && asked.Add(1) > 2
			if !known || revoked.Load() > 0 && !c.ignores && revoked.Add(1) > 3 {
				http.Error(w, notValid, http.StatusUnauthorized)
			}
		}))
		issue := func(_ context.Context, scopes []string) (gateway.Token, func(context.Context) error, error) {
			if !slices.Equal(scopes, []string{"a"}) {
				t.Errorf("%s: scopes %v", name, scopes)
			}
			return token, func(context.Context) error { revoked.Store(1); return nil }, c.fails
		}
		state := routes(map[string]gateway.RouteBody{"open": {Path: "/o", Auth: gateway.AuthNone}, "post": {Path: "/p", Methods: []string{"POST"}},
			"jwt": {Path: "/jwt", Auth: gateway.AuthJWT}, "two": {Path: "/two", Scopes: []string{"a", "b"}}, "one": {Path: "/one/{id}", Scopes: []string{"a"}, Hosts: []string{"shop.example"}}})
		checks := DataPlane{Instances: Instances(server.URL), Within: 100 * time.Millisecond}.ProbeKey(t.Context(), state, issue)
		var failed []bool
		for _, c := range checks {
			failed = append(failed, !c.OK)
			if strings.Contains(c.String(), token.Reveal()[25:50]) {
				t.Errorf("a key is shown: %s", c)
			}
		}
		if !slices.Equal(failed, c.failed) || c.fails == nil && !strings.HasPrefix(checks[0].Request, "GET shop.example/one/gwdr-probe with ") {
			t.Errorf("%s: %v", name, checks)
		}
		server.Close()
	}
	none := DataPlane{Instances: Instances("http://127.0.0.1:1")}.ProbeKey(t.Context(), routes(map[string]gateway.RouteBody{"open": {Path: "/o", Auth: gateway.AuthNone}}), nil)
	if len(none) != 0 {
		t.Errorf("no route needs a key: %v", none)
	}
}

// TestProbeKeyRevokes: whoever interrupts the probe leaves no key that works.
func TestProbeKeyRevokes(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		interrupt()
		http.Error(w, notValid, http.StatusUnauthorized)
	}))
	defer server.Close()
	var revoked error = errors.New("never")
	issue := func(context.Context, []string) (gateway.Token, func(context.Context) error, error) {
		return gateway.NewToken(), func(ctx context.Context) error { revoked = ctx.Err(); return nil }, nil
	}
	DataPlane{Instances: Instances(server.URL)}.ProbeKey(ctx, routes(served), issue)
	if revoked != nil {
		t.Errorf("revoked: %v", revoked)
	}
}

// keyed is a configuration with a key of each fate, and one that opens nothing. One of its routes opens to no key.
type keyed struct {
	state  *gateway.State
	tokens map[string]gateway.Token
}

func newKeyed(upstream string) keyed {
	k := keyed{gateway.NewState(entity(gateway.Upstream, "echo", `{"endpoints":[{"url":"`+upstream+`"}]}`)), map[string]gateway.Token{}}
	for id, body := range map[string]gateway.RouteBody{"jwt": {Path: "/jwt", Auth: gateway.AuthJWT}, "plain": {Path: "/plain/{id}"},
		"scoped": {Path: "/scoped", Scopes: []string{"read"}}} {
		body.Upstream = "echo"
		k.state.Put(gateway.Entity{Ref: gateway.Ref{Kind: gateway.Route, ID: id}, Body: gateway.Encode(body)})
	}
	now := time.Now()
	past, soon, later := now.Add(-time.Hour), now.Add(time.Second), now.Add(time.Hour)
	for name, body := range map[string]gateway.KeyBody{"live": {}, "reader": {Scopes: []string{"read"}, Expires: &later}, "revoked": {}, "expired": {Expires: &past},
		"soon": {Expires: &soon}, "narrow": {Scopes: []string{"read"}, Routes: []string{"scop*"}}, "rotated": {}, "rotating": {}} {
		token := gateway.NewToken()
		k.tokens[name], body.Hash = token, token.Hash()
		k.state.Put(gateway.Entity{Ref: gateway.Ref{Kind: gateway.Key, ID: token.ID}, Body: gateway.Encode(body)})
	}
	k.state.Put(entity(gateway.Revocation, k.tokens["revoked"].ID, `{"at":"2026-03-04T05:06:07Z"}`))
	for name, at := range map[string]time.Time{"rotated": later, "rotating": soon} {
		k.state.Put(gateway.Entity{Ref: gateway.Ref{Kind: gateway.Revocation, ID: k.tokens[name].ID}, Body: gateway.Encode(gateway.RevocationBody{Effective: &at})})
	}
	k.tokens["unknown"] = gateway.NewToken()
	return k
}

func (k keyed) all() (all []gateway.Token) {
	for _, name := range slices.Sorted(maps.Keys(k.tokens)) {
		all = append(all, k.tokens[name])
	}
	return all
}

// serve loads the state into a bundled data plane.
func (k keyed) serve(t *testing.T, state *gateway.State) Instance {
	t.Helper()
	plane, err := proxy.New(proxy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := plane.Load(gateway.Header{Store: "test", Revision: 1}, state); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(plane)
	t.Cleanup(func() {
		server.Close()
		if err := plane.Close(); err != nil {
			t.Error(err)
		}
	})
	return Instance{Name: "one", URL: server.URL, Status: func(context.Context) (gateway.Status, error) {
		return gateway.Status{Digest: plane.Status().Digest, Following: new(true)}, nil
	}}
}

// failing names what failed.
func failing(checks []Check) (failed []string) {
	for _, c := range checks {
		if !c.OK {
			failed = append(failed, string(c.Key)+" "+c.Got)
		}
	}
	slices.Sort(failed)
	return slices.Compact(failed)
}

// TestProbeKeys: of the keys that somebody gave, each is tried for what the configuration makes of it. An upstream that answers
// 401 itself has been reached.
func TestProbeKeys(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, `{"error":"who are you?"}`, http.StatusUnauthorized)
	}))
	defer upstream.Close()
	k := newKeyed(upstream.URL)
	fates := map[Fate]int{}
	for _, c := range (DataPlane{Instances: []Instance{k.serve(t, k.state)}, Keys: k.all()}).Probe(t.Context(), k.state) {
		if fates[c.Key]++; !c.OK {
			t.Error(c)
		}
		for name, token := range k.tokens {
			if strings.Contains(c.String(), token.Reveal()[21:60]) {
				t.Errorf("the secret of %s is shown: %s", name, c)
			}
		}
	}
	delete(fates, "")
	if want := map[Fate]int{Live: 4, Revoked: 1, Expired: 1, Unknown: 1}; !maps.Equal(fates, want) { // two end about now
		t.Errorf("fates %v, want %v", fates, want)
	}
}

// TestProbeKeysSees: a data plane whose keys are not those of the configuration is found out.
func TestProbeKeysSees(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer upstream.Close()
	k := newKeyed(upstream.URL)
	for name, c := range map[string]struct {
		spoil func(s *gateway.State)
		want  []string
	}{
		"a live key is lost":      {func(s *gateway.State) { s.Delete(gateway.Ref{Kind: gateway.Key, ID: k.tokens["live"].ID}) }, []string{"live 401"}},
		"a revocation is lost":    {func(s *gateway.State) { s.Delete(gateway.Ref{Kind: gateway.Revocation, ID: k.tokens["revoked"].ID}) }, []string{"revoked 200"}},
		"an expiry is lost":       {func(s *gateway.State) { k.put(s, "expired", gateway.KeyBody{}) }, []string{"expired 200"}},
		"an unknown key is known": {func(s *gateway.State) { k.put(s, "unknown", gateway.KeyBody{}) }, []string{"unknown 200"}},
		"nobody behind the door": {func(s *gateway.State) {
			s.Put(entity(gateway.Upstream, "echo", `{"endpoints":[{"url":"http://127.0.0.1:1"}],"retries":-1}`))
		}, []string{"live 502"}},
	} {
		spoiled := k.state.Clone()
		c.spoil(spoiled)
		in := k.serve(t, spoiled)
		status, _ := in.Status(t.Context())
		checks := DataPlane{Instances: []Instance{in}, Keys: k.all(), Within: time.Millisecond}.Probe(t.Context(), k.state)
		if got, want := failing(checks), append([]string{" " + brief(status.Digest)}, c.want...); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func (k keyed) put(s *gateway.State, name string, body gateway.KeyBody) {
	body.Hash = k.tokens[name].Hash()
	s.Put(gateway.Entity{Ref: gateway.Ref{Kind: gateway.Key, ID: k.tokens[name].ID}, Body: gateway.Encode(body)})
}

// TestProbeNamesWhoDoesNotFollow: one of four instances serves what was before, which answers all requests alike; one serves
// what was restored, but will not learn of the next revocation; one says nothing.
func TestProbeNamesWhoDoesNotFollow(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer upstream.Close()
	k := newKeyed(upstream.URL)
	before := k.state.Clone()
	before.Put(extraSetting)
	all := map[string]Instance{"good": k.serve(t, k.state), "late": k.serve(t, before), "deaf": k.serve(t, k.state), "mute": k.serve(t, k.state)}
	deaf, mute := all["deaf"], all["mute"]
	deaf.Status = func(context.Context) (gateway.Status, error) {
		return gateway.Status{Digest: k.state.Digest(), Following: new(false)}, nil
	}
	mute.Status = func(context.Context) (gateway.Status, error) {
		return gateway.Status{}, errors.New("connection refused")
	}
	all["deaf"], all["mute"] = deaf, mute
	plane := DataPlane{Keys: k.all(), Within: time.Millisecond}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		in := all[name]
		in.Name = name
		plane.Instances = append(plane.Instances, in)
	}
	err := unserved(plane.Probe(t.Context(), k.state))
	if !errors.Is(err, ErrDataPlane) {
		t.Fatal(err)
	}
	for _, want := range []string{"3 of 4 instances: deaf (http://127.0.0.1:", "such as its control plane: is not heard, want is followed; late (",
		"such as digest of its configuration: " + brief(before.Digest()), "such as its status: connection refused, want an answer"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in: %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "good") {
		t.Error(err)
	}
}

// TestProbeChanged: routes that a restore changed are tried before others, for what does not follow to show.
func TestProbeChanged(t *testing.T) {
	s := gateway.NewState()
	for i := range 100 {
		s.Put(gateway.Entity{Ref: gateway.Ref{Kind: gateway.Route, ID: fmt.Sprint(i)}, Body: gateway.Encode(gateway.RouteBody{Path: fmt.Sprintf("/%d", i), Auth: gateway.AuthNone})})
	}
	var paths []string
	for _, a := range (DataPlane{Changed: []gateway.Ref{{Kind: gateway.Route, ID: "77"}, {Kind: gateway.Key, ID: "1"}}}).attempts(s) {
		paths = append(paths, a.path)
	}
	if len(paths) != 7 || paths[2] != "/77" {
		t.Errorf("%q", paths)
	}
}

// TestProbeKeysSeesThroughUpstreams: an upstream whose errors look like the gateway's does not stand in for it.
func TestProbeKeysSeesThroughUpstreams(t *testing.T) {
	for status, wanted := range map[int]string{http.StatusUnauthorized: "revoked 401", http.StatusForbidden: "live 403"} {
		upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, `{"error":"not for you"}`, status)
		}))
		defer upstream.Close()
		k := newKeyed(upstream.URL)
		k.state.Delete(gateway.Ref{Kind: gateway.Route, ID: "plain"}) // what is left wants a scope that the live key lacks
		spoiled := k.state.Clone()
		spoiled.Delete(gateway.Ref{Kind: gateway.Revocation, ID: k.tokens["revoked"].ID})
		spoiled.Put(gateway.Entity{Ref: gateway.Ref{Kind: gateway.Route, ID: "scoped"}, Body: gateway.Encode(gateway.RouteBody{Path: "/scoped", Upstream: "echo"})})
		in := k.serve(t, spoiled)
		checks := DataPlane{Instances: []Instance{in}, Keys: k.all(), Within: time.Millisecond}.Probe(t.Context(), k.state)
		if got := failing(checks); !slices.Contains(got, wanted) {
			t.Errorf("%d: %q", status, got)
		}
	}
}
