package proxy

import (
	"net"
	"net/http"
	"strings"
)

// hostName returns the host of a Host header as routes name it: without port and final dot, in lower case.
func hostName(host string) string {
	name, _ := cutPort(host)
	return strings.ToLower(strings.TrimSuffix(name, "."))
}

func cutPort(host string) (name, port string) {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		return host[:i], host[i+1:]
	}
	return host, ""
}

// isHost reports whether a Host header names its host in the one way that all servers read alike: a name or an address, and perhaps a
// port. What one takes for a name of no route, another may take for one whose routes are guarded: admin.example.com:x:80 with its
// first part.
func isHost(host string) bool {
	name, port := cutPort(host)
	if !consistsOf(port, digits) {
		return false
	}
	if address, ok := strings.CutPrefix(name, "["); ok {
		address, ok = strings.CutSuffix(address, "]")
		return ok && consistsOf(address, digits+"abcdefABCDEF:.")
	}
	return !strings.HasSuffix(name, "..") && consistsOf(name, digits+letters+"-._*") // a star, as a restore tries the routes of wildcards
}

const (
	digits  = "0123456789"
	letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
)

func consistsOf(text, characters string) bool { return strings.Trim(text, characters) == "" }

// peerAddress is where the connection comes from, without the port.
func peerAddress(req *http.Request) string {
	host, _, err := net.SplitHostPort(req.RemoteAddr)
	if err != nil { // a server's is always host:port
		return req.RemoteAddr
	}
	return host
}

// protocol is that of the connection.
func protocol(req *http.Request) string {
	if req.TLS != nil {
		return "https"
	}
	return "http"
}
