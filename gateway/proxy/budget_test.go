package proxy

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gwdr/gateway"
)

// TestBudget: of an upstream that fails each request, retries are a fifth and ten a second, however often each would be tried.
func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(20)
		load := func(seconds int) (retries int) {
			for range seconds * 1000 {
				b.request(time.Now())
				for range 2 {
					if b.retry(time.Now()) {
						retries++
					}
				}
				time.Sleep(time.Millisecond)
			}
			return retries
		}
		if got := load(1); got != 300 { // the reserve of ten seconds, which are not over
			t.Errorf("%d retries of the first 1000 requests", got)
		}
		if got := load(9); got > 1800 || got < 1790 {
			t.Errorf("%d retries of the next 9000", got)
		}
		if got := load(20); got > 20*220 || got < 20*200 {
			t.Errorf("%d retries of 20000", got)
		}
		next := newBudget(1)
		if next.inherit(b); next.retry(time.Now()) {
			t.Error("an upstream that is put again has a fresh budget")
		}
		time.Sleep(budgetSpan)
		for range budgetReserve {
			if !b.retry(time.Now()) {
				t.Fatal("no retry although there was none of late")
			}
		}
		if b.retry(time.Now()) {
			t.Error("the reserve has no end")
		}
	})
}

func TestBudgetOfAnOutage(t *testing.T) {
	one, first := breaking(t)
	two, second := breaking(t)
	body := bodyOf(one, two)
	body.RetryBudget = 1
	g := newGateway(t, Options{}, entity(gateway.Upstream, "u", body), open("r", "/", "u"))
	url := serve(t, g)
	const requests = 300
	for range requests {
		if got := get(t, url); got.Status != 502 {
			t.Fatalf("%d %s", got.Status, got.Body)
		}
	}
	attempts := first.Load() + second.Load()
	retries, not := counted(t, g.metrics.retries), counted(t, g.metrics.unretried)
	if attempts != requests+int32(retries) || attempts > 2*requests || not == 0 { // without a budget it would be thrice
		t.Errorf("%d requests were %d attempts, of which %v retries; %v were not made", requests, attempts, retries, not)
	}
}

// TestOnlyEndpointIsTriedAgain, if the request may be made twice.
func TestOnlyEndpointIsTriedAgain(t *testing.T) {
	var requests atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if requests.Add(1)%3 != 0 {
			panic(http.ErrAbortHandler)
		}
	}))
	t.Cleanup(server.Close)
	url := serve(t, newGateway(t, Options{}, upstreamOf("u", server.URL), open("r", "/", "u")))
	if got := get(t, url); got.Status != 200 || requests.Load() != 3 {
		t.Errorf("%d after %d attempts", got.Status, requests.Load())
	}
	if got := do(t, "POST", url, "x"); got.Status != 502 || requests.Load() != 4 {
		t.Errorf("post: %d after %d attempts", got.Status, requests.Load()-3)
	}
}

func TestBackOffIsSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for attempts, most := range map[int]time.Duration{1: 2 * againMin, 2: 4 * againMin, 10: againMax} {
			short, long := time.Hour, time.Duration(0)
			for range 200 {
				start := time.Now()
				backOff(t.Context(), attempts)
				short, long = min(short, time.Since(start)), max(long, time.Since(start))
			}
			if short > most/10 || long > most || long < most*9/10 {
				t.Errorf("after %d attempts from %s to %s", attempts, short, long)
			}
		}
	})
}

func TestBudgetAllocatesNothing(t *testing.T) {
	b := newBudget(20)
	if n := testing.AllocsPerRun(1000, func() { b.request(time.Now()); b.retry(time.Now()) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkBudget(b *testing.B) {
	budget := newBudget(20)
	b.ReportAllocs()
	for b.Loop() {
		budget.request(time.Now())
	}
}
