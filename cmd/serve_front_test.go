package cmd

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gwdr/gateway"
)

// certificateOf127 writes the certificate of the standard library's test servers, and returns who trusts it.
func certificateOf127(t *testing.T) (cert, key string, trust *x509.CertPool) {
	t.Helper()
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	secret, err := x509.MarshalPKCS8PrivateKey(server.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	trust = x509.NewCertPool()
	trust.AddCert(server.Certificate())
	return write("cert.pem", "CERTIFICATE", server.Certificate().Raw), write("key.pem", "PRIVATE KEY", secret), trust
}

// TestServeTLS: the data plane speaks HTTP/1.1 and HTTP/2 over TLS, and says when the certificate expires.
func TestServeTLS(t *testing.T) {
	cert, key, trust := certificateOf127(t)
	s := serveUntilEnd(t, t.TempDir(), "--listen-cert", cert, "--listen-key", key)
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Proto", r.Header.Get("X-Forwarded-Proto"))
	}))
	t.Cleanup(upstream.Close)
	for _, e := range []gateway.Entity{
		{Ref: gateway.Ref{Kind: gateway.Upstream, ID: "u"}, Body: gateway.Encode(gateway.UpstreamBody{Endpoints: []gateway.Endpoint{{URL: upstream.URL}}})},
		{Ref: gateway.Ref{Kind: gateway.Route, ID: "r"}, Body: gateway.Encode(gateway.RouteBody{Path: "/{rest...}", Upstream: "u", Auth: gateway.AuthNone})},
	} {
		putEntity(t, s.client(""), e)
	}
	for proto, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2.0": true} {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trust}, ForceAttemptHTTP2: http2}}
		eventuallyServed(t, proto, func() bool {
			resp, err := client.Get("https://" + s.Listen + "/")
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			return resp.StatusCode == http.StatusOK && resp.Proto == proto && resp.Header.Get("X-Proto") == "https"
		})
		client.CloseIdleConnections()
	}
	resp, err := http.Get("http://" + s.Admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, err := io.ReadAll(resp.Body); err != nil || !strings.Contains(string(text), `gwdr_certificate_expiry_timestamp_seconds{listener="listen"}`) {
		t.Errorf("metrics: %s, %v", text, err)
	}
	if !strings.Contains(s.stderr.String(), "serving on https://"+s.Listen) {
		t.Errorf("it says %s", s.stderr)
	}
}

func TestServeRefusesCertificates(t *testing.T) {
	cert, key, _ := certificateOf127(t)
	for _, c := range []struct {
		code int
		says string
		args []string
	}{
		{exitUsage, "--listen-cert and --listen-key go together", []string{"--listen-cert", cert}},
		{exitUsage, "is for data planes", []string{"--role", "control", "--listen-cert", cert, "--listen-key", key}},
		{exitError, "there is no nowhere", []string{"--listen-cert", cert, "--listen-key", "nowhere"}},
		{exitError, "--admin: load certificates: ", []string{"--tls-cert", key, "--tls-key", key}},
	} {
		args := append([]string{"serve", "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"}, c.args...)
		if says := serveFails(t, c.code, args...); !strings.Contains(says, c.says) {
			t.Errorf("%v: %s", c.args, says)
		}
	}
}

// TestServeAccessLog: a line for each request, for whom a trusted proxy says that it asks.
func TestServeAccessLog(t *testing.T) {
	file := filepath.Join(t.TempDir(), "access.log")
	s := serveUntilEnd(t, t.TempDir(), "--access-log", file, "--trust-proxy", "127.0.0.1")
	req, err := http.NewRequest(http.MethodGet, "http://"+s.Listen+"/none", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Forwarded-For", "203.0.113.7")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	s.end()
	text, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(text), `"client":"203.0.113.7","method":"GET"`) {
		t.Errorf("%s, %v", text, err)
	}
	for _, c := range []struct{ flag, value, says string }{
		{"--trust-proxy", "anybody", "neither an address nor a network"},
		{"--trust-proxy", "10.0.0.0/33", "neither an address nor a network"},
		{"--allow-from", "localhost", `--allow-from "localhost" is neither an address nor a network`},
		{"--deny-from", "::ffff:10.0.0.0/104", "--deny-from"},
		{"--max-in-flight", "-1", "not a number of requests"},
	} {
		if says := serveFails(t, exitUsage, "serve", "--data", t.TempDir(), c.flag, c.value); !strings.Contains(says, c.says) {
			t.Errorf("%s %s: %s", c.flag, c.value, says)
		}
	}
}

// TestServeShedsLoad: no request beyond --max-in-flight, and health as ever.
func TestServeShedsLoad(t *testing.T) {
	arrived, release := make(chan bool), make(chan bool)
	upstream := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hold" {
			arrived <- true
			<-release
		}
	}))
	t.Cleanup(upstream.Close)
	s := serveUntilEnd(t, t.TempDir(), "--max-in-flight", "1")
	for _, e := range []gateway.Entity{
		{Ref: gateway.Ref{Kind: gateway.Upstream, ID: "u"}, Body: gateway.Encode(gateway.UpstreamBody{Endpoints: []gateway.Endpoint{{URL: upstream.URL}}})},
		{Ref: gateway.Ref{Kind: gateway.Route, ID: "r"}, Body: gateway.Encode(gateway.RouteBody{Path: "/{rest...}", Upstream: "u", Auth: gateway.AuthNone})},
	} {
		putEntity(t, s.client(""), e)
	}
	eventuallyServed(t, "the route", func() bool { return s.status("/") == http.StatusOK })
	first := make(chan int)
	go func() { first <- s.status("/hold") }()
	<-arrived
	for path, want := range map[string]int{"/": 503, "/.gwdr/health": 200, "/.gwdr/ready": 200} {
		if got := s.status(path); got != want {
			t.Errorf("%s: %d", path, got)
		}
	}
	close(release)
	if got := <-first; got != 200 {
		t.Errorf("the first: %d", got)
	}
}

// TestServeTraces: a request's span is at the collector once the gateway has ended.
func TestServeTraces(t *testing.T) {
	bodies := make(chan []byte, 10)
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		bodies <- body
	}))
	t.Cleanup(collector.Close)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	s := serveUntilEnd(t, t.TempDir())
	s.status("/none")
	s.end()
	if text := string(<-bodies); !strings.Contains(text, "/none") || !strings.Contains(text, "http.response.status_code") {
		t.Errorf("the collector got %q", text)
	}
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "nowhere")
	if says := serveFails(t, exitUsage, "serve", "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"); !strings.Contains(says, "not of the form") {
		t.Errorf("it says %s", says)
	}
}
