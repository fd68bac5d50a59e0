package proxy

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gwdr/gateway"
)

// delayed is a bubble whose route lets ten requests a second through, one at a time, and has room for six.
func delayed(t *testing.T, seen func(http.ResponseWriter, *http.Request), change func(*gateway.Limit)) *bubble {
	return newBubble(t, seen, func(r *gateway.RouteBody, _ *gateway.UpstreamBody) {
		r.Limit = &gateway.Limit{Rate: 10, Burst: 6, Per: gateway.PerRoute, Mode: gateway.LimitDelay}
		change(r.Limit)
	})
}

func asItIs(*gateway.Limit) {}

// TestDelay: requests that come at once reach the upstream one after the other, at the rate, and those that the bucket has no room for
// are refused at once.
func TestDelay(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*gateway.Limit)
		pass   int
	}{
		"burst":    {asItIs, 6},
		"max_wait": {func(l *gateway.Limit) { l.MaxWait = gateway.Duration(250 * time.Millisecond) }, 3},
		"one":      {func(l *gateway.Limit) { l.Burst = 1 }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				var mu sync.Mutex
				var came, statuses []time.Duration
				b := delayed(t, func(http.ResponseWriter, *http.Request) {
					mu.Lock()
					defer mu.Unlock()
					came = append(came, time.Since(start))
				}, c.change)
				var all sync.WaitGroup
				for range 10 {
					all.Go(func() {
						resp, err := b.get(t, t.Context(), "/")
						if err != nil {
							t.Error(err)
							return
						}
						defer resp.Body.Close()
						io.Copy(io.Discard, resp.Body)
						mu.Lock()
						defer mu.Unlock()
						if resp.StatusCode == http.StatusTooManyRequests {
							statuses = append(statuses, time.Since(start))
							if resp.Header.Get("Retry-After") != "1" {
								t.Errorf("refused with %v", resp.Header)
							}
						}
					})
				}
				all.Wait()
				var want []time.Duration
				for i := range c.pass {
					want = append(want, time.Duration(i)*100*time.Millisecond)
				}
				if !slices.Equal(came, want) {
					t.Errorf("requests came after %v, want %v", came, want)
				}
				if !slices.Equal(statuses, make([]time.Duration, 10-c.pass)) {
					t.Errorf("refused after %v, want %d at once", statuses, 10-c.pass)
				}
				if n := counted(t, b.gateway.metrics.delayed); n != float64(c.pass-1) {
					t.Errorf("%v waited", n)
				}
			})
		})
	}
}

// TestDelayIsNoneBelowTheRate: who keeps to the rate never waits.
func TestDelayIsNoneBelowTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := delayed(t, func(http.ResponseWriter, *http.Request) {}, asItIs)
		for range 20 {
			start := time.Now()
			resp, err := b.get(t, t.Context(), "/")
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != 200 || time.Since(start) != 0 {
				t.Errorf("%d after %s", resp.StatusCode, time.Since(start))
			}
			time.Sleep(100 * time.Millisecond)
		}
	})
}

// TestDelayEndsWithItsClient: whoever gives up waits no longer, reaches nobody, and leaves others their turns.
func TestDelayEndsWithItsClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start, reached := time.Now(), make(chan string, 10)
		b := delayed(t, func(_ http.ResponseWriter, r *http.Request) { reached <- r.URL.Path + time.Since(start).String() }, asItIs)
		ask := func(ctx context.Context, path string) error {
			resp, err := b.get(t, ctx, path)
			if err == nil {
				resp.Body.Close()
			}
			return err
		}
		ctx, cancel := context.WithCancel(t.Context())
		results := make(chan error, 2)
		if err := ask(t.Context(), "/first"); err != nil {
			t.Fatal(err)
		}
		go func() { results <- ask(ctx, "/gone") }()
		synctest.Wait()
		go func() { results <- ask(t.Context(), "/last") }()
		synctest.Wait()
		if n := gaugeOf(t, b.gateway.metrics.waiting); n != 2 {
			t.Errorf("%v wait", n)
		}
		cancel()
		if err := <-results; !errors.Is(err, context.Canceled) {
			t.Errorf("who gave up: %v", err)
		}
		if synctest.Wait(); gaugeOf(t, b.gateway.metrics.waiting) != 1 {
			t.Error("who gave up waits on")
		}
		if err := <-results; err != nil {
			t.Error(err)
		}
		close(reached)
		var all []string
		for r := range reached {
			all = append(all, r)
		}
		if got := strings.Join(all, " "); got != "/first0s /last200ms" {
			t.Errorf("reached: %s", got)
		}
	})
}
