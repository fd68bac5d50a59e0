package proxy

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gwdr/gateway"
)

// act is how an endpoint answers: after so long, with a status, or, if that is 0, by breaking off.
type act struct {
	after  time.Duration
	status int
}

// stage is an upstream whose attempts, in the order in which they come, are answered by a script.
type stage struct {
	script []act
	mu     sync.Mutex
	came   int
	given  int // attempts that were given up
	bodies []string
}

func (s *stage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	now := s.script[min(s.came, len(s.script)-1)]
	s.came++
	s.bodies = append(s.bodies, string(body))
	s.mu.Unlock()
	wait(r.Context(), now.after)
	switch {
	case r.Context().Err() != nil:
		s.mu.Lock()
		s.given++
		s.mu.Unlock()
	case now.status == 0:
		panic(http.ErrAbortHandler)
	default:
		w.WriteHeader(now.status)
		drip(w, r, 3, time.Second) // whoever wins has its time
	}
}

// hedged has two endpoints, and asks the second after 100 ms.
func hedged(r *gateway.RouteBody, u *gateway.UpstreamBody) {
	u.Endpoints = append(u.Endpoints, gateway.Endpoint{URL: "http://other"})
	u.HedgeAfter = 100 * ms
}

func TestHedging(t *testing.T) {
	type script []act
	for name, c := range map[string]struct {
		script
		status, came, given int
		header              time.Duration // when it is there
		won                 float64
	}{
		"in time":                    {script{{50 * time.Millisecond, 200}}, 200, 1, 0, 50 * time.Millisecond, 0},
		"the second is quicker":      {script{{time.Hour, 200}, {10 * time.Millisecond, 200}}, 200, 2, 1, 110 * time.Millisecond, 1},
		"the first is quicker":       {script{{150 * time.Millisecond, 200}, {time.Hour, 200}}, 200, 2, 1, 150 * time.Millisecond, 0},
		"the second says it failed":  {script{{300 * time.Millisecond, 200}, {0, 503}}, 200, 2, 0, 300 * time.Millisecond, 0},
		"the first says so":          {script{{150 * time.Millisecond, 503}, {200 * time.Millisecond, 404}}, 404, 2, 0, 300 * time.Millisecond, 1},
		"the second breaks":          {script{{300 * time.Millisecond, 200}, {0, 0}}, 200, 2, 0, 300 * time.Millisecond, 0},
		"both say it":                {script{{300 * time.Millisecond, 500}, {0, 503}}, 503, 2, 0, 300 * time.Millisecond, 0},
		"one breaks, one says it":    {script{{200 * time.Millisecond, 0}, {200 * time.Millisecond, 503}}, 503, 2, 0, 300 * time.Millisecond, 0},
		"fails before":               {script{{50 * time.Millisecond, 0}, {time.Second, 200}}, 200, 2, 0, 1050 * time.Millisecond, 0},
		"nobody answers in time":     {script{{time.Hour, 200}}, 504, 2, 2, 30 * time.Second, 0},
		"a status below 500 is good": {script{{time.Hour, 200}, {0, 404}}, 404, 2, 1, 100 * time.Millisecond, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &stage{script: c.script}
				b := newBubble(t, s.ServeHTTP, hedged)
				start := time.Now()
				resp, err := b.get(t, t.Context(), "/")
				if err != nil {
					t.Fatal(err)
				}
				header := time.Since(start)
				synctest.Wait()
				if s.given != c.given {
					t.Errorf("%d attempts were given up when the answer began", s.given)
				}
				text, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				synctest.Wait()
				whole := err == nil && (c.status >= 500 || string(text) == "xxx")
				if resp.StatusCode != c.status || header != c.header || !whole {
					t.Errorf("%d after %s: %q, %v", resp.StatusCode, header, text, err)
				}
				if won := counted(t, b.gateway.metrics.hedgesWon); s.came != c.came || won != c.won {
					t.Errorf("%d attempts, %v won", s.came, won)
				}
				b.expectIdle(t)
			})
		})
	}
}

// expectIdle tells of endpoints that have requests under way. That no goroutine is left, the end of the bubble shows.
func (b *bubble) expectIdle(t *testing.T) {
	t.Helper()
	for _, e := range b.gateway.live.Load().upstreams["u"].endpoints {
		if n := e.load.inFlight.Load(); n != 0 {
			t.Errorf("%d requests under way at %s", n, e.url)
		}
	}
}

// TestNotHedged: what may not be made twice, or has nobody else to ask, or no budget.
func TestNotHedged(t *testing.T) {
	for name, c := range map[string]struct {
		method string
		size   int
		change func(*bubble, *http.Request)
		came   int
	}{
		"get":             {"GET", 0, nil, 2},
		"delete":          {"DELETE", 0, nil, 2},
		"put":             {"PUT", 100, nil, 2},
		"put too large":   {"PUT", replayLimit + 1, nil, 1},
		"post":            {"POST", 10, nil, 1},
		"post of nothing": {"POST", 0, nil, 1},
		"upgrade": {"GET", 0, func(_ *bubble, r *http.Request) {
			r.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"x"}}
		}, 1},
		"other is ejected": {"GET", 0, func(b *bubble, _ *http.Request) { u := b.upstream(); u.failed(u.endpoints[1], true) }, 1},
		"no budget": {"GET", 0, func(b *bubble, _ *http.Request) {
			for b.upstream().budget.retry(time.Now()) {
			}
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &stage{script: []act{{time.Second, 204}}}
				b := newBubble(t, s.ServeHTTP, hedged)
				body := strings.Repeat("x", c.size)
				req, err := http.NewRequestWithContext(t.Context(), c.method, "http://front/", strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				if c.change != nil {
					c.change(b, req)
				}
				resp, err := b.client.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				synctest.Wait()
				if resp.StatusCode != 204 || s.came != c.came {
					t.Errorf("%d after %d attempts", resp.StatusCode, s.came)
				}
				for _, got := range s.bodies {
					if got != body {
						t.Errorf("a body of %d bytes came as %d", len(body), len(got))
					}
				}
				b.expectIdle(t)
			})
		})
	}
}

func (b *bubble) upstream() *upstream { return b.gateway.live.Load().upstreams["u"] }

// TestHedgeOfAClientThatGoes: both attempts end, and nobody is blamed.
func TestHedgeOfAClientThatGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stage{script: []act{{time.Hour, 200}}}
		b := newBubble(t, s.ServeHTTP, func(r *gateway.RouteBody, u *gateway.UpstreamBody) {
			hedged(r, u)
			u.Breaker = &gateway.Breaker{Failures: 1}
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if resp, err := b.get(t, ctx, "/"); err == nil {
			t.Error(resp.Status)
		}
		synctest.Wait()
		for _, e := range b.upstream().endpoints {
			if e.failures.Load() != 0 || !e.usable() {
				t.Errorf("%s is blamed", e.url)
			}
		}
		if s.given != 2 {
			t.Errorf("%d attempts were given up", s.given)
		}
		b.expectIdle(t)
	})
}

// TestHedgesUnderLoad, with real connections: each request has its own answer, and nothing is left of the attempts that lost.
func TestHedgesUnderLoad(t *testing.T) {
	var under atomic.Int32
	var came sync.Map
	var urls []string
	for range 3 {
		back := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			under.Add(1)
			defer under.Add(-1)
			body, _ := io.ReadAll(r.Body)
			if _, again := came.LoadOrStore(r.URL.Path, true); !again && strings.HasSuffix(r.URL.Path, "0") {
				<-r.Context().Done()
			}
			fmt.Fprintf(w, "%s %s", r.URL.Path, body)
		}))
		t.Cleanup(back.Close)
		urls = append(urls, back.URL)
	}
	body := bodyOf(urls...)
	body.HedgeAfter, body.RetryBudget, body.ConnectTimeout = 2*ms, 1000, gateway.Duration(time.Minute)
	g := newGateway(t, Options{}, entity(gateway.Upstream, "u", body), open("r", "/{x...}", "u"))
	url := serve(t, g)
	var clients sync.WaitGroup
	for i := range 8 {
		clients.Go(func() {
			for j := range 50 {
				path := fmt.Sprintf("/%d/%d", i, j)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				req, _ := http.NewRequestWithContext(ctx, http.MethodPut, url+path, strings.NewReader(path))
				resp, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Error(err)
				} else {
					text, err := io.ReadAll(resp.Body)
					resp.Body.Close()
					if string(text) != path+" "+path || err != nil {
						t.Errorf("%s: %d %q, %v", path, resp.StatusCode, text, err)
					}
				}
				cancel()
			}
		})
	}
	clients.Wait()
	eventually(t, "nothing is under way", func() bool {
		for _, e := range g.live.Load().upstreams["u"].endpoints {
			if e.load.inFlight.Load() != 0 {
				return false
			}
		}
		return under.Load() == 0
	})
	if counted(t, g.metrics.hedges) == 0 {
		t.Error("nothing was hedged")
	}
}
