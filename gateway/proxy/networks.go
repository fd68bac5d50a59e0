package proxy

import (
	"net/http"
	"net/netip"
	"slices"

	"gwdr/gateway"
)

// networks are sorted, and none is within another, so that looking for an address takes no longer than a few comparisons.
type networks []netip.Prefix

func newNetworks(all []netip.Prefix) (n networks) {
	for _, p := range slices.SortedFunc(slices.Values(all), netip.Prefix.Compare) { // a network comes before what is within
		if last := len(n) - 1; last < 0 || !n[last].Contains(p.Addr()) {
			n = append(n, p)
		}
	}
	return n
}

// contain reports whether one of the networks has the address. Only the last that does not begin after it can.
func (n networks) contain(ip netip.Addr) bool {
	after, _ := slices.BinarySearchFunc(n, ip, func(p netip.Prefix, ip netip.Addr) int {
		if p.Addr().Compare(ip) <= 0 {
			return -1
		}
		return 1
	})
	return after > 0 && n[after-1].Contains(ip)
}

// admission is from where requests are taken. The zero value takes them from anywhere.
type admission struct {
	allow networks // empty: any
	deny  networks // these not, also if they are allowed
}

func newAdmission(allow, deny []netip.Prefix) admission {
	return admission{allow: newNetworks(allow), deny: newNetworks(deny)}
}

func admissionOf(b *gateway.RouteBody) (admission, error) {
	allow, err := gateway.ParseNetworks(b.AllowFrom)
	if err != nil {
		return admission{}, err
	}
	deny, err := gateway.ParseNetworks(b.DenyFrom)
	return newAdmission(allow, deny), err
}

func (a *admission) takes(ip netip.Addr) bool {
	return !a.deny.contain(ip) && (len(a.allow) == 0 || a.allow.contain(ip))
}

// screen refuses clients of which the gateway takes no requests at all.
func (c *call) screen() *refusal { return c.from(&c.admission) }

// admit refuses clients of which the route takes no requests.
func (c *call) admit() *refusal { return c.from(&c.route.admission) }

func (c *call) from(a *admission) *refusal {
	if len(a.allow) == 0 && len(a.deny) == 0 {
		return nil
	}
	ip, _ := parseAddress(c.clientAddress(c.request)) // what is no address is in no network
	if a.takes(ip) {
		return nil
	}
	c.metrics.notFromThere.Inc()
	return &refusal{status: http.StatusForbidden, text: "requests from the client's address are not taken"}
}
