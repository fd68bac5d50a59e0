package proxy

import (
	"slices"
	"strings"
)

// offersHTTP reports whether an Upgrade header has a version of HTTP in it, or TLS. An endpoint that took it up would read requests that
// nobody has looked at: for any path, and with any key or none. A server need not take up what it is offered (RFC 9110, section 7.8),
// so the request passes without.
func offersHTTP(upgrade string) bool {
	for offer := range strings.SplitSeq(upgrade, ",") {
		protocol, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(offer)), "/")
		if slices.Contains([]string{"http", "h2", "h2c", "h3", "tls"}, protocol) {
			return true
		}
	}
	return false
}
