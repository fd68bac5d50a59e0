package proxy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gwdr/gateway"
)

// balanced compiles an upstream whose endpoints are called a, b, c and have the weights.
func balanced(t testing.TB, balance string, change func(*gateway.UpstreamBody), weights ...int) *upstream {
	t.Helper()
	body := gateway.UpstreamBody{Balance: balance}
	for i, w := range weights {
		body.Endpoints = append(body.Endpoints, gateway.Endpoint{URL: fmt.Sprintf("http://%c", 'a'+i), Priority: i, Weight: w})
	}
	if change != nil {
		change(&body)
	}
	u, err := newUpstream("u", gateway.Encode(body))
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// picks are the names of the endpoints of n requests that end at once.
func picks(u *upstream, n int) string {
	var names strings.Builder
	for range n {
		e := u.pick(0, nil)
		names.WriteString(e.url.Host)
		e.release()
	}
	return names.String()
}

func TestEqualsTakeTurnsByWeight(t *testing.T) {
	for want, weights := range map[string][]int{"abcabc": {0, 1, 1}, "aabacaa": {5, 1, 1}, "babbab": {1, 2}} {
		if got := picks(balanced(t, "", nil, weights...), len(want)); got != want {
			t.Errorf("weights %v: %s, want %s", weights, got, want)
		}
	}
	u := balanced(t, gateway.Failover, func(b *gateway.UpstreamBody) { b.Endpoints[1].Priority = 0 }, 1, 2, 9)
	if got := picks(u, 6); got != "babbab" {
		t.Errorf("within a priority: %s", got)
	}
	u.endpoints[0].setHealthy(false)
	u.endpoints[1].setHealthy(false)
	if got := picks(u, 2); got != "cc" {
		t.Errorf("the next priority: %s", got)
	}
}

func TestTriedEndpointsAreNotPicked(t *testing.T) {
	for _, balance := range gateway.Balances() {
		u := balanced(t, balance, nil, 1, 1, 1)
		var tried []*endpoint
		for range 3 {
			tried = append(tried, u.pick(7, tried))
		}
		names := map[string]bool{}
		for _, e := range tried {
			names[e.url.Host] = true
		}
		if len(names) != 3 || u.pick(7, tried) != nil {
			t.Errorf("%s: tried %v", balance, slices.Collect(maps.Keys(names)))
		}
	}
}

func TestLeastConnections(t *testing.T) {
	u := balanced(t, gateway.LeastConnections, nil, 1, 3)
	under := map[string]int{}
	var held []*endpoint
	for range 40 {
		e := u.pick(0, nil)
		under[e.url.Host]++
		held = append(held, e)
	}
	if under["a"] != 10 || under["b"] != 30 {
		t.Errorf("under way: %v", under)
	}
	for _, e := range held {
		if e.url.Host == "a" {
			e.release()
		}
	}
	if got := u.pick(0, nil).url.Host; got != "a" {
		t.Errorf("%s is picked although a is idle", got)
	}
}

// TestIPHash: a client stays with its endpoint, clients are spread by weight, and if one endpoint goes only its clients move.
func TestIPHash(t *testing.T) {
	u := balanced(t, gateway.IPHash, nil, 1, 1, 2)
	const clients = 4000
	of := func() map[int]string {
		at := map[int]string{}
		for i := range clients {
			e := u.pick(hashOf(fmt.Sprintf("10.1.%d.%d", i/256, i%256)), nil)
			at[i] = e.url.Host
			e.release()
		}
		return at
	}
	before, again := of(), of()
	share := map[string]int{}
	for i, name := range before {
		share[name]++
		if again[i] != name {
			t.Fatalf("client %d moved from %s to %s", i, name, again[i])
		}
	}
	for name, want := range map[string]int{"a": clients / 4, "b": clients / 4, "c": clients / 2} {
		if got := share[name]; got < want*9/10 || got > want*11/10 {
			t.Errorf("%s has %d clients, want about %d", name, got, want)
		}
	}
	u.endpoints[0].setHealthy(false)
	for i, name := range of() {
		if before[i] != "a" && name != before[i] || name == "a" {
			t.Fatalf("client %d of %s went to %s when a was lost", i, before[i], name)
		}
	}
}

func TestLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := balanced(t, gateway.Latency, nil, 1, 1)
		slow, quick := u.endpoints[0], u.endpoints[1]
		note := func(e *endpoint, took time.Duration, failed bool) { e.load.delay.observe(took, failed, time.Now()) }
		note(slow, 50*time.Millisecond, false)
		note(quick, 5*time.Millisecond, false)
		if got := picks(u, 3); got != "bbb" {
			t.Errorf("the quick one does not get them: %s", got)
		}
		for range 9 { // it is as quick as ten times slower once it has as many waiting
			u.pick(0, nil)
		}
		quick.load.inFlight.Add(1)
		if got := picks(u, 1); got != "a" {
			t.Errorf("the quick one is full, and yet: %s", got)
		}
		quick.load.inFlight.Store(0)
		note(quick, time.Second, true)
		if got := picks(u, 1); got != "a" {
			t.Errorf("a peak is not believed: %s", got)
		}
		note(slow, time.Millisecond, true)
		if got := slow.load.delay.estimate(time.Now()); got < float64(49*time.Millisecond) {
			t.Errorf("a quick failure makes it quick: %v", time.Duration(got))
		}
		time.Sleep(memory)
		note(slow, 500*time.Millisecond, false)
		if got := picks(u, 1); got != "b" {
			t.Errorf("what was slow is not tried again: %s", got)
		}
	})
}

func TestSlowStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := balanced(t, "", func(b *gateway.UpstreamBody) { b.SlowStart = gateway.Duration(time.Minute) }, 1, 1)
		time.Sleep(time.Hour)
		share := func() int { return strings.Count(picks(u, 110), "b") }
		if got := share(); got != 55 {
			t.Errorf("warm: %d of 110", got)
		}
		u.endpoints[1].setHealthy(false)
		u.endpoints[1].setHealthy(true)
		if got := share(); got < 9 || got > 11 {
			t.Errorf("just back: %d of 110", got)
		}
		time.Sleep(30 * time.Second)
		if got := share(); got < 35 || got > 38 {
			t.Errorf("half way: %d of 110", got)
		}
		time.Sleep(30 * time.Second)
		u.failed(u.endpoints[1], true)
		time.Sleep(time.Second)
		if got := share(); got < 9 || got > 11 {
			t.Errorf("back from an ejection: %d of 110", got)
		}
	})
}

func TestReplacedUpstreamKeepsWhatIsUnderWay(t *testing.T) {
	old := balanced(t, gateway.LeastConnections, nil, 1, 1)
	held := old.pick(0, nil)
	old.failed(old.endpoints[1], true)
	next := balanced(t, gateway.LeastConnections, nil, 1, 1, 1)
	next.inherit(old)
	if !next.endpoints[1].isEjected(time.Now()) || next.endpoints[2].isEjected(time.Now()) {
		t.Error("the ejection is forgotten, or of another")
	}
	if got := picks(next, 2); got != "cc" {
		t.Errorf("a has a request, but %s", got)
	}
	held.release()
	if got := picks(next, 2); got != "ac" && got != "ca" {
		t.Errorf("a has none any more, but %s", got)
	}
}

func BenchmarkPick(b *testing.B) {
	for _, balance := range gateway.Balances() {
		for _, n := range []int{2, 10} {
			b.Run(fmt.Sprintf("%s/%d", balance, n), func(b *testing.B) {
				u := balanced(b, balance, nil, make([]int, n)...)
				for i, e := range u.endpoints {
					e.load.delay.observe(time.Duration(i+1)*time.Millisecond, false, time.Now())
				}
				b.ReportAllocs()
				for b.Loop() {
					u.pick(7, nil).release()
				}
			})
		}
	}
}

func TestPickAllocatesNothing(t *testing.T) {
	for _, balance := range gateway.Balances() {
		u := balanced(t, balance, nil, 1, 2, 3)
		tried := u.endpoints[:1]
		if n := testing.AllocsPerRun(100, func() { u.pick(7, tried).release() }); n != 0 {
			t.Errorf("%s: %v allocations", balance, n)
		}
	}
}
