package contract

import (
	"strings"
	"sync"
	"testing"

	"gwdr/gateway"
)

var ofOrders = NewRoute(&gateway.RouteBody{Methods: []string{"POST"}, Path: "/v1/orders"})

// TestCache: a document is compiled once, however many ask for it, and again when it had to make room.
func TestCache(t *testing.T) {
	padded := shop + strings.Repeat("#", 1000)
	c := Cache{Most: int64(2 * len(padded))}
	a, b, d := NewSpec("a", []byte(padded)), NewSpec("b", []byte(padded)), NewSpec("d", []byte(padded))
	use := func(s *Spec) *Contract {
		t.Helper()
		contract, err := c.Contract(s, ofOrders)
		if err != nil {
			t.Fatal(err)
		}
		return contract
	}
	first := make([]*Contract, 8)
	var all sync.WaitGroup
	for i := range first {
		all.Go(func() { first[i] = use(a) })
	}
	all.Wait()
	for _, contract := range first {
		if contract != first[0] {
			t.Error("it was compiled more than once")
		}
	}
	ofB := use(b)
	use(a)
	use(d) // b makes room
	if len(c.kept) != 2 || c.weight != c.Most || use(a) != first[0] {
		t.Errorf("%d are kept, of %d bytes", len(c.kept), c.weight)
	}
	if use(b) == ofB {
		t.Error("it was kept beyond what is allowed")
	}
	c.Forget(a)
	c.Forget(b)
	c.Forget(b)
	c.Forget(d)
	if len(c.kept) != 0 || c.weight != 0 {
		t.Errorf("%d are kept, of %d bytes", len(c.kept), c.weight)
	}
}

func TestCacheOfErrors(t *testing.T) {
	var c Cache
	bad, good := NewSpec("bad", []byte("nothing")), NewSpec("good", []byte(shop))
	for range 2 {
		if _, err := c.Contract(bad, ofOrders); err == nil {
			t.Error("it is compiled")
		}
		if _, err := c.Contract(good, NewRoute(&gateway.RouteBody{Methods: []string{"GET"}, Path: "/none"})); err == nil {
			t.Error("it is bound")
		}
		if _, err := c.Contract(good, ofOrders); err != nil {
			t.Error(err)
		}
	}
	if len(c.kept) != 1 {
		t.Errorf("%d are kept", len(c.kept))
	}
}
