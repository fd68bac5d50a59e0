package proxy

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gwdr/gateway"
)

func TestKeys(t *testing.T) {
	past, future := time.Now().Add(-time.Second), time.Now().Add(time.Hour)
	live, liveText := keyEntity([]string{"read", "write"}, &future)
	narrow, narrowText := keyEntity(nil, nil, "ke*", "other")
	odd, oddText := keyEntity([]string{"read\x00write\x00"}, nil, "\x00", "\x01")
	weak, weakText := keyEntity([]string{"read"}, nil)
	expired, expiredText := keyEntity([]string{"read", "write"}, &past)
	revoked, revokedText := keyEntity([]string{"read", "write"}, nil)
	other := gateway.NewToken()
	forged := other.Reveal() // a known id with another secret
	impostor := entity(gateway.Key, other.ID, gateway.KeyBody{Hash: gateway.NewToken().Hash()})
	b := backend(t, "echo")
	g := newGateway(t, Options{}, upstreamOf("echo", b.URL), live, weak, expired, revoked, impostor, narrow, odd,
		entity(gateway.Revocation, revoked.ID, gateway.RevocationBody{}),
		entity(gateway.Route, "scoped", gateway.RouteBody{Path: "/scoped", Upstream: "echo", Scopes: []string{"read", "write"}}),
		entity(gateway.Route, "keyed", gateway.RouteBody{Path: "/keyed", Upstream: "echo"}))
	url := serve(t, g)
	bearer := func(text string) []string { return []string{"Authorization", "Bearer " + text} }
	for name, c := range map[string]struct {
		path   string
		header []string
		status int
		text   string
	}{
		"bearer":              {"/scoped", bearer(liveText), 200, ""},
		"lower-case scheme":   {"/scoped", []string{"Authorization", "bearer  " + liveText}, 200, ""},
		"own header":          {"/scoped", []string{"X-Api-Key", liveText}, 200, ""},
		"another's bearer":    {"/scoped", []string{"X-Api-Key", liveText, "Authorization", "Bearer eyJ"}, 200, ""},
		"none":                {"/keyed", nil, 401, "required"},
		"basic":               {"/keyed", []string{"Authorization", "Basic Z3drXw=="}, 401, "required"},
		"empty":               {"/keyed", []string{"X-Api-Key", ""}, 401, "malformed"},
		"malformed":           {"/keyed", bearer("gwk_nonsense"), 401, "malformed"},
		"cut":                 {"/keyed", bearer(liveText[:len(liveText)-1]), 401, "malformed"},
		"unknown":             {"/keyed", bearer(gateway.NewToken().Reveal()), 401, "not valid"},
		"wrong secret":        {"/keyed", bearer(forged), 401, "not valid"},
		"expired":             {"/keyed", bearer(expiredText), 401, "expired"},
		"revoked":             {"/keyed", bearer(revokedText), 401, "revoked"},
		"too weak":            {"/scoped", bearer(weakText), 403, "lacks scope write"},
		"weak is enough":      {"/keyed", bearer(weakText), 200, ""},
		"for the route":       {"/keyed", bearer(narrowText), 200, ""},
		"for other routes":    {"/scoped", bearer(narrowText), 403, "not for this route"},
		"for none":            {"/keyed", bearer(oddText), 403, "not for this route"},
		"two keys":            {"/keyed", []string{"X-Api-Key", liveText, "X-Api-Key", liveText}, 401, "required"},
		"two ways":            {"/keyed", append(bearer(liveText), "X-Api-Key", weakText), 401, "required"},
		"in the query is not": {"/keyed?api_key=" + liveText, nil, 401, "required"},
	} {
		t.Run(name, func(t *testing.T) {
			got := get(t, url+c.path, c.header...)
			if got.Status != c.status || !strings.Contains(got.Body, c.text) {
				t.Errorf("answer is %d %s", got.Status, got.Body)
			}
			if challenge := got.Header.Get("WWW-Authenticate"); (challenge != "") != (c.status == 401) {
				t.Errorf("challenge is %q", challenge)
			}
		})
	}
}

func TestRevocationOutlivesEverything(t *testing.T) {
	key, text := keyEntity(nil, nil)
	revocation := entity(gateway.Revocation, key.ID, gateway.RevocationBody{})
	b := backend(t, "echo")
	base := []gateway.Entity{upstreamOf("echo", b.URL), entity(gateway.Route, "r", gateway.RouteBody{Path: "/", Upstream: "echo"})}
	g := newGateway(t, Options{}, append(base, key)...)
	url := serve(t, g)
	expect := func(when string, status int) {
		t.Helper()
		if got := get(t, url, "X-Api-Key", text); got.Status != status {
			t.Fatalf("%s: %d %s", when, got.Status, got.Body)
		}
	}
	expect("live", 200)
	update := func(revision int64, changes ...gateway.Change) {
		t.Helper()
		if err := g.Update(gateway.Batch{Revision: revision, Changes: changes}); err != nil {
			t.Fatal(err)
		}
	}
	update(2, gateway.Change{Op: gateway.Create, Entity: revocation})
	expect("revoked", 401)
	update(3, gateway.Change{Op: gateway.Delete, Entity: key})
	expect("deleted", 401)
	update(4, gateway.Change{Op: gateway.Create, Entity: key})
	expect("put again", 401)
	update(5, gateway.Change{Op: gateway.Delete, Entity: revocation})
	expect("revocation deleted", 401)
	if err := g.Load(gateway.Header{Store: "b", Revision: 1}, gateway.NewState(append(base, key)...)); err != nil {
		t.Fatal(err)
	}
	expect("restored from before the revocation", 401)
	if _, s := g.State(); s.Counts()[gateway.Revocation] != 1 {
		t.Error("the instance does not tell what it knows")
	}
}

// TestRotatedKey: a revocation that takes effect later ends the key by the clock alone, and is neither taken back nor put off.
func TestRotatedKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key, text := keyEntity(nil, nil)
		g := newGateway(t, Options{}, upstreamOf("u"), entity(gateway.Route, "r", gateway.RouteBody{Path: "/", Upstream: "u"}), key)
		update := func(changes ...gateway.Change) {
			t.Helper()
			if err := g.Update(gateway.Batch{Revision: 2, Changes: changes}); err != nil {
				t.Fatal(err)
			}
		}
		opens := func() bool {
			rec, req := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil)
			req.Header.Set("X-Api-Key", text)
			g.ServeHTTP(rec, req)
			return rec.Code == http.StatusServiceUnavailable // there is no endpoint behind the door
		}
		revoked := func(after time.Duration) gateway.Change {
			return put(entity(gateway.Revocation, key.ID, gateway.RevocationBody{Effective: new(time.Now().Add(after))}))
		}
		update(revoked(time.Hour))
		time.Sleep(time.Hour - 1)
		if !opens() {
			t.Error("the key ends before the overlap does")
		}
		time.Sleep(1)
		if opens() {
			t.Error("the key outlives the overlap")
		}
		update(revoked(time.Hour))
		update(remove(key))
		update(put(key))
		if opens() {
			t.Error("the revocation was put off")
		}
		_, s := g.State()
		if body, _ := s.Get(gateway.Ref{Kind: gateway.Revocation, ID: key.ID}); gateway.RevokedFrom(body).After(time.Now()) {
			t.Errorf("it says that it knows %s", body)
		}
		update(put(entity(gateway.Revocation, key.ID, gateway.RevocationBody{})))
		if _, s = g.State(); s.Counts()[gateway.Revocation] != 1 || opens() {
			t.Error("the revocation of now does not count")
		}
	})
}

func TestKeyUsed(t *testing.T) {
	b := backend(t, "echo")
	used, usedText := keyEntity(nil, nil)
	weak, weakText := keyEntity(nil, nil)
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	g := newGateway(t, Options{Now: func() time.Time { return now }}, upstreamOf("echo", b.URL), used, weak,
		entity(gateway.Route, "r", gateway.RouteBody{Path: "/", Upstream: "echo"}),
		entity(gateway.Route, "s", gateway.RouteBody{Path: "/s", Upstream: "echo", Scopes: []string{"x"}}))
	url := serve(t, g)
	get(t, url, "X-Api-Key", usedText)
	get(t, url+"/s", "X-Api-Key", weakText)
	want := map[string]time.Time{used.ID: now.Truncate(time.Minute)}
	since, all := g.KeysUsed()
	if got := maps.Collect(all); !maps.Equal(got, want) || !since.Equal(now) {
		t.Errorf("since %v %v, want %v", since, got, want)
	}
	changes := []gateway.Change{put(used), put(entity(gateway.Revocation, used.ID, gateway.RevocationBody{}))}
	if err := g.Update(gateway.Batch{Revision: 2, Changes: changes}); err != nil {
		t.Fatal(err)
	}
	if got := g.KeyUsed(used.ID); !got.Equal(want[used.ID]) {
		t.Errorf("changed and revoked, the key was last used at %v", got)
	}
	for _, id := range []string{weak.ID, "0000000000000000", "x", ""} {
		if got := g.KeyUsed(id); !got.IsZero() {
			t.Errorf("%q was used at %v", id, got)
		}
	}
}

func TestOneKeyAmongManyChangesAlone(t *testing.T) {
	ring := &keyring{}
	edit := ring.edit()
	for i := range 5_000 {
		c := put(entity(gateway.Key, fmt.Sprintf("%016x", i), gateway.KeyBody{Hash: fmt.Sprintf("%064x", i)}))
		p := parseOne(c)
		if p.err != nil {
			t.Fatal(p.err)
		}
		edit.apply(c, p.key)
	}
	before := edit.ring
	edit = before.edit()
	edit.apply(remove(entity(gateway.Key, fmt.Sprintf("%016x", 77), nil)), nil)
	after := edit.ring
	if before.get(77) == nil || after.get(77) != nil {
		t.Error("the edit is seen where it should not be, or not where it should")
	}
	for i := range 5_000 {
		if id := keyID(i); id != 77 && (before.get(id) == nil || after.get(id) != before.get(id)) {
			t.Fatalf("key %d was touched", id)
		}
	}
}

func TestWords(t *testing.T) {
	lists := [][]string{nil, {""}, {"", ""}, {"a"}, {"a", "b"}, {"a\x00b"}, {"a\x01b"}, {"a\x01\x02b"}, {"a\x00"}, {"\x00"}, {"\x01"}, {"ab"}}
	for _, list := range lists {
		g := grant{scopes: wordsOf(list)}
		for _, other := range lists {
			for _, word := range other {
				if got := g.holds(word); got != slices.Contains(list, word) {
					t.Errorf("%q holds %q: %v", list, word, got)
				}
			}
		}
	}
}

func FuzzAuthenticate(f *testing.F) {
	f.Add("Bearer gwk_0123456789abcdef_x", "gwk_", "x-api-key")
	f.Fuzz(func(t *testing.T, authorization, key, name string) {
		h := http.Header{"Authorization": {authorization}, keyHeader: {key}}
		if _, refusal := (&keyring{}).authenticate(h, &route{}, time.Now()); refusal == nil {
			t.Errorf("%v opens an empty ring", h)
		}
		(&keyring{}).strip(h, true)
		if text, n := presentedKey(h); n > 0 {
			t.Errorf("%q is left", text)
		}
	})
}
