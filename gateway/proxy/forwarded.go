package proxy

import (
	"maps"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"slices"
	"strings"
)

// clientAddress is where the request comes from, without the port: from the peer, or from whom the peer has it, if that is a trusted
// proxy, and so on. What anybody else says of others before it is not believed.
func (g *Gateway) clientAddress(req *http.Request) string {
	at := peerAddress(req)
	if !g.trusts(at) {
		return at
	}
	said := strings.Split(strings.Join(req.Header.Values("X-Forwarded-For"), ","), ",")
	for _, text := range slices.Backward(said) { // each proxy has put its peer last
		ip, ok := parseAddress(strings.TrimSpace(text))
		if !ok {
			return at
		}
		if at = ip.String(); !g.trusts(at) {
			return at
		}
	}
	return at
}

// trusts reports whether the address is one of a trusted proxy.
func (g *Gateway) trusts(address string) bool {
	if len(g.trusted) == 0 {
		return false
	}
	ip, ok := parseAddress(address)
	return ok && g.trusted.contain(ip)
}

// parseAddress reads an address with or without a port.
func parseAddress(text string) (netip.Addr, bool) {
	ip, err := netip.ParseAddr(text)
	if err != nil {
		with, err := netip.ParseAddrPort(text)
		if err != nil {
			return ip, false
		}
		ip = with.Addr()
	}
	return ip.Unmap().WithZone(""), true
}

// forwardedFor says for whom the request is made: in X-Forwarded-For, -Host and -Proto, and in Forwarded (RFC 7239) if a trusted proxy
// uses that. The reverse proxy has dropped all of these; what else only a proxy can know passes if a trusted one says it.
func (g *Gateway) forwardedFor(p *httputil.ProxyRequest) {
	peer := peerAddress(p.In)
	if !g.trusts(peer) {
		maps.DeleteFunc(p.Out.Header, func(name string, _ []string) bool { return claimsProxy(name) })
		said := [...]string{peer, p.In.Host, protocol(p.In)} // as p.SetXForwarded does
		p.Out.Header["X-Forwarded-For"], p.Out.Header["X-Forwarded-Host"], p.Out.Header["X-Forwarded-Proto"] = said[:1:1], said[1:2:2], said[2:]
		return
	}
	copyHeader := func(name string) {
		if values, ok := p.In.Header[name]; ok {
			p.Out.Header[name] = values
		}
	}
	copyHeader("X-Forwarded-For")
	p.SetXForwarded() // appends the peer
	copyHeader("X-Forwarded-Host")
	copyHeader("X-Forwarded-Proto")
	if said := p.In.Header.Values("Forwarded"); len(said) > 0 {
		p.Out.Header["Forwarded"] = append(slices.Clone(said), forwardedElement(peer))
	}
}

// claimsProxy reports whether a header says where the request comes from, as only proxies can: X-Real-IP, X-Forwarded-Port, -Prefix, -Server
// and whatever else is called so.
func claimsProxy(name string) bool {
	return name == "X-Real-Ip" || strings.HasPrefix(name, "X-Forwarded-")
}

// forwardedElement names the peer as RFC 7239, section 6, has it.
func forwardedElement(peer string) string {
	if strings.Contains(peer, ":") {
		return `for="[` + peer + `]"`
	}
	return "for=" + peer
}
