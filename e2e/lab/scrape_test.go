package lab

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"gwdr/drills"
)

// page is where a command said on stderr that its metrics are.
var page = regexp.MustCompile(`metrics on (http://127\.0\.0\.1:\d+/metrics)`)

// metrics are the values of a scrape, by name and labels as they are written.
type metrics map[string]float64

// scrape asks once. The test fails if that is not answered.
func scrape(t *testing.T, address string) metrics {
	t.Helper()
	m, err := tryScrape(address)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func tryScrape(address string) (metrics, error) {
	r, err := http.Get(address)
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s, %w: %s", r.Status, err, text)
	}
	m := metrics{}
	for line := range strings.Lines(string(text)) {
		at := strings.LastIndexByte(line, ' ')
		if strings.HasPrefix(line, "#") || at < 0 {
			continue
		}
		if m[line[:at]], err = strconv.ParseFloat(strings.TrimSpace(line[at:]), 64); err != nil {
			return nil, fmt.Errorf("%s: %w", line, err)
		}
	}
	return m, nil
}

// sum adds up all that begin with the prefix.
func (m metrics) sum(prefix string) (sum float64) {
	for name, value := range m {
		if strings.HasPrefix(name, prefix) {
			sum += value
		}
	}
	return sum
}

// metricsPage waits until the command has said in the file where its metrics are.
func metricsPage(t *testing.T, file string) (address string) {
	t.Helper()
	eventually(t, 20*time.Second, "the address of the metrics", func() bool {
		said, _ := os.ReadFile(file)
		if found := page.FindSubmatch(said); found != nil {
			address = string(found[1])
		}
		return address != ""
	})
	return address
}

// gone fails the test if somebody still listens at the address.
func gone(t *testing.T, address string) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := net.Dial("tcp", u.Host); err == nil {
		c.Close()
		t.Errorf("%s is still served", address)
	}
}

// TestProbeIsScraped watches an outage as Prometheus does, and wants the metrics to be what the result says in the end.
func TestProbeIsScraped(t *testing.T) {
	u, server := newUser(t), newFlaky(t)
	said, err := os.Create(u.write("stderr", ""))
	if err != nil {
		t.Fatal(err)
	}
	defer said.Close()
	var out strings.Builder
	cmd := u.command("probe", server.URL, "--baseline", "1s", "--stable-for", "1s", "--json", "--metrics", ":0")
	cmd.Stdout, cmd.Stderr = &out, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	address := metricsPage(t, said.Name())
	var m metrics
	until := func(what string, holds func() bool) {
		t.Helper()
		eventually(t, 30*time.Second, what, func() bool { m = scrape(t, address); return holds() })
	}
	until("the end of the baseline", func() bool { return m["gwdr_probe_armed"] == 1 && m[`gwdr_probe_up{series="fresh"}`] == 1 })
	server.status.Store(http.StatusBadGateway)
	until("an outage", func() bool {
		return m[`gwdr_probe_up{series="fresh"}`] == 0 && m[`gwdr_probe_outage_seconds{series="fresh"}`] > .5
	})
	server.status.Store(http.StatusOK)
	until("its end", func() bool { return m[`gwdr_probe_up{series="fresh"}`] == 1 })
	if low, point, high := m[`gwdr_probe_last_outage_seconds{bound="low",series="fresh"}`], m[`gwdr_probe_last_outage_seconds{bound="point",series="fresh"}`],
		m[`gwdr_probe_last_outage_seconds{bound="high",series="fresh"}`]; !(0 < low && low <= point && point <= high) {
		t.Errorf("the outage took %v, from %v to %v", point, low, high)
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	ended(t, cmd)
	gone(t, address)
	r := decode[drills.WatchResult](t, out.String())
	for _, s := range r.Series {
		for class, n := range s.Classes {
			name := `gwdr_probe_attempts_total{class="` + class + `",series="` + s.Name + `"}`
			if class == "slow" || class == "ok" { // who is slow is known in the end
				continue
			}
			if m[name] > float64(n) || s.Name == "fresh" && class == "fail:status" && m[name] != float64(n) {
				t.Errorf("%s was %v, the result has %d", name, m[name], n)
			}
		}
		if seen, all := m.sum(`gwdr_probe_outages_total{series="`+s.Name), len(s.Outages); int(seen) > all {
			t.Errorf("%s: %v outages seen, the result has %d", s.Name, seen, all)
		}
	}
}

// TestDrillIsScraped looks again and again at a drill that has broken something, until it ends.
func TestDrillIsScraped(t *testing.T) {
	u := newUser(t)
	r := u.reach(calm(), "observing", "--metrics", "127.0.0.1:0")
	address := metricsPage(t, r.err)
	most := metrics{}
	for !r.ended() {
		m, err := tryScrape(address)
		if err != nil { // it may be at its end
			<-r.over
			break
		}
		if in := m.sum("gwdr_drill_phase{"); in != 1 {
			t.Fatalf("in %v phases at once: %v", in, m)
		}
		for name, value := range m {
			most[name] = max(most[name], value)
		}
		time.Sleep(20 * time.Millisecond)
	}
	for _, name := range []string{"gwdr_drill_faults_in_effect", `gwdr_drill_info{fleet="lab",scenario="quick"}`, `gwdr_drill_phase{phase="reverting"}`,
		`gwdr_probe_attempts_total{class="ok",series="orders/live/fresh"}`, `gwdr_probe_attempts_total{class="ok",series="admin"}`,
		`gwdr_drill_changes_total{result="acked"}`, "gwdr_probe_outages_total{"} {
		if most.sum(name) == 0 {
			t.Errorf("%s was never seen: %v", name, most)
		}
	}
	if end := r.result(); end.code != 0 && !end.starved() {
		t.Errorf("exit code %d\n%s", end.code, end.stderr)
	}
	gone(t, address)
}
