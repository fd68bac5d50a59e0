package process

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"gwdr/fleet"
)

// trafficFaults are those of what clients send. They go to the data plane of their target, not over a link.
func trafficFaults() map[fleet.FaultKind]injector {
	front := []fleet.Role{fleet.Data, fleet.Edge}
	requests := injector{roles: front, inject: (*supervisor).load, revert: (*supervisor).unload, look: (*Lab).lookRequests, refuse: refuseLoad}
	flood := requests
	flood.look = (*Lab).lookConnections
	return map[fleet.FaultKind]injector{fleet.LoadSpike: requests, fleet.RetryStorm: requests, fleet.ConnectionFlood: flood}
}

// The bounds of what one process on this machine sends, beside what the drill has to measure.
const (
	mostRate        = 20_000
	mostRetries     = 100
	mostConnections = 10_000
)

func refuseLoad(f fleet.Fault) error {
	switch f.Kind {
	case fleet.LoadSpike, fleet.RetryStorm:
		if f.With.Rate < 1 || f.With.Rate > mostRate {
			return fmt.Errorf("rate: the lab sends 1 to %d requests per second, not %d", mostRate, f.With.Rate)
		}
		if f.With.Count < 0 || f.With.Count > mostRetries {
			return fmt.Errorf("count: clients of the lab repeat a request at most %d times, not %d", mostRetries, f.With.Count)
		}
		return nil
	case fleet.ConnectionFlood:
		if f.With.Count < 1 || f.With.Count > mostConnections {
			return fmt.Errorf("count: the lab holds 1 to %d connections, not %d", mostConnections, f.With.Count)
		}
		if _, err := connectionsTo("127.0.0.1:1"); err != nil {
			return fmt.Errorf("%w: %w", fleet.ErrUnsupported, err)
		}
		return nil
	}
	return fmt.Errorf("fault %s is no load", f.Kind)
}

// loader names the process that loads one target.
func loader(fault, target string) string { return "load-" + fault + "-" + target }

func (d layout) load(id string) string { return filepath.Join(d.node(id), "load.json") }

// load starts a process for each target, and keeps telling it that it is still wanted.
func (s *supervisor) load(ctx context.Context, f *fault) error {
	where := s.aRoute(ctx, f.targets[0])
	for _, target := range f.targets {
		c, err := s.newLoader(f.undo.Fault, target, where)
		if err != nil {
			return err
		}
		f.beside = append(f.beside, c)
		if err := c.start(); err != nil {
			return err
		}
	}
	f.background(ctx, func(ctx context.Context) {
		for ; ctx.Err() == nil; sleep(ctx, f.undo.Fault.Lease/3) {
			for _, c := range f.beside {
				c.beat()
			}
		}
	})
	return s.flooded(ctx, f)
}

// flooded waits until the connections of a flood are there.
func (s *supervisor) flooded(ctx context.Context, f *fault) error {
	if f.undo.Fault.Kind != fleet.ConnectionFlood {
		return nil
	}
	within := startTimeout + time.Duration(f.undo.Fault.With.Count)*floodPace
	ctx, cancel := context.WithTimeoutCause(ctx, within, fmt.Errorf("not so within %s", within))
	defer cancel()
	for _, c := range f.targets {
		if err := poll(ctx, "flood "+c.ID, func() error { return floodedAt(c.Listen, f.undo.Fault.With.Count) }); err != nil {
			return err
		}
	}
	return nil
}

// floodedAt reports why it does not look as if so many connections are held at addr. Half of them have to be there: a target may close
// them, and they are made again.
func floodedAt(addr string, count int64) error {
	n, err := connectionsTo(addr)
	if err == nil && int64(n) < (count+1)/2 {
		err = fmt.Errorf("%d connections to %s are open, less than half of %d", n, addr, count)
	}
	return err
}

// aRoute returns what clients may ask the target for. Without a control plane that says so, they ask for what is not there.
func (s *supervisor) aRoute(ctx context.Context, target *child) route {
	for _, c := range s.all() {
		if r, held := c.current(); c.Role != fleet.Control || !r.running() || held != "" || target.Region != "" && c.Region != target.Region {
			continue
		}
		if _, routes, err := s.admin(c).state(ctx, kindRoute); err == nil {
			if where, ok := aRoute(routes); ok {
				return where
			}
		}
	}
	return route{path: "/"}
}

func (s *supervisor) newLoader(f fleet.Fault, target *child, where route) (*child, error) {
	id := loader(f.ID, target.ID)
	if err := os.MkdirAll(s.dir.node(id), 0o700); err != nil {
		return nil, fmt.Errorf("load %s: %w", target.ID, err)
	}
	spec := loadFile{
		Kind: f.Kind, Target: target.Listen, Host: where.host, Path: where.path, Keys: s.dir.keys(),
		Rate: f.With.Rate, Count: f.With.Count, Mode: f.With.Mode, Lease: f.Lease,
	}
	if err := writeJSON(s.dir.load(id), spec); err != nil {
		return nil, err
	}
	return s.newChild(program{Instance: fleet.Instance{ID: id}, Args: []string{"lab", "load", "--file", s.dir.load(id)}}), nil
}

// unload ends the processes, and leaves nothing of them.
func (s *supervisor) unload(ctx context.Context, f *fault) error {
	f.halt()
	return s.relieve(ctx, f)
}

// loadWatch is how long the requests are counted that reach the target.
const loadWatch = 500 * time.Millisecond

// lookRequests reads from the gateway's own metrics how many requests it answers. Half of the rate has to get through: a target may
// be slower than it is asked.
func (l *Lab) lookRequests(ctx context.Context, f fleet.Fault, t targetID) (string, error) {
	pid, err := l.lookLoader(f, t)
	if err != nil {
		return "", err
	}
	before, err := requestsAt(ctx, l.http, t.admin())
	if err != nil {
		return "", fmt.Errorf("count requests at %s: %w", t.ID, err)
	}
	start := time.Now()
	sleep(ctx, loadWatch)
	after, err := requestsAt(ctx, l.http, t.admin())
	if err != nil {
		return "", fmt.Errorf("count requests at %s: %w", t.ID, err)
	}
	rate := (after - before) / time.Since(start).Seconds()
	if rate < float64(f.With.Rate)/2 {
		return "", fmt.Errorf("%s answers %.0f requests per second, less than half of %d", t.ID, rate, f.With.Rate)
	}
	return fmt.Sprintf("process %d loads it; by its own metrics it answers %.0f requests per second", pid, rate), nil
}

// lookConnections counts the connections to the target in the kernel's table.
func (l *Lab) lookConnections(_ context.Context, f fleet.Fault, t targetID) (string, error) {
	pid, err := l.lookLoader(f, t)
	if err != nil {
		return "", err
	}
	if err := floodedAt(t.Ports[0], f.With.Count); err != nil {
		return "", fmt.Errorf("%s: %w", t.ID, err)
	}
	n, err := connectionsTo(t.Ports[0])
	return fmt.Sprintf("process %d loads it; %d connections to %s are open", pid, n, t.Ports[0]), err
}

// lookLoader sees that the process which loads the target is there.
func (l *Lab) lookLoader(f fleet.Fault, t targetID) (pid int, err error) {
	var id identity
	if err := readJSON(l.dir.pid(loader(f.ID, t.ID)), &id); err != nil {
		return 0, fmt.Errorf("there is no process that loads %s: %w", t.ID, err)
	}
	if !id.Alive() {
		return 0, fmt.Errorf("process %d that loaded %s has ended", id.PID, t.ID)
	}
	return id.PID, nil
}

// admin returns host:port of the target's admin and health endpoints.
func (t targetID) admin() string { return t.Ports[len(t.Ports)-1] }

// requestsAt returns how many requests the data plane has answered since it was started.
func requestsAt(ctx context.Context, client *http.Client, admin string) (n float64, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("metrics of %s: %s", admin, resp.Status)
	}
	return sumOf("gwdr_requests_total", io.LimitReader(resp.Body, 8<<20))
}

// sumOf adds up all series of a counter in Prometheus' text format.
func sumOf(name string, text io.Reader) (sum float64, err error) {
	found := false
	lines := bufio.NewScanner(text)
	for lines.Scan() {
		rest, ok := strings.CutPrefix(lines.Text(), name)
		if !ok || rest == "" || rest[0] != '{' && rest[0] != ' ' {
			continue
		}
		value, err := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
		if err != nil {
			return 0, fmt.Errorf("read %s: %w", name, err)
		}
		sum, found = sum+value, true
	}
	if err := lines.Err(); err != nil {
		return 0, fmt.Errorf("read metrics: %w", err)
	}
	if !found {
		return 0, errors.New("metrics have no " + name)
	}
	return sum, nil
}
