//go:build linux

package gateway

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"
)

// How the contenders take turns.
const (
	rounds = 15
	warm   = time.Second // the first round, of which nothing is kept
	turn   = time.Second
)

// BenchmarkGatewayPeers compares gwdr serve as a user has it (10,000 routes, keys, limits, metrics) with proxies that only pass on,
// each as a process of its own on the same processors, before the same backend, under the same load. Figures are medians of rounds.
func BenchmarkGatewayPeers(b *testing.B) {
	t := newTrack(b)
	t.compare(t.gwdr(10_000), t.direct(), t.bareProxy(), t.nginx(), t.haproxy(), t.caddy())
}

// BenchmarkGatewayRoutes compares gwdr serve with itself, with ever more routes, all of which are asked for (10,000 of them at most).
func BenchmarkGatewayRoutes(b *testing.B) {
	t := newTrack(b)
	var all []*contender
	for _, routes := range []int{10, 10_000, 100_000} {
		c := t.gwdr(routes)
		c.name = fmt.Sprint(routes)
		all = append(all, c)
	}
	t.compare(all...)
}

// compare lets the contenders that are there take turns, and reports on each, and how often it does what the first does in a second.
func (t *track) compare(contenders ...*contender) {
	contenders = slices.DeleteFunc(contenders, func(c *contender) bool { return c == nil })
	first := contenders[0]
	for round := range rounds + 1 {
		for _, c := range contenders {
			c.token, c.routes = cmp.Or(c.token, first.token), cmp.Or(c.routes, first.routes)
			if round == 0 {
				t.load(c, warm)
				continue
			}
			before := work(t, c.pid)
			c.loads = append(c.loads, t.load(c, turn))
			c.work = append(c.work, work(t, c.pid)-before)
		}
	}
	for _, c := range contenders {
		t.Run(c.name, func(b *testing.B) {
			b.ReportMetric(c.median(load.rate), "req/s")
			b.ReportMetric(c.times(first), "x-"+first.name)
			b.ReportMetric(c.median(func(l load) float64 { return float64(l.P50.Microseconds()) }), "p50-µs")
			b.ReportMetric(c.median(func(l load) float64 { return float64(l.P99.Microseconds()) }), "p99-µs")
			b.ReportMetric(c.perRequest(), "cpu-µs/req")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// load loads the contender by a process beside the backend's.
func (t *track) load(c *contender, d time.Duration) (l load) {
	t.Helper()
	words := t.others(os.Args[0], "load", c.address, c.token, fmt.Sprint(c.routes), d.String())
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(out, &l)
	}
	if err != nil {
		t.Fatalf("load %s: %v", c.name, err)
	}
	return l
}

func (l load) rate() float64 { return float64(l.Requests) / l.Took.Seconds() }

// times is how often it did what the other did in a round: the machine is not the same from one round to the next.
func (c *contender) times(other *contender) float64 {
	var all []float64
	for i, l := range c.loads {
		all = append(all, l.rate()/other.loads[i].rate())
	}
	return middle(all)
}

func (c *contender) median(of func(load) float64) float64 {
	var all []float64
	for _, l := range c.loads {
		all = append(all, of(l))
	}
	return middle(all)
}

// perRequest is what the contender's processors worked for a request, in µs: what others do on the machine matters least to it.
func (c *contender) perRequest() float64 {
	var all []float64
	for i, l := range c.loads {
		all = append(all, float64(c.work[i].Microseconds())/float64(l.Requests))
	}
	return middle(all)
}

func middle(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}

// work is how long processors have worked for a process and its children, by proc_pid_stat(5); 0 for none.
func work(t testing.TB, pid int) (sum time.Duration) {
	t.Helper()
	const tick = time.Second / 100 // sysconf(_SC_CLK_TCK) of Linux, wherever Go runs
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, _ := os.ReadFile(file) // it may have ended
		fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
		own := file == fmt.Sprintf("/proc/%d/stat", pid)
		if pid == 0 || len(fields) < 13 || !own && string(fields[1]) != fmt.Sprint(pid) {
			continue
		}
		for _, field := range fields[11:13] {
			n, err := strconv.Atoi(string(field))
			if err != nil {
				t.Fatal(err)
			}
			sum += time.Duration(n) * tick
		}
	}
	return sum
}
