package cmd

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"gwdr/drills"
	"gwdr/probes"
	"gwdr/scenarios"
)

// orders is an API that knows its clients.
func orders(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Region", "us-east")
	if r.Header.Get("X-Api-Key") != "0f1e2d3c" {
		w.WriteHeader(http.StatusUnauthorized)
	}
	io.WriteString(w, `{"status": "up", "over": "`+r.Proto+`"}`)
}

func serveGRPC(t *testing.T, service string) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h, s := health.NewServer(), grpc.NewServer()
	h.SetServingStatus(service, healthpb.HealthCheckResponse_SERVING)
	healthpb.RegisterHealthServer(s, h)
	go s.Serve(l)
	t.Cleanup(s.Stop)
	return l.Addr().String()
}

// TestProbeOfEveryKind watches one target of each kind, with everything that can be expected of it.
func TestProbeOfEveryKind(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(secret, []byte("0f1e2d3c\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ca := newAuthority(t)
	expires := time.Now().Add(50 * time.Hour).Truncate(time.Second)
	plain := serveHTTP(t, orders)
	redis := serveTCP(t, func(c net.Conn) {
		said := make([]byte, 32)
		if n, _ := c.Read(said); string(said[:n]) == "AUTH 4d5e6f\r\n\xff" {
			io.WriteString(c, "+OK \"status\": \"up\"\r\n")
		}
	})
	if err := os.WriteFile(secret+".tcp", []byte("AUTH 4d5e6f\r\n\xff"), 0o600); err != nil {
		t.Fatal(err)
	}
	urls := []string{
		"http://" + plain + "/", "h2c://" + plain + "/", "https://" + ca.serve(t, http.HandlerFunc(orders), expires) + "/",
		"grpc://" + serveGRPC(t, "orders.v1.Orders") + "/orders.v1.Orders", "tcp://" + redis,
		"dns://" + serveDNS(t, func(int64) [4]byte { return [4]byte{192, 0, 2, 7} }) + "/api.example?type=A",
	}
	r, _ := probed(t, ca.file, 0, append(urls, "--header", "X-Api-Key: @"+secret, "--send", "@"+secret+".tcp", "--expect", "2xx",
		"--expect-header", "x-region: /^us-/", "--expect-body", `/"status": *"up"/`, "--expect-record", "192.0.2.7", "--http2",
		"--rate", "10", "--for", "1500ms", "--baseline", "500ms", "--stable-for", "500ms")...)
	var names []string
	for _, s := range r.Series {
		names = append(names, s.Name)
		if s.Classes["ok"]+s.Classes["slow"] == 0 || s.Phases == nil || s.Phases.FirstByte == nil {
			t.Errorf("%s of %s: %v with %+v", s.Name, s.Target, s.Classes, s.Phases)
		}
		for class := range s.Classes {
			if strings.HasPrefix(class, "fail:") && class != string(probes.FailTimeout) { // a busy machine may be late
				t.Errorf("%s of %s: %v", s.Name, s.Target, s.Classes)
			}
		}
		if over := strings.HasPrefix(s.Target, "https"); (s.TLS != nil) != over || over && (!s.TLS.NotAfter.Equal(expires) || s.TLS.Versions["TLS 1.3"] == 0) {
			t.Errorf("TLS of %s is %+v", s.Target, s.TLS)
		}
	}
	want := []string{"1 fresh", "1 keepalive", "2 fresh", "2 keepalive", "3 fresh", "3 keepalive", "4 fresh", "4 keepalive", "5 fresh", "6 fresh", "control"}
	if !slices.Equal(names, want) {
		t.Errorf("series are %q, want %q", names, want)
	}
	if len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "expires in 2 days") {
		t.Errorf("warnings are %q", r.Warnings)
	}
	holdsNoSecret(t, r.Evidence, "0f1e2d3c", "4d5e6f")
}

// holdsNoSecret looks into every file of the evidence that is text.
func holdsNoSecret(t *testing.T, dir string, secrets ...string) {
	t.Helper()
	for _, name := range []string{drills.JournalFile, drills.ReportFile} {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range secrets {
			if bytes.Contains(content, []byte(s)) {
				t.Errorf("%s holds a secret", name)
			}
		}
	}
}

// hostile is a target that does its worst, and what gwdr should call it.
type hostile struct {
	url     string
	classes []probes.Class // one at least of each
	refused probes.TLSProblem
}

// gigabyte is a body that is long enough to fill a machine, if twenty a second were kept.
func gigabyte(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", fmt.Sprint(1<<30))
	for block, left := make([]byte, 64<<10), 1<<30; left > 0; left -= len(block) {
		if _, err := w.Write(block); err != nil {
			return
		}
	}
}

// drip says one byte each ms, of a body that never ends.
func drip(c net.Conn) {
	io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
	for {
		if _, err := io.WriteString(c, "."); err != nil {
			return
		}
		time.Sleep(time.Millisecond) // the drip itself
	}
}

// flips answers right, then with NXDOMAIN, then with another address, and so on.
func flips(n int64) [4]byte { return [][4]byte{{192, 0, 2, 7}, {}, {192, 0, 2, 66}}[n/4%3] }

func hostiles(t *testing.T, ca *authority) []hostile {
	valid, ok := time.Now().Add(48*time.Hour), http.HandlerFunc(orders)
	closes := serveTCP(t, func(net.Conn) {})
	resets := serveTCP(t, func(c net.Conn) { c.(*net.TCPConn).SetLinger(0) })
	var asked atomic.Int64
	redirects := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, fmt.Sprint("/", asked.Add(1)), http.StatusFound)
	})
	return []hostile{
		{url: "http://" + redirects, classes: []probes.Class{probes.FailStatus}},
		{url: "http://" + serveTCP(t, drip), classes: []probes.Class{probes.FailTimeout}},
		{url: "http://" + serveHTTP(t, gigabyte), classes: []probes.Class{probes.FailBody}},
		{url: "http://" + closes, classes: []probes.Class{probes.FailReset}},
		{url: "grpc://" + closes, classes: []probes.Class{probes.FailReset}},
		{url: "tcp://" + closes, classes: []probes.Class{probes.FailReset}},
		{url: "https://" + closes, classes: []probes.Class{probes.FailTLS}},
		{url: "http://" + resets, classes: []probes.Class{probes.FailReset}},
		{url: "https://" + ca.serve(t, ok, time.Now().Add(-time.Hour)), classes: []probes.Class{probes.FailTLS}, refused: probes.Expired},
		{url: "https://" + ca.serve(t, ok, valid, "another.example"), classes: []probes.Class{probes.FailTLS}, refused: probes.WrongHost},
		{url: "https://" + newAuthority(t).serve(t, ok, valid), classes: []probes.Class{probes.FailTLS}, refused: probes.UnknownAuthority},
		{url: "https://" + serveHTTP(t, orders), classes: []probes.Class{probes.FailTLS}},
		{url: "http://no..name/", classes: []probes.Class{probes.FailDNS}}, // which no name server is asked for
		{url: "dns://" + serveDNS(t, flips) + "/api.example", classes: []probes.Class{probes.OK, probes.FailDNS, probes.FailBody}},
	}
}

// TestProbeOfHostileTargets watches all of them at once, with memory to spare and an end.
func TestProbeOfHostileTargets(t *testing.T) {
	ca := newAuthority(t)
	targets := hostiles(t, ca)
	var urls []string
	for _, h := range targets {
		urls = append(urls, h.url)
	}
	r, process := probed(t, ca.file, exitInconclusive, append(urls, "--expect-body", "the end", "--expect-record", "192.0.2.7",
		"--rate", "8", "--timeout", "1s", "--for", "3s", "--baseline", "1s", "--stable-for", "500ms")...)
	for _, s := range r.Series {
		if s.Control {
			continue
		}
		h := targets[slices.IndexFunc(r.Targets, func(t drills.WatchTarget) bool { return t.URL == s.Target })]
		for _, want := range h.classes {
			if s.Classes[string(want)] == 0 {
				t.Errorf("%s of %s: %v, want some %s", s.Name, s.Target, s.Classes, want)
			}
		}
		if !slices.Contains(h.classes, probes.OK) && s.Requests.OK+s.Requests.Slow > 0 {
			t.Errorf("%s of %s: %d attempts were good", s.Name, s.Target, s.Requests.OK+s.Requests.Slow)
		}
		if h.refused != "" && (s.TLS == nil || s.TLS.Refused[string(h.refused)] == 0) {
			t.Errorf("%s of %s: %+v, want certificates refused: %s", s.Name, s.Target, s.TLS, h.refused)
		}
	}
	if most := process.SysUsage().(*syscall.Rusage).Maxrss >> 10; most > 700 {
		t.Errorf("it took %d MiB of memory", most)
	} else {
		t.Logf("it took %d MiB of memory", most)
	}
}

// TestADrillExpectsWhatItsScenarioSays asks a server with the requests of a drill.
func TestADrillExpectsWhatItsScenarioSays(t *testing.T) {
	lab := siteProbes{echo: true, front: "http://" + serveHTTP(t, orders)}
	answer := scenarios.Answer{Status: http.StatusUnauthorized, Header: map[string]string{"X-Region": "us-east"}, Body: `/"status": *"up"/`}
	r, err := lab.request(lab.front, scenarios.Probe{Route: "orders", Key: scenarios.NoKey, Expect: answer}, true)
	if err != nil {
		t.Fatal(err)
	}
	for header, class := range map[string]probes.Class{"us-east": probes.OK, "us-west": probes.FailBody} {
		r.Want.Header["X-Region"] = probes.Exactly(header)
		var got probes.Sample
		ctx, cancel := context.WithCancel(t.Context())
		first := func(s probes.Sample) {
			if s.Class != probes.Unknown && got.Class == "" {
				got = s
				cancel()
			}
		}
		run := runProber(probes.Series{Name: "orders", Interval: 50 * time.Millisecond, Timeout: 10 * time.Second}, r)
		if err := run(ctx, time.Now(), first); err != nil || got.Class != class {
			t.Errorf("%s: %s (%s), %v; want %s", header, got.Class, got.Error, err, class)
		}
	}
}
