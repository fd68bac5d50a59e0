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

// clientAddress is where the request comes from, without the port. What the client says of others before it is not believed.
func clientAddress(req *http.Request) string {
	host, _, err := net.SplitHostPort(req.RemoteAddr)
	if err != nil { // a server's is always host:port
		return req.RemoteAddr
	}
	return host
}
