package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gwdr/gateway"
)

// common is a Counter in this process: a limiter that several gateways have in common, and that can be lost.
type common struct {
	*limiter
	lost, silent atomic.Bool
	asked        atomic.Int64
}

func (c *common) Take(ctx context.Context, bucketName string, interval time.Duration, room int) (Standing, error) {
	c.asked.Add(1)
	switch {
	case c.lost.Load():
		return Standing{}, errors.New("connection refused")
	case c.silent.Load():
		<-ctx.Done()
		return Standing{}, ctx.Err()
	}
	by := &limit{interval: interval, capacity: interval * time.Duration(room)}
	return c.take(bucket{who: bucketName}, by, time.Now()), nil
}

// sharing is a route whose shared limit lets three requests through, and then none for a long time.
func sharing(id, onLoss string) gateway.Entity {
	return entity(gateway.Route, id, gateway.RouteBody{Path: "/" + id, Upstream: "u", Auth: gateway.AuthNone,
		Limit: &gateway.Limit{Rate: 0.001, Burst: 3, Per: gateway.PerRoute, Shared: true, OnLoss: onLoss}})
}

func TestSharedLimits(t *testing.T) {
	counter, back := &common{limiter: newLimiter()}, backend(t, "u").URL
	entities := []gateway.Entity{upstreamOf("u", back), sharing("local", ""), sharing("allow", "allow"), sharing("deny", "deny")}
	registry := newRegistry()
	one := serve(t, newGateway(t, Options{Counter: counter, Metrics: registry}, entities...))
	two := serve(t, newGateway(t, Options{Counter: counter}, entities...))
	ask := func(path string, urls ...string) (statuses string) {
		t.Helper()
		for _, url := range urls {
			got := get(t, url+path)
			statuses += fmt.Sprint(got.Status, " ")
			if got.Status == 503 && got.Header.Get("Retry-After") != "1" {
				t.Errorf("%s: 503 with %v", path, got.Header)
			}
		}
		return statuses
	}
	for path := range map[string]bool{"/local": true, "/allow": true, "/deny": true} {
		if got := ask(path, one, two, one, two, one); got != "200 200 200 429 429 " {
			t.Errorf("%s of two data planes: %s", path, got)
		}
	}
	counter.lost.Store(true)
	for path, want := range map[string]string{"/local": "200 200 200 429 ", "/allow": "200 200 200 200 ", "/deny": "503 503 503 503 "} {
		if got := ask(path, one, one, one, one); got != want {
			t.Errorf("%s without a counter: %s, want %s", path, got, want)
		}
	}
	got := gathered(t, registry)
	if !strings.Contains(got, "gwdr_limits_shared 0\n") || !strings.Contains(got, "gwdr_limits_unshared_total 12\n") {
		t.Errorf("metrics: %s", got)
	}
	counter.lost.Store(false)
	eventually(t, "limits are shared again", func() bool { return ask("/deny", one) == "429 " })
	if got := ask("/local", one, two) + ask("/allow", one, two); got != "429 429 429 429 " {
		t.Errorf("shared again: %s", got)
	}
}

// TestNobodyCounts: a shared limit without anybody to count it goes by on_loss, and it is said once.
func TestNobodyCounts(t *testing.T) {
	var log bytes.Buffer
	g := newGateway(t, Options{Log: slog.New(slog.NewTextHandler(&log, nil))}, upstreamOf("u", backend(t, "u").URL), sharing("deny", "deny"))
	url := serve(t, g)
	for range 3 {
		if got := get(t, url+"/deny"); got.Status != 503 {
			t.Errorf("status %d", got.Status)
		}
	}
	if n := strings.Count(log.String(), "nobody counts"); n != 1 {
		t.Errorf("said %d times: %s", n, &log)
	}
}

// TestLostCounterCostsNoTime: three requests wait for it, and then one a second.
func TestLostCounterCostsNoTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		counter := &common{limiter: newLimiter()}
		s := sharedLimits{counter: counter, patience: counterPatience, log: slog.New(slog.NewTextHandler(&log, nil))}
		by := newLimit(&gateway.Limit{Rate: 1e6})
		waited := func() time.Duration {
			start := time.Now()
			for range 100 {
				_, err := s.take(bucket{"r", "a"}, by)
				if err != nil != counter.silent.Load() {
					t.Errorf("err is %v", err)
				}
			}
			return time.Since(start)
		}
		if got := waited(); got != 0 || s.works() != 1 {
			t.Errorf("a hundred requests waited for %s", got)
		}
		counter.silent.Store(true)
		if got := waited(); got != 3*counterPatience || s.works() != 0 {
			t.Errorf("silence took a hundred requests %s", got)
		}
		if got := waited(); got != 0 {
			t.Errorf("silence took a hundred more %s", got)
		}
		for range 3 {
			time.Sleep(counterPause)
			if got := waited(); got != counterPatience {
				t.Errorf("after a second a hundred requests waited for %s", got)
			}
		}
		counter.silent.Store(false)
		time.Sleep(counterPause)
		asked := counter.asked.Load()
		if waited(); counter.asked.Load()-asked != 100 || s.works() != 1 {
			t.Error("that it is back was not noticed")
		}
		if lines := strings.Count(log.String(), "\n"); lines != 2 || !strings.Contains(log.String(), "deadline exceeded") {
			t.Errorf("it says %s", &log)
		}
	})
}

func TestKeysOfBucketsDiffer(t *testing.T) {
	seen := map[string]bool{}
	for _, l := range []gateway.Limit{{Rate: 1}, {Rate: 2}, {Rate: 1, Burst: 2}, {Rate: 1, Per: gateway.PerAddress}} {
		for _, b := range []bucket{{"a", "b"}, {"a:key:b", ""}, {`a":key:"b`, ""}, {"", `a":key:"b`}} {
			key := newLimit(&l).key(b)
			if seen[key] {
				t.Errorf("%s is there twice", key)
			}
			seen[key] = true
		}
	}
}
