package proxy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"gwdr/gateway"
)

// identity is an issuer as it is reached: what it has, whether it can be reached, and how often it was.
type identity struct {
	mu    sync.Mutex
	set   *gateway.KeySet
	down  bool
	takes time.Duration
	reads int
}

func (i *identity) change(f func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	f()
}

func (i *identity) read(ctx context.Context) (*gateway.KeySet, error) {
	i.mu.Lock()
	i.reads++
	set, down, takes := i.set, i.down, i.takes
	i.mu.Unlock()
	wait(ctx, takes)
	if down {
		return nil, errors.New("connection refused")
	}
	return set, nil
}

func (i *identity) count() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.reads
}

// newSource returns a source of the identity's keys that runs, refreshes each five minutes, and counts them for a day.
func newSource(t *testing.T, i *identity) *keySource {
	s := newKeySource(gateway.IssuerBody{JWKSFile: "/nowhere"}.WithDefaults())
	s.read = i.read
	s.start(newKeyCache("", slog.New(slog.DiscardHandler)), slog.New(slog.DiscardHandler))
	t.Cleanup(s.end)
	return s
}

// asks reports whether the source has the signer's key, as a request that comes with a token of it finds out.
func asks(t *testing.T, s *keySource, by signer) error {
	t.Helper()
	token, err := readToken(by.token(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	if _, err = s.find(token); err != nil && s.await(t.Context()) {
		_, err = s.find(token)
	}
	return err
}

// TestKeysOutliveAnOutage: the last keys count for a day, then no more, and those that are there afterwards count at once.
func TestKeysOutliveAnOutage(t *testing.T) {
	old, young := newSigner(t, "old", jose.ES256), newSigner(t, "young", jose.EdDSA)
	synctest.Test(t, func(t *testing.T) {
		i := &identity{set: keySetOf(t, old)}
		s := newSource(t, i)
		synctest.Wait()
		i.change(func() { i.down = true })
		time.Sleep(23 * time.Hour)
		if err := asks(t, s, old); err != nil {
			t.Errorf("a day's outage: %v", err)
		}
		if n := i.count(); n < 23*12 || n > 23*15 {
			t.Errorf("read %d times", n)
		}
		time.Sleep(2 * time.Hour)
		if err := asks(t, s, old); !errors.Is(err, errNoKeys) {
			t.Errorf("more than a day: %v", err)
		}
		i.change(func() { i.down, i.set = false, keySetOf(t, young) })
		time.Sleep(5 * time.Minute)
		if err := asks(t, s, young); err != nil {
			t.Errorf("back again: %v", err)
		}
		if err := asks(t, s, old); !errors.Is(err, errWrongID) {
			t.Errorf("the key that was taken away: %v", err)
		}
	})
}

// TestKeysAreReadSoonerAfterAFailure: after 1 s, 2 s and so on.
func TestKeysAreReadSoonerAfterAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &identity{down: true}
		newSource(t, i)
		synctest.Wait()
		for _, after := range []time.Duration{1, 2, 4, 8} {
			before := i.count()
			time.Sleep(after * time.Second)
			synctest.Wait()
			if got := i.count() - before; got != 1 {
				t.Errorf("%d reads within %d s", got, after)
			}
		}
	})
}

// TestUnknownKey: a token of a key that is not there has the keys read once; many of them, and those of nobody, no more often than each
// ten seconds. Who asks meanwhile waits for what is read, but tokens of known keys wait for nothing.
func TestUnknownKey(t *testing.T) {
	old, young, never := newSigner(t, "old", jose.ES256), newSigner(t, "young", jose.EdDSA), newSigner(t, "never", jose.EdDSA)
	synctest.Test(t, func(t *testing.T) {
		i := &identity{set: keySetOf(t, old), takes: 2 * time.Second}
		s := newSource(t, i)
		began := time.Now()
		if err := asks(t, s, old); err != nil || time.Since(began) != 2*time.Second {
			t.Errorf("the first, after %s: %v", time.Since(began), err)
		}
		i.change(func() { i.set = keySetOf(t, old, young) })
		time.Sleep(askEvery)
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				began := time.Now()
				if err := asks(t, s, young); err != nil || time.Since(began) != 2*time.Second {
					t.Errorf("a new key, after %s: %v", time.Since(began), err)
				}
			})
			all.Go(func() {
				began := time.Now()
				if err := asks(t, s, old); err != nil || time.Since(began) != 0 {
					t.Errorf("a known key, after %s: %v", time.Since(began), err)
				}
			})
		}
		all.Wait()
		began = time.Now()
		for range 100 {
			if err := asks(t, s, never); !errors.Is(err, errWrongID) || time.Since(began) != 0 {
				t.Errorf("nobody's key, after %s: %v", time.Since(began), err)
			}
		}
		if n := i.count(); n != 2 {
			t.Errorf("read %d times", n)
		}
		time.Sleep(askEvery)
		if err := asks(t, s, never); !errors.Is(err, errWrongID) || i.count() != 3 {
			t.Errorf("later read %d times: %v", i.count(), err)
		}
	})
}

// TestNobodyWaitsForASourceThatEnded: neither who asked before, nor who asks then.
func TestNobodyWaitsForASourceThatEnded(t *testing.T) {
	by := newSigner(t, "k", jose.EdDSA)
	synctest.Test(t, func(t *testing.T) {
		s := newSource(t, &identity{down: true, takes: time.Hour})
		var asked sync.WaitGroup
		asked.Go(func() {
			if err := asks(t, s, by); !errors.Is(err, errNoKeys) {
				t.Error(err)
			}
		})
		synctest.Wait()
		s.end()
		asked.Wait()
		time.Sleep(time.Hour)
		if err := asks(t, s, by); !errors.Is(err, errNoKeys) {
			t.Error(err)
		}
		never := newKeySource(gateway.IssuerBody{JWKSFile: "/nowhere"}.WithDefaults())
		if err := asks(t, never, by); !errors.Is(err, errNoKeys) {
			t.Errorf("before it runs: %v", err)
		}
	})
}

// TestNobodyWaitsForAReadThatHangs: as one of a file can, when its disk does.
func TestNobodyWaitsForAReadThatHangs(t *testing.T) {
	by := newSigner(t, "k", jose.EdDSA)
	synctest.Test(t, func(t *testing.T) {
		s := newSource(t, &identity{takes: time.Hour})
		began := time.Now()
		if err := asks(t, s, by); !errors.Is(err, errNoKeys) || time.Since(began) != keysTimeout {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
}

// published is an issuer's JWKS by HTTP.
type published struct {
	*httptest.Server
	asked atomic.Int64
}

func publish(t *testing.T, answer http.HandlerFunc) *published {
	t.Helper()
	p := &published{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.asked.Add(1)
		answer(w, r)
	}))
	t.Cleanup(p.Close)
	return p
}

func publishKeys(t *testing.T, signers ...signer) *published {
	t.Helper()
	text, err := json.Marshal(keySetOf(t, signers...))
	if err != nil {
		t.Fatal(err)
	}
	return publish(t, func(w http.ResponseWriter, _ *http.Request) { w.Write(text) })
}

func remoteIssuer(url string, audiences ...string) gateway.Entity {
	return entity(gateway.Setting, "jwt-main", gateway.IssuerBody{Issuer: "https://id.example", Audiences: audiences, JWKSURL: url})
}

// TestKeysOutliveARestart: a process that starts while the issuer is gone has the keys that the one before it had, and one that finds a
// damaged file asks the issuer.
func TestKeysOutliveARestart(t *testing.T) {
	s := newSigner(t, "k", jose.ES256)
	p := publishKeys(t, s)
	lastGood := filepath.Join(t.TempDir(), "last-good.ndjson")
	start := func() *Gateway {
		t.Helper()
		g, err := New(Options{LastGood: lastGood})
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	end := func(g *Gateway) {
		t.Helper()
		if err := g.Close(); err != nil {
			t.Fatal(err)
		}
	}
	g := start()
	if err := g.Load(storeA, gateway.NewState(upstreamOf("u"), tokenRoute("r", "jwt"), remoteIssuer(p.URL, "api"))); err != nil {
		t.Fatal(err)
	}
	if got := opened(g, "/r", s.token(t, nil)); got != http.StatusServiceUnavailable || p.asked.Load() != 1 {
		t.Fatalf("answered %d, asked the issuer %d times", got, p.asked.Load())
	}
	end(g)
	p.Close()
	g = start()
	if err := g.LoadLastGood(); err != nil {
		t.Fatal(err)
	}
	rec, req := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/r", nil)
	req.Header.Set("Authorization", "Bearer "+s.token(t, nil))
	if g.ServeHTTP(rec, req); !strings.Contains(rec.Body.String(), "no endpoint") {
		t.Errorf("after the restart: %d %s", rec.Code, rec.Body)
	}
	end(g)
	if err := os.WriteFile(filepath.Join(filepath.Dir(lastGood), "jwks.json"), []byte(`{"x":`), 0o600); err != nil {
		t.Fatal(err)
	}
	g = start()
	if err := g.LoadLastGood(); err != nil {
		t.Fatal(err)
	}
	rec = httptest.NewRecorder()
	if g.ServeHTTP(rec, req); rec.Code != 503 || rec.Header().Get("Retry-After") != "1" || !strings.Contains(rec.Body.String(), "are not known") {
		t.Errorf("with a damaged file: %d %s", rec.Code, rec.Body)
	}
	end(g)
}

// TestChangedIssuerKeepsItsKeys: a change of an issuer is no reason for its keys to be unknown, even while it is gone.
func TestChangedIssuerKeepsItsKeys(t *testing.T) {
	s := newSigner(t, "k", jose.ES256)
	p := publishKeys(t, s)
	g := newGateway(t, Options{}, upstreamOf("u", backend(t, "b").URL), tokenRoute("r", "jwt"), remoteIssuer(p.URL, "api"))
	url := serve(t, g)
	ask := func(when string, status int, claims map[string]any) {
		t.Helper()
		if got := get(t, url+"/r", "Authorization", "Bearer "+s.token(t, claims)); got.Status != status {
			t.Errorf("%s: %d %s", when, got.Status, got.Body)
		}
	}
	update := func(c gateway.Change) {
		t.Helper()
		if err := g.Update(gateway.Batch{Revision: 2, Changes: []gateway.Change{c}}); err != nil {
			t.Fatal(err)
		}
	}
	ask("first", 200, nil)
	eventually(t, "the keys are kept", func() bool { return g.keySets.get(p.URL) != nil })
	p.Close()
	update(put(remoteIssuer(p.URL, "shop")))
	ask("another audience", 401, nil)
	ask("its own", 200, map[string]any{"aud": "shop"})
	update(remove(remoteIssuer(p.URL)))
	ask("gone", 401, map[string]any{"aud": "shop"})
	bad := put(entity(gateway.Setting, "jwt-main", map[string]string{"iss": "x"}))
	if err := g.Update(gateway.Batch{Revision: 3, Changes: []gateway.Change{bad}}); err == nil {
		t.Error("an issuer that cannot work is taken")
	}
}

// TestADiskThatHangsHoldsNoConfigurationBack: the keys of issuers are written by nobody whom requests or changes wait for.
func TestADiskThatHangsHoldsNoConfigurationBack(t *testing.T) {
	s := newSigner(t, "k", jose.ES256)
	p := publishKeys(t, s)
	g := newGateway(t, Options{LastGood: filepath.Join(t.TempDir(), "last-good.ndjson")}, upstreamOf("u"), tokenRoute("r", "jwt"))
	g.keySets.writing.Lock()
	defer g.keySets.writing.Unlock()
	for i, audience := range []string{"shop", "api"} {
		if err := g.Update(gateway.Batch{Revision: int64(i) + 2, Changes: []gateway.Change{put(remoteIssuer(p.URL, audience))}}); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the keys are read", func() bool { return g.keySets.get(p.URL) != nil })
	}
	if got := opened(g, "/r", s.token(t, nil)); got != http.StatusServiceUnavailable {
		t.Errorf("answered %d", got)
	}
}

// TestIssuersAreLeftAloneInATrial: what a configuration names is not reached while it is tried out.
func TestIssuersAreLeftAloneInATrial(t *testing.T) {
	s := newSigner(t, "k", jose.ES256)
	p := publishKeys(t, s)
	g := newGateway(t, Options{UpstreamsAt: "127.0.0.1:1"}, upstreamOf("u"), tokenRoute("r", "jwt"), remoteIssuer(p.URL, "api"))
	if got := opened(g, "/r", s.token(t, nil)); got != http.StatusServiceUnavailable {
		t.Errorf("answered %d", got)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	if n := p.asked.Load(); n != 0 {
		t.Errorf("asked the issuer %d times", n)
	}
}

// TestAgeOfKeysIsAMetric until the issuer is gone from the configuration.
func TestAgeOfKeysIsAMetric(t *testing.T) {
	s := newSigner(t, "k", jose.ES256)
	r := newRegistry()
	g := newGateway(t, Options{Metrics: r}, upstreamOf("u"), tokenRoute("r", "jwt"), remoteIssuer(publishKeys(t, s).URL, "api"), issuerOf(t, "other", s))
	opened(g, "/r", s.token(t, nil))
	if text := gathered(t, r); strings.Count(text, "gwdr_jwks_age_seconds") != 1 || !strings.Contains(text, `gwdr_jwks_age_seconds{issuer="main"}`) {
		t.Errorf("metrics:\n%s", text)
	}
	if err := g.Update(gateway.Batch{Revision: 2, Changes: []gateway.Change{remove(remoteIssuer(""))}}); err != nil {
		t.Fatal(err)
	}
	if text := gathered(t, r); strings.Contains(text, "gwdr_jwks_age_seconds") {
		t.Errorf("metrics:\n%s", text)
	}
}

func TestReadKeys(t *testing.T) {
	s := newSigner(t, "k", jose.EdDSA)
	text, err := json.Marshal(keySetOf(t, s))
	if err != nil {
		t.Fatal(err)
	}
	good := publishKeys(t, s)
	dir := t.TempDir()
	name := filepath.Join(dir, "jwks.json")
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	answers := func(status int, body []byte) string {
		return publish(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", good.URL)
			w.WriteHeader(status)
			w.Write(body)
		}).URL
	}
	for what, c := range map[string]struct {
		read func(context.Context) (*gateway.KeySet, error)
		want string
	}{
		"a URL":          {keysAt(good.URL), ""},
		"a file":         {keysIn(name), ""},
		"an error page":  {keysAt(answers(500, text)), "status 500"},
		"a redirect":     {keysAt(answers(302, nil)), "status 302"},
		"no JSON":        {keysAt(answers(200, []byte("<html>"))), "not JSON"},
		"no keys":        {keysAt(answers(200, []byte(`{"keys":[]}`))), "has no key"},
		"a large answer": {keysAt(answers(200, append(bytes.Repeat([]byte(" "), 1<<20), text...))), "larger than"},
		"nobody there":   {keysAt(deadURL(t)), "refused"},
		"a missing file": {keysIn(filepath.Join(dir, "none")), "no such file"},
		"a pipe":         {keysIn(filepath.Join(dir, "pipe")), "no regular file"},
		"a directory":    {keysIn(dir), "no regular file"},
		"no TLS":         {keysAt(strings.Replace(good.URL, "http:", "https:", 1)), "HTTP response to HTTPS"},
	} {
		set, err := c.read(t.Context())
		if c.want == "" && (err != nil || len(set.Keys) != 1 || set.Keys[0].KeyID != "k") {
			t.Errorf("%s: %v %v", what, set, err)
		}
		if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: error is %v", what, err)
		}
	}
}
