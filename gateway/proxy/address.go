package proxy

import (
	"net"
	"net/http"
	"strings"
)

// hostName returns the host of a Host header as routes name it: without port and final dot, in lower case.
func hostName(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		host = host[:i]
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// peerAddress is where the connection comes from, without the port.
func peerAddress(req *http.Request) string {
	host, _, err := net.SplitHostPort(req.RemoteAddr)
	if err != nil { // a server's is always host:port
		return req.RemoteAddr
	}
	return host
}
