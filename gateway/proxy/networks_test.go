package proxy

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"gwdr/gateway"
)

func prefixes(texts ...string) (all []netip.Prefix) {
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

// TestNetworksContain what one of them contains, as looking at each would find.
func TestNetworksContain(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	address := func() netip.Addr { // they are close to each other, so that networks lie within networks
		var b [16]byte
		binary.BigEndian.PutUint16(b[2:], uint16(random.IntN(1<<12)))
		if random.IntN(2) == 0 {
			return netip.AddrFrom4([4]byte(b[:4]))
		}
		return netip.AddrFrom16(b)
	}
	for range 200 {
		var all []netip.Prefix
		for range random.IntN(20) {
			ip := address()
			all = append(all, netip.PrefixFrom(ip, random.IntN(33)).Masked())
		}
		n := newNetworks(all)
		for range 200 {
			ip := address()
			if want := slices.ContainsFunc(all, func(p netip.Prefix) bool { return p.Contains(ip) }); n.contain(ip) != want {
				t.Fatalf("%v contain %s: %t, want %t", all, ip, !want, want)
			}
		}
	}
	if got, want := fmt.Sprint(newNetworks(prefixes("10.1.0.0/16", "10.0.0.0/8", "10.0.0.0/8", "11.0.0.0/8", "::/0", "fd00::/8"))),
		"[10.0.0.0/8 11.0.0.0/8 ::/0]"; got != want {
		t.Errorf("kept %s, want %s", got, want)
	}
	if n := newNetworks(prefixes("0.0.0.0/0", "::/0")); n.contain(netip.Addr{}) {
		t.Error("what is no address is in a network")
	}
}

// TestAdmission: of a route and of all, and for whom a trusted proxy asks.
func TestAdmission(t *testing.T) {
	of := func(id string, allow, deny []string) gateway.Entity {
		return entity(gateway.Route, id, gateway.RouteBody{Path: "/" + id, Upstream: "u", Auth: gateway.AuthNone,
			AllowFrom: allow, DenyFrom: deny})
	}
	registry := newRegistry()
	key, _ := keyEntity(nil, nil)
	guarded := entity(gateway.Route, "guarded", gateway.RouteBody{Path: "/guarded", Upstream: "u", DenyFrom: []string{"192.0.2.0/24"}})
	g := newGateway(t, Options{Trusted: prefixes("127.0.0.0/8"), DenyFrom: prefixes("198.51.100.0/24"), Metrics: registry}, key, guarded,
		upstreamOf("u", backend(t, "u").URL), open("any", "/any", "u"), of("allow", []string{"192.0.2.0/24", "2001:db8::/32"}, nil),
		of("deny", nil, []string{"192.0.2.7"}), of("both", []string{"192.0.2.0/24"}, []string{"192.0.2.7"}))
	url := serve(t, g)
	refused := 0
	for _, c := range []struct {
		path, client string
		status       int
	}{
		{"/any", "192.0.2.1", 200}, {"/any", "198.51.100.1", 403}, {"/none", "198.51.100.1", 403}, {"/any", "::ffff:198.51.100.1", 403},
		{"/allow", "192.0.2.1", 200}, {"/allow", "192.0.3.1", 403}, {"/allow", "2001:db8::5", 200}, {"/allow", "2001:db9::5", 403},
		{"/deny", "192.0.2.7", 403}, {"/deny", "192.0.2.8", 200}, {"/deny", "2001:db8::5", 200},
		{"/both", "192.0.2.7", 403}, {"/both", "192.0.2.8", 200}, {"/both", "192.0.3.8", 403},
		{"/guarded", "192.0.2.8", 403}, {"/guarded", "192.0.3.8", 401},
		{"/.gwdr/ready", "198.51.100.1", 200},
	} {
		got := get(t, url+c.path, "X-Forwarded-For", c.client)
		if got.Status != c.status || c.status == 403 && strings.Contains(got.Body, c.client) {
			t.Errorf("%s from %s: %d %s, want %d", c.path, c.client, got.Status, got.Body, c.status)
		}
		if c.status == 403 {
			refused++
		}
	}
	if want := fmt.Sprintf("gwdr_address_refused_total %d\n", refused); !strings.Contains(gathered(t, registry), want) {
		t.Errorf("metrics lack %s", want)
	}
	if got := get(t, url+"/allow"); got.Status != 403 {
		t.Errorf("the proxy itself is not allowed: %d", got.Status)
	}
}

// TestNobodyElse: who says by itself where it comes from is where it is.
func TestNobodyElse(t *testing.T) {
	g := newGateway(t, Options{AllowFrom: prefixes("192.0.2.0/24")}, upstreamOf("u", backend(t, "u").URL), open("r", "/", "u"))
	if got := get(t, serve(t, g), "X-Forwarded-For", "192.0.2.1"); got.Status != 403 {
		t.Errorf("who claims an address is let in: %d", got.Status)
	}
}

func BenchmarkNetworks(b *testing.B) {
	for _, size := range []int{10, 100_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			all := make([]netip.Prefix, size)
			for i := range all {
				all[i] = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
			}
			n, ip := newNetworks(all), netip.MustParseAddr("10.0.0.7")
			b.ReportAllocs()
			for b.Loop() {
				if !n.contain(ip) {
					b.Fatal("it is not there")
				}
			}
		})
	}
}
