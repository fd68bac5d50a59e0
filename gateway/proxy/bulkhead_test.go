package proxy

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gwdr/gateway"
)

// queue is a bulkhead and those who came to it, in the order in which they got in.
type queue struct {
	*bulkhead
	mu sync.Mutex
	in []string
}

// come enters in the background, and stays.
func (q *queue) come(ctx context.Context, name string) {
	go func() {
		err := q.enter(ctx)
		q.mu.Lock()
		defer q.mu.Unlock()
		switch {
		case errors.Is(err, errFull):
			name += " is refused"
		case err != nil:
			name += " goes"
		}
		q.in = append(q.in, name)
	}()
	synctest.Wait()
}

func (q *queue) expect(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	q.mu.Lock()
	defer q.mu.Unlock()
	if !slices.Equal(q.in, want) {
		t.Errorf("%q, want %q", q.in, want)
	}
	q.in = nil
}

func (q *queue) expectLoad(t *testing.T, taken, waiting int) {
	t.Helper()
	if got, also := q.load(); got != taken || also != waiting {
		t.Errorf("%d are in and %d wait, want %d and %d", got, also, taken, waiting)
	}
}

func newQueue(most, waiting int) *queue {
	return &queue{bulkhead: newBulkhead(&gateway.Bulkhead{MaxInFlight: most, Queue: waiting})}
}

func TestBulkheadQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1, 3)
		ctx, leave := context.WithCancel(t.Context())
		for _, name := range []string{"a", "b"} {
			q.come(t.Context(), name)
		}
		q.come(ctx, "impatient")
		time.Sleep(time.Second / 2)
		q.come(t.Context(), "c")
		q.come(t.Context(), "one too many")
		q.expect(t, "a", "one too many is refused")
		leave()
		q.expect(t, "impatient goes")
		time.Sleep(time.Millisecond)
		q.come(t.Context(), "d")
		q.expectLoad(t, 1, 3)
		q.leave()
		q.expect(t, "b")
		time.Sleep(time.Second - time.Millisecond - 1)
		q.expect(t)
		time.Sleep(1)
		q.expect(t, "c is refused")
		time.Sleep(time.Millisecond)
		q.expect(t, "d is refused")
		q.leave()
		q.expectLoad(t, 0, 0)
	})
}

// TestBulkheadChangesSize while requests are under way: they count.
func TestBulkheadChangesSize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old, small, large := newQueue(3, 0), newQueue(1, 9), newQueue(5, 9)
		small.inherit(old.bulkhead)
		large.inherit(old.bulkhead)
		for range 3 {
			old.come(t.Context(), "old")
		}
		small.come(t.Context(), "a")
		small.come(t.Context(), "b")
		old.leave()
		old.leave()
		small.expect(t)
		old.leave()
		small.expect(t, "a")
		small.expectLoad(t, 1, 1)
		large.come(t.Context(), "c")
		small.expect(t, "b")
		large.expect(t, "c")
		small.expectLoad(t, 3, 0)
	})
}

// TestBulkheadHolds, whoever comes, waits and goes at the same time.
func TestBulkheadHolds(t *testing.T) {
	b := newBulkhead(&gateway.Bulkhead{MaxInFlight: 3, Queue: 4, Wait: gateway.Duration(time.Microsecond)})
	var in, most, passed atomic.Int32
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			for range 500 {
				ctx, cancel := context.WithCancel(t.Context())
				if i%4 == 0 {
					go cancel()
				}
				if b.enter(ctx) == nil {
					passed.Add(1)
					for n, m := in.Add(1), most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
					}
					in.Add(-1)
					b.leave()
				}
				cancel()
			}
		})
	}
	all.Wait()
	if taken, waiting := b.load(); taken != 0 || waiting != 0 || most.Load() > 3 || passed.Load() == 0 {
		t.Errorf("at most %d were in, %d passed; %d are, %d wait", most.Load(), passed.Load(), taken, waiting)
	}
}

func TestBulkheadAllocatesNothing(t *testing.T) {
	for _, b := range []*bulkhead{nil, newBulkhead(&gateway.Bulkhead{MaxInFlight: 1})} {
		if n := testing.AllocsPerRun(1000, func() {
			if b.enter(t.Context()) == nil {
				b.leave()
			}
		}); n != 0 {
			t.Errorf("%v allocations", n)
		}
	}
}

func BenchmarkBulkhead(b *testing.B) {
	k, ctx := newBulkhead(&gateway.Bulkhead{MaxInFlight: 1000}), context.Background()
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if k.enter(ctx) == nil {
				k.leave()
			}
		}
	})
}

// TestBulkheadOutlivesAChange of its route or upstream.
func TestBulkheadOutlivesAChange(t *testing.T) {
	route, body := gateway.RouteBody{Path: "/", Upstream: "u", Bulkhead: &gateway.Bulkhead{MaxInFlight: 9}}, bodyOf()
	body.Bulkhead = route.Bulkhead
	g := newGateway(t, Options{}, entity(gateway.Upstream, "u", body), entity(gateway.Route, "r", route))
	both := func() []*bulkhead {
		c := g.live.Load()
		return []*bulkhead{c.routes["r"].bulkhead, c.upstreams["u"].bulkhead}
	}
	for _, b := range both() {
		if err := b.enter(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	route.MaxBody, body.Retries = 1, 1
	changes := []gateway.Change{put(entity(gateway.Upstream, "u", body)), put(entity(gateway.Route, "r", route))}
	if err := g.Update(gateway.Batch{Revision: 2, Changes: changes}); err != nil {
		t.Fatal(err)
	}
	for i, b := range both() {
		if taken, _ := b.load(); taken != 1 {
			t.Errorf("%d: %d are under way", i, taken)
		}
	}
}

// TestBulkheadOfRequests: they are under way until the end of the response, and those of both bulkheads give back what they took.
func TestBulkheadOfRequests(t *testing.T) {
	for name, set := range map[string]func(*gateway.RouteBody, *gateway.UpstreamBody, *gateway.Bulkhead){
		"upstream": func(r *gateway.RouteBody, u *gateway.UpstreamBody, b *gateway.Bulkhead) {
			r.Bulkhead, u.Bulkhead = &gateway.Bulkhead{MaxInFlight: 100}, b
		},
		"route": func(r *gateway.RouteBody, _ *gateway.UpstreamBody, b *gateway.Bulkhead) { r.Bulkhead = b },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBubble(t, func(w http.ResponseWriter, r *http.Request) { drip(w, r, 2, time.Second) },
					func(r *gateway.RouteBody, u *gateway.UpstreamBody) {
						set(r, u, &gateway.Bulkhead{MaxInFlight: 2, Queue: 1, Wait: gateway.Duration(3 * time.Second)})
					})
				testBulkheadOfRequests(t, b, name)
				c := b.gateway.live.Load()
				for _, h := range []*bulkhead{c.upstreams["u"].bulkhead, c.routes["r"].bulkhead} {
					if h == nil {
						continue
					}
					if taken, waiting := h.load(); taken != 0 || waiting != 0 {
						t.Errorf("%d are under way, %d wait", taken, waiting)
					}
				}
			})
		})
	}
}

func testBulkheadOfRequests(t *testing.T, b *bubble, what string) {
	for range 2 { // whose headers are there at once
		resp, err := b.get(t, t.Context(), "/")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		go io.Copy(io.Discard, resp.Body)
	}
	start := time.Now()
	third := make(chan int)
	go func() {
		status, _, _ := b.status(t, "/")
		third <- status
	}()
	synctest.Wait()
	status, retry, text := b.status(t, "/")
	if status != 503 || retry != "1" || !strings.Contains(text, "requests of the "+what) || time.Since(start) != 0 {
		t.Errorf("%d after %s, to come again after %s: %s", status, time.Since(start), retry, text)
	}
	if got := counted(t, b.gateway.metrics.refused.full); got != 1 {
		t.Errorf("%v are counted", got)
	}
	if status := <-third; status != 200 || time.Since(start) != 4*time.Second {
		t.Errorf("whoever waited: %d after %s", status, time.Since(start))
	}
	synctest.Wait()
}

// TestNobodyAnswersForWhatWasKeptWaiting: a request that waited here until little of its total_timeout was left says nothing of who is
// asked then: no endpoint is ejected by it, and no circuit breaker opened.
func TestNobodyAnswersForWhatWasKeptWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, func(_ http.ResponseWriter, r *http.Request) { wait(r.Context(), 7*time.Second) },
			func(r *gateway.RouteBody, u *gateway.UpstreamBody) {
				r.Breaker = &gateway.Breaker{Failures: 1, Ratio: 1}
				u.Breaker, u.Outlier = r.Breaker, &gateway.Outlier{Failures: 1, MaxEjected: 100}
				u.TotalTimeout, u.Retries = gateway.Duration(10*time.Second), -1
				u.Bulkhead = &gateway.Bulkhead{MaxInFlight: 1, Queue: 1, Wait: gateway.Duration(time.Minute)}
			})
		ask := func() int {
			resp, err := b.get(t, t.Context(), "/")
			if err != nil {
				t.Error(err)
				return 0
			}
			resp.Body.Close()
			return resp.StatusCode
		}
		first := make(chan int)
		go func() { first <- ask() }()
		synctest.Wait()
		if got := ask(); got != 504 {
			t.Errorf("who waited for 7 s and had 3 left: %d", got)
		}
		if got := <-first; got != 200 {
			t.Errorf("the first: %d", got)
		}
		if got := ask(); got != 200 {
			t.Errorf("afterwards: %d", got)
		}
	})
}
