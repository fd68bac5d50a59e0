package proxy

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// serveTLS serves as Guard's server of TLS, and returns its address and a client that trusts it.
func serveTLS(t *testing.T, handler http.Handler) (string, *http.Client) {
	t.Helper()
	known := httptest.NewTLSServer(nil) // for its certificate, which is for example.com
	t.Cleanup(known.Close)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler}
	go server.Serve(GuardTLS(server, l, &tls.Config{Certificates: known.TLS.Certificates}))
	t.Cleanup(func() { server.Close() })
	client := known.Client()
	client.Transport.(*http.Transport).ForceAttemptHTTP2 = true
	return l.Addr().String(), client
}

func TestGuardTLS(t *testing.T) {
	address, client := serveTLS(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %t %s", r.Proto, r.TLS != nil, body)
	}))
	silent, err := net.Dial("tcp", address) // whose handshake never comes is in nobody's way
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	resp, err := client.Post("https://"+address+"/", "", strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "HTTP/2.0 true body" {
		t.Errorf("%s, %v", body, err)
	}
	trust := &tls.Config{RootCAs: client.Transport.(*http.Transport).TLSClientConfig.RootCAs, ServerName: "example.com"}
	for request, want := range map[string]string{
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody":                                                "[200 HTTP/1.1 true body]",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n": "[400 400 Bad Request]",
	} {
		conn, err := tls.Dial("tcp", address, trust)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(rawOn(t, conn, request)); !strings.HasPrefix(got, strings.TrimSuffix(want, "]")) || strings.Count(got, "true") > 1 {
			t.Errorf("%q: %s, want %s", request, got, want)
		}
	}
}

func TestGuardTLSWithoutTLS(t *testing.T) {
	address, _ := serveTLS(t, nil)
	if got := fmt.Sprint(raw(t, address, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")); !strings.Contains(got, "400 This is a port of TLS") {
		t.Errorf("answered %s", got)
	}
}

// TestGuardTLSEnds: a connection that comes once the server has stopped is closed, and Accept says so.
func TestGuardTLSEnds(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := GuardTLS(&http.Server{}, l, &tls.Config{})
	accepted := make(chan error)
	go func() {
		_, err := g.Accept()
		accepted <- err
	}()
	if err := g.Close(); err != nil {
		t.Error(err)
	}
	if err := <-accepted; err == nil {
		t.Error("accepted")
	}
}
