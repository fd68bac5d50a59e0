//go:build linux

// Package host tests the fleet of processes that gwdr has not started, over real nginx with pid files, over servers that take their time
// to end, and over units of a real systemd in namespaces of its own.
package host

import (
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"testing"
	"time"

	"gwdr/e2e/shell"
)

var binary string

// TestMain makes this test binary the servers, too: one of systemd's, and one that takes its time to end.
func TestMain(m *testing.M) {
	switch {
	case len(os.Args) == 3 && os.Args[1] == "serve":
		fmt.Fprintln(os.Stderr, http.ListenAndServe(os.Args[2], http.HandlerFunc(empty)))
	case len(os.Args) == 4 && os.Args[1] == "linger":
		fmt.Fprintln(os.Stderr, linger(os.Args[2], os.Args[3]))
	default:
		os.Exit(shell.Main(m, &binary))
	}
	os.Exit(1)
}

func empty(http.ResponseWriter, *http.Request) {}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// person comes in at an edge of the test's own, and may break the regions: words say how gwdr finds the process of one.
func person(t *testing.T, at map[string]string, words func(region string) string) *shell.Person {
	t.Helper()
	p := shell.New(t, binary)
	edge := httptest.NewServer(shell.Edge(slices.Collect(maps.Values(at))))
	t.Cleanup(edge.Close)
	fleet := fmt.Sprintf("state: state\nfleets: {prod: {driver: host, allow: true, url: '%s', processes: [", edge.URL)
	for region, at := range at {
		fleet += fmt.Sprintf("{name: %[1]s-1, region: %[1]s, url: 'http://%[2]s', %[3]s},", region, at, words(region))
	}
	p.Write("gwdr.yaml", fleet+"]}}\n")
	return p
}

func answers(at string) error {
	client := http.Client{Timeout: time.Second}
	resp, err := client.Get("http://" + at)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}
