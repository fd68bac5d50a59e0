package gateway

import (
	"fmt"
	"net/netip"
)

// ParseNetworks reads addresses and networks such as 10.0.0.0/8; one address is a network of its own. The networks are of real addresses:
// one of IPv4 in IPv6's clothes is refused, as no client has such an address by the time it is looked at.
func ParseNetworks(texts []string) (all []netip.Prefix, err error) {
	for _, text := range texts {
		p, err := parseNetwork(text)
		if err != nil || p.Addr().Is4In6() {
			return nil, fmt.Errorf("%q is neither an address nor a network like 10.0.0.0/8", text)
		}
		all = append(all, p)
	}
	return all, nil
}

func parseNetwork(text string) (netip.Prefix, error) {
	if ip, err := netip.ParseAddr(text); err == nil && ip.Zone() == "" {
		return ip.Prefix(ip.BitLen())
	}
	p, err := netip.ParsePrefix(text)
	return p.Masked(), err
}

// checkNetworks reports what in the lists is no network.
func (b *RouteBody) checkNetworks() error {
	if _, err := ParseNetworks(b.AllowFrom); err != nil {
		return fmt.Errorf("allow_from: %w", err)
	}
	if _, err := ParseNetworks(b.DenyFrom); err != nil {
		return fmt.Errorf("deny_from: %w", err)
	}
	return nil
}

// networks is set of networks, each spelt in one way.
func networks(value any) any {
	if list, ok := value.([]any); ok {
		for i, item := range list {
			text, _ := item.(string)
			if all, err := ParseNetworks([]string{text}); err == nil {
				list[i] = all[0].String()
			}
		}
	}
	return set(value)
}
