package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gwdr/gateway"
)

// outcomes runs a request for each letter: one that passes, fails, says nothing of who was asked, or is not let through.
func outcomes(t *testing.T, b *breaker, letters string) {
	t.Helper()
	for i, letter := range letters {
		asked := false
		resp, err := b.run(func() (*http.Response, error) {
			asked = true
			switch letter {
			case 'f':
				return &http.Response{StatusCode: 500}, nil
			case 'x':
				return nil, errTimeout
			case 'c':
				return nil, fmt.Errorf("client: %w", context.Canceled)
			}
			return &http.Response{StatusCode: 404}, nil
		})
		if asked != (letter != '-') || !asked && !errors.Is(err, errRouteOpen) || letter == 'f' && (err != nil || resp.StatusCode != 500) {
			t.Fatalf("request %d of %s: asked %t, %v, %v", i, letters, asked, resp, err)
		}
	}
}

func TestBreaker(t *testing.T) {
	policy := gateway.Breaker{Failures: 3, Ratio: 50, HalfOpen: 2} // window 10s, open for 5s
	for name, steps := range map[string][]string{                  // half a second passes after each
		"failures in the window":       {"pffx-", "-"},
		"too few failures":             {"ff", "pp"},
		"too small a share":            {"ppppfff", "f-"},
		"the window forgets":           {"ff", "", "", "", "", "", "", "", "", "", "", "", "", "", "", "", "", "", "", "", "", "ff", "f-"},
		"says nothing":                 {"cccc", "ffccf-"},
		"open for its time, then half": {"fff-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "ppfp", "ff-"},
		"a trial fails":                {"fff-", "", "", "", "", "", "", "", "", "", "", "pf-", "-"},
		"a trial says nothing":         {"fff-", "", "", "", "", "", "", "", "", "", "", "ccccpcp", "ff"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBreaker(&policy, errRouteOpen)
				for _, step := range steps {
					outcomes(t, b, step)
					if open := strings.HasSuffix(step, "-"); b.refuses(time.Now()) != open && step != "" {
						t.Fatalf("after %s it refuses: %t", step, !open)
					}
					time.Sleep(time.Second / 2)
				}
			})
		})
	}
}

// TestBreakerLetsOnlyTrialsThrough while it is half open, however many ask at a time.
func TestBreakerLetsOnlyTrialsThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(&gateway.Breaker{Failures: 1, HalfOpen: 2}, errRouteOpen)
		outcomes(t, b, "f-")
		time.Sleep(5*time.Second + 1)
		var asked, refused atomic.Int32
		for range 10 {
			go func() {
				_, err := b.run(func() (*http.Response, error) {
					asked.Add(1)
					time.Sleep(time.Second)
					return &http.Response{StatusCode: 200}, nil
				})
				if errors.Is(err, errRouteOpen) {
					refused.Add(1)
				}
			}()
		}
		synctest.Wait()
		if asked.Load() != 2 || refused.Load() != 8 || !b.refuses(time.Now()) {
			t.Errorf("%d asked, %d refused", asked.Load(), refused.Load())
		}
		time.Sleep(time.Second)
		synctest.Wait()
		outcomes(t, b, "pppp")
	})
}

func TestBreakerAllocatesNothing(t *testing.T) {
	b, resp := newBreaker(&gateway.Breaker{}, errRouteOpen), &http.Response{StatusCode: 200}
	x := &exchange{route: &route{breaker: b}}
	if n := testing.AllocsPerRun(1000, func() {
		_, _ = x.route.breaker.run(func() (*http.Response, error) { return resp, nil })
		b.refuses(time.Now())
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkBreaker(b *testing.B) {
	k, resp := newBreaker(&gateway.Breaker{}, errRouteOpen), &http.Response{StatusCode: 200}
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			_, _ = k.run(func() (*http.Response, error) { return resp, nil })
		}
	})
}

// failing is a handler that answers 500 while it is told to, and a path of its own always.
type failing struct {
	atomic.Bool
	asked atomic.Int32
}

func (f *failing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.asked.Add(1)
	switch {
	case r.URL.Path == "/hang":
		<-r.Context().Done()
	case f.Load():
		w.WriteHeader(http.StatusInternalServerError)
	}
}

// status asks for the path and returns what was answered.
func (b *bubble) status(t *testing.T, path string) (status int, retryAfter, text string) {
	t.Helper()
	resp, err := b.get(t, t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header.Get("Retry-After"), string(body)
}

// TestBreakerOfTheOnlyEndpoint opens, which an ejection would not, and closes once a trial passes.
func TestBreakerOfTheOnlyEndpoint(t *testing.T) {
	for name, set := range map[string]func(*gateway.RouteBody, *gateway.UpstreamBody, *gateway.Breaker){
		"endpoint": func(_ *gateway.RouteBody, u *gateway.UpstreamBody, b *gateway.Breaker) {
			u.Breaker, u.AllUnhealthy = b, gateway.FailOpen
		},
		"route": func(r *gateway.RouteBody, _ *gateway.UpstreamBody, b *gateway.Breaker) { r.Breaker = b },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var back failing
				b := newBubble(t, back.ServeHTTP, func(r *gateway.RouteBody, u *gateway.UpstreamBody) { set(r, u, &gateway.Breaker{}) })
				back.Store(true)
				for range 5 {
					if status, _, _ := b.status(t, "/"); status != 500 {
						t.Fatal(status)
					}
				}
				time.Sleep(1500 * time.Millisecond)
				start := time.Now()
				status, retry, text := b.status(t, "/")
				if retries := counted(t, b.gateway.metrics.retries); time.Since(start) != 0 || retries != 0 {
					t.Errorf("refused after %s and %v retries", time.Since(start), retries)
				}
				if status != 503 || retry != "4" || !strings.Contains(text, "circuit breaker") || back.asked.Load() != 5 {
					t.Errorf("open: %d, to come again after %s: %s; %d asked", status, retry, text, back.asked.Load())
				}
				if got := counted(t, b.gateway.metrics.refused.open); got != 1 {
					t.Errorf("%v are counted", got)
				}
				time.Sleep(3501 * time.Millisecond)
				if status, _, _ := b.status(t, "/"); status != 500 {
					t.Errorf("trial: %d", status)
				}
				if status, retry, _ := b.status(t, "/"); status != 503 || retry != "5" {
					t.Errorf("after a trial that failed: %d, to come again after %s", status, retry)
				}
				back.Store(false)
				time.Sleep(5001 * time.Millisecond)
				for range 3 {
					if status, _, _ := b.status(t, "/"); status != 200 {
						t.Errorf("closed: %d", status)
					}
				}
			})
		})
	}
}

// TestClientsDoNotOpenABreaker by going away.
func TestClientsDoNotOpenABreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var back failing
		b := newBubble(t, back.ServeHTTP, func(r *gateway.RouteBody, u *gateway.UpstreamBody) {
			r.Breaker, u.Breaker = &gateway.Breaker{Failures: 1}, &gateway.Breaker{Failures: 1}
		})
		for range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if resp, err := b.get(t, ctx, "/hang"); err == nil {
				t.Error(resp.Status)
			}
			cancel()
			synctest.Wait()
		}
		if status, _, text := b.status(t, "/"); status != 200 {
			t.Errorf("%d: %s", status, text)
		}
	})
}

// TestOpenBreakerSparesTheRequest, where there is another endpoint; and is seen from outside.
func TestOpenBreakerSparesTheRequest(t *testing.T) {
	bad, good := newSwitch(t, "bad"), newSwitch(t, "good")
	bad.set(unready)
	body := bodyOf(bad.url, good.url)
	body.Breaker = &gateway.Breaker{Failures: 2, OpenFor: gateway.Duration(time.Hour)}
	registry := newRegistry()
	g := newGateway(t, Options{Metrics: registry}, entity(gateway.Upstream, "u", body), open("r", "/{x...}", "u"))
	url := serve(t, g)
	failed := 0
	for range 20 {
		if get(t, url+"/health").Status != 200 {
			failed++
		}
	}
	if failed != 2 {
		t.Errorf("%d requests failed", failed)
	}
	series := gathered(t, registry)
	for _, want := range []string{
		`breaker_state{endpoint="` + bad.url + `",upstream="u"} 2`, `breaker_opened_total{endpoint="` + bad.url + `",upstream="u"} 1`,
		`breaker_state{endpoint="` + good.url + `",upstream="u"} 0`,
		`healthy{endpoint="` + bad.url + `",upstream="u"} 0`, `ejected{endpoint="` + bad.url + `",upstream="u"} 0`,
	} {
		if !strings.Contains(series, "gwdr_endpoint_"+want+"\n") {
			t.Errorf("no %s in\n%s", want, series)
		}
	}
	if s := g.Status().Endpoints; s[0].Breaker != "open" || s[0].Healthy || s[1].Breaker != "closed" || !s[1].Healthy {
		t.Errorf("status: %+v", s)
	}
	body.Retries = 1 // put again, it is open still; with another policy it is not
	for _, c := range []struct{ state, policy string }{{"open", "the same"}, {"closed", "another"}} {
		if c.policy == "another" {
			body.Breaker = &gateway.Breaker{Failures: 3}
		}
		if err := g.Update(gateway.Batch{Revision: 2, Changes: []gateway.Change{put(entity(gateway.Upstream, "u", body))}}); err != nil {
			t.Fatal(err)
		}
		if got := g.Status().Endpoints[0].Breaker; got != c.state {
			t.Errorf("with %s policy: %s", c.policy, got)
		}
	}
}

// TestBreakerOfOneRoute leaves another of the same upstream alone, and outlives a change of the route.
func TestBreakerOfOneRoute(t *testing.T) {
	s := newSwitch(t, "s")
	s.set(unready)
	body := gateway.RouteBody{Path: "/health", Upstream: "u", Auth: gateway.AuthNone, Breaker: &gateway.Breaker{Failures: 1}}
	g := newGateway(t, Options{}, upstreamOf("u", s.url), entity(gateway.Route, "one", body), open("other", "/x", "u"))
	url := serve(t, g)
	get(t, url+"/health")
	body.Headers = map[string]string{"X-Team": "a"}
	if err := g.Update(gateway.Batch{Revision: 2, Changes: []gateway.Change{put(entity(gateway.Route, "one", body))}}); err != nil {
		t.Fatal(err)
	}
	if got := get(t, url+"/health"); got.Backend != "" || got.Status != 503 || got.Header.Get("Retry-After") != "5" {
		t.Errorf("%d by %q: %s", got.Status, got.Backend, got.Body)
	}
	if got := get(t, url+"/x"); got.Status != 200 {
		t.Errorf("the other route: %d %s", got.Status, got.Body)
	}
}

// TestEjectionAndBreaker both have to let an endpoint have requests; a policy that fails open goes past the one only.
func TestEjectionAndBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := balanced(t, "", func(b *gateway.UpstreamBody) {
			b.Outlier = &gateway.Outlier{Failures: 2, Ejection: gateway.Duration(10 * time.Second)}
			b.Breaker = &gateway.Breaker{Failures: 3}
			b.AllUnhealthy = gateway.FailOpen
		}, 1, 1)
		a, b := u.endpoints[0], u.endpoints[1]
		for range 3 { // under way at the same time
			_, _ = a.breaker.run(func() (*http.Response, error) { return &http.Response{StatusCode: 503}, nil })
			u.answered(a, 503)
		}
		if got := picks(u, 4); got != "bbbb" || !a.breaker.refuses(time.Now()) || !a.isEjected(time.Now()) {
			t.Errorf("open and ejected: %s", got)
		}
		b.setHealthy(false)
		if got := picks(u, 2); got != "bb" {
			t.Errorf("fails open: %s", got)
		}
		b.setHealthy(true)
		time.Sleep(6 * time.Second)
		if got := picks(u, 4); got != "bbbb" || a.breaker.refuses(time.Now()) {
			t.Errorf("half open and ejected: %s", got)
		}
		time.Sleep(4 * time.Second)
		if got := picks(u, 4); strings.Count(got, "a") != 2 {
			t.Errorf("half open: %s", got)
		}
	})
}
