package cmd

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"testing"

	"gwdr/gateway/proxy"
)

// TestHandshakesAreWaitedFor: a connection whose handshake is under way when a stop begins is one on which a request is about to come.
func TestHandshakesAreWaitedFor(t *testing.T) {
	certFile, keyFile, trust := certificateOf127(t)
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "answer") })}
	g := newGate(l, server)
	go server.Serve(proxy.GuardTLS(server, g, &tls.Config{Certificates: []tls.Certificate{cert}}))
	t.Cleanup(func() { server.Close() })
	busy := func() int {
		g.mu.Lock()
		defer g.mu.Unlock()
		return len(g.busy)
	}
	for _, protocol := range []string{"http/1.1", "h2"} {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		eventuallyServed(t, "the connection is waited for", func() bool { return busy() == 1 })
		secure := tls.Client(conn, &tls.Config{RootCAs: trust, ServerName: "example.com", NextProtos: []string{protocol}})
		if err := secure.Handshake(); err != nil {
			t.Fatal(err)
		}
		if protocol == "http/1.1" {
			if busy() != 1 {
				t.Error("the request is not waited for")
			}
			io.WriteString(secure, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		}
		eventuallyServed(t, "nothing is waited for after "+protocol, func() bool { return busy() == 0 })
	}
	for _, says := range []string{"nonsense that is no handshake", ""} {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		eventuallyServed(t, "the connection is waited for", func() bool { return busy() == 1 })
		io.WriteString(conn, says)
		conn.Close()
		eventuallyServed(t, "nobody is waited for", func() bool { return busy() == 0 })
	}
}
