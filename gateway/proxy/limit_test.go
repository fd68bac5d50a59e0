package proxy

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"gwdr/gateway"
)

// TestLimit: a burst passes at once, then the rate, and what was not used comes back up to the burst.
func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits, by := newLimiter(), newLimit(&gateway.Limit{Rate: 4, Burst: 3})
		pass := func(who string) (n int) {
			for limits.take(bucket{"r", who}, by, time.Now()).wait == 0 {
				n++
			}
			return n
		}
		if got := pass("a"); got != 3 {
			t.Errorf("burst is %d", got)
		}
		if got := limits.take(bucket{"r", "a"}, by, time.Now()); got.wait != 250*time.Millisecond || got.left != 0 || got.reset != got.wait {
			t.Errorf("refused: %+v", got)
		}
		if got := pass("b"); got != 3 {
			t.Errorf("another's burst is %d", got)
		}
		passed := 0
		for range 1000 {
			time.Sleep(10 * time.Millisecond)
			if limits.take(bucket{"r", "a"}, by, time.Now()).wait == 0 {
				passed++
			}
		}
		if passed != 40 {
			t.Errorf("%d passed in ten seconds", passed)
		}
		time.Sleep(550 * time.Millisecond)
		if got := pass("a"); got != 2 {
			t.Errorf("after half a second: %d", got)
		}
		time.Sleep(time.Hour)
		if got := limits.take(bucket{"r", "a"}, by, time.Now()); got.left != 2 || got.reset != 250*time.Millisecond {
			t.Errorf("rested: %+v", got)
		}
		if got := pass("a"); got != 2 {
			t.Errorf("after an hour: 1 and %d", got)
		}
		by = newLimit(&gateway.Limit{Rate: 0.001, Burst: 5})
		pass("a")
		by = newLimit(&gateway.Limit{Rate: 1, Burst: 1})
		if got := limits.take(bucket{"r", "a"}, by, time.Now()).wait; got != time.Second {
			t.Errorf("what a limit before this one is owed makes wait for %s", got)
		}
	})
}

func TestLimiterIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits, by := newLimiter(), newLimit(&gateway.Limit{Rate: 0.01})
		add := func(n int, name string) {
			for i := range n {
				limits.take(bucket{"r", fmt.Sprint(name, i)}, by, time.Now())
			}
		}
		held := func() (n int) {
			for i := range limits.shards {
				s := &limits.shards[i]
				if len(s.due) != len(s.all) || len(s.all) > shardBuckets {
					t.Fatalf("a shard has %d buckets, and lists %d", len(s.due), len(s.all))
				}
				n += len(s.all)
			}
			return n
		}
		for i := range shardBuckets {
			b := bucket{"r", fmt.Sprint("old", i)}
			limits.shards[0].due[b], limits.shards[0].all = time.Hour, append(limits.shards[0].all, b)
		}
		if add(16_000, "new"); held() > shardBuckets+15_500 {
			t.Errorf("%d buckets: a full shard forgets none", held())
		}
		limits = newLimiter()
		add(50_000, "old")
		time.Sleep(2 * time.Hour) // now all are as good as none
		if add(50_000, "newer"); held() > 55_000 {
			t.Errorf("%d buckets, of which 50000 count", held())
		}
	})
}

func TestLimitsOfRoutes(t *testing.T) {
	one, oneText := keyEntity(nil, nil)
	two, twoText := keyEntity(nil, nil)
	limited := func(id, auth, per string) gateway.Entity {
		return entity(gateway.Route, id, gateway.RouteBody{Path: "/" + id, Upstream: "u", Auth: auth,
			Limit: &gateway.Limit{Rate: 0.001, Burst: 2, Per: per}})
	}
	route := limited("address", "none", "address")
	g := newGateway(t, Options{}, upstreamOf("u", backend(t, "u").URL), one, two, limited("key", "", ""), route, limited("route", "", "route"))
	url := serve(t, g)
	for i, step := range []struct {
		path, key string
		status    int
	}{
		{"/key", oneText, 200}, {"/key", oneText, 200}, {"/key", oneText, 429}, {"/key", twoText, 200}, {"/key", "gwk_x", 401},
		{"/route", oneText, 200}, {"/route", twoText, 200}, {"/route", oneText, 429}, {"/route", twoText, 429}, {"/route", "", 401},
		{"/address", "", 200}, {"/address", oneText, 200}, {"/address", twoText, 429},
	} {
		got := get(t, url+step.path, "X-Api-Key", step.key)
		if got.Status != step.status {
			t.Errorf("step %d: %d, want %d", i, got.Status, step.status)
		}
		after, policy := got.Header.Get("Retry-After"), got.Header.Get("RateLimit-Policy")
		if (step.status == 429) != (after == "1000") && (step.status == 429) != (after == "999") {
			t.Errorf("step %d: to come again after %q", i, after)
		}
		if want := fmt.Sprintf("%q;q=2;w=2000", step.path[1:]); step.status != 401 && policy != want {
			t.Errorf("step %d: policy is %s", i, policy)
		}
	}
	if got := counted(t, g.metrics.limited); got != 4 {
		t.Errorf("%v were counted as refused", got)
	}
	if err := g.Update(gateway.Batch{Revision: 2, Changes: []gateway.Change{put(route)}}); err != nil {
		t.Fatal(err)
	}
	if got := get(t, url+"/address"); got.Status != 429 {
		t.Errorf("a route that is put again gives a fresh burst: %d", got.Status)
	}
}

func TestNetworks(t *testing.T) {
	for address, want := range map[string]string{"10.1.2.3": "10.1.2.3", "::ffff:10.1.2.3": "::ffff:10.1.2.3", "": "",
		"2001:db8:1:2:3::4": "2001:db8:1:2::/64", "fe80::1%eth0": "fe80::/64"} {
		if got := network(address); got != want {
			t.Errorf("%s is counted as %s", address, got)
		}
	}
}

func BenchmarkLimit(b *testing.B) {
	limits, by := newLimiter(), newLimit(&gateway.Limit{Rate: 1e6})
	b.ReportAllocs()
	for b.Loop() {
		limits.take(bucket{"route", "0123456789abcdef"}, by, time.Now())
	}
}
