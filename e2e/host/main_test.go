//go:build linux

// Package host tests the fleet of processes that gwdr has not started, over real nginx with pid files, and over units of a real systemd
// in namespaces of its own.
package host

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gwdr/e2e/shell"
)

var binary string

// TestMain makes this test binary a service of systemd, too.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "serve" {
		fmt.Fprintln(os.Stderr, http.ListenAndServe(os.Args[2], http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
		os.Exit(1)
	}
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "gwdr-host-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if binary, err = shell.Build("../..", dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// need ends a test where something is missing: in CI that is a failure.
func need(t *testing.T, root bool, tools ...string) {
	t.Helper()
	var problem error
	if root && os.Getuid() != 0 {
		problem = errors.New("root")
	}
	for _, tool := range tools {
		_, err := exec.LookPath(tool)
		problem = errors.Join(problem, err)
	}
	switch {
	case problem == nil:
	case os.Getenv("CI") == "true":
		t.Fatalf("needed: %v", problem)
	default:
		t.Skipf("needed: %v", problem)
	}
}

const scenario = `
apiVersion: gwdr/v1
kind: Scenario
metadata: {name: region-loss, title: Loss of a region, class: ict-failure}
fleet: prod
targets: {east: {select: {region: us-east}, expect: {min: 1, max: 1}}}
objectives:
  - {id: rto, metric: rta, plane: data, le: 10s}
steadyState: {baseline: 2s, probes: [{route: /orders, every: 100ms, timeout: 1s}]}
recovered: {stableFor: 1s, deadline: 60s}
guardrails: [{name: time, drill: {gt: 3m}}]
safety: {lease: 3s, maxTargets: 1, keepHealthyRegions: 1}
steps:
  - {id: cut, fault: kill, target: east, hold: until-recovered+1s}
revert: {order: reverse, verify: true, settle: 30s}
`

// of is the scenario with another fault, or another hold.
func of(kind, hold string) string {
	return strings.NewReplacer("fault: kill", "fault: "+kind, "until-recovered+1s", hold).Replace(scenario)
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// edge is where clients come in: a server of the test's own.
func edge(t *testing.T, regions ...string) string {
	t.Helper()
	s := httptest.NewServer(shell.Edge(regions))
	t.Cleanup(s.Close)
	return s.URL
}

// states returns the state letters of the processes whose command line has all the words, by pid.
func states(words ...string) map[int]string {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	found := map[int]string{}
	for _, file := range files {
		line, _ := os.ReadFile(file)
		text := strings.ReplaceAll(string(line), "\x00", " ")
		if slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) }) {
			continue
		}
		stat, err := os.ReadFile(filepath.Join(filepath.Dir(file), "stat"))
		if err != nil {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		found[pid] = string(bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])[0])
	}
	return found
}

// clean reverts, and says what is left nevertheless.
func clean(p *shell.Person) error {
	if end := p.Run("drill", "revert"); end.Code != 0 {
		return fmt.Errorf("exit code %d: %s %s", end.Code, end.Out, end.Err)
	}
	left, err := filepath.Glob(filepath.Join(p.Home, "state", "fleets", "prod", "faults", "*.json"))
	if err != nil || len(left) > 0 {
		return fmt.Errorf("marks are left: %v, %w", left, err)
	}
	return nil
}

func answers(at string) error {
	client := http.Client{Timeout: time.Second}
	resp, err := client.Get("http://" + at)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}
