package vantage

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"gwdr/probes"
)

const token = "a-token-that-nobody-guesses"

// newAgent serves an agent on the loopback until the test ends.
func newAgent(t *testing.T, change func(*Agent)) (*Agent, *httptest.Server) {
	t.Helper()
	control := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok\n") }))
	t.Cleanup(control.Close)
	a := &Agent{Token: token, Tool: "test", Control: control.URL, Lease: time.Minute, MaxRate: 500, MaxFor: time.Hour, Log: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(a)
	}
	server := httptest.NewServer(a.Handler())
	t.Cleanup(func() { a.Close(); server.Close() })
	return a, server
}

// newPlan asks the URL 100 times a second, and the agent's control target as often.
func newPlan(url string) *Plan {
	s := probes.Series{Name: "eu: fresh", Plane: probes.DataPlane, Interval: 10 * time.Millisecond, Timeout: time.Second}
	control := s
	control.Name, control.Control = "eu: control", true
	return &Plan{Schema: Schema, Series: []Series{{Series: s, Target: &Target{URL: url, Fresh: true}}, {Series: control}}}
}

// heard keeps what a session tells, and says when it has something new.
type heard struct {
	mu       sync.Mutex
	samples  []probes.Sample
	readings []probes.Exchange
	now      time.Duration
	cuts     int
	backs    int
	news     chan struct{}
}

func newHeard() *heard { return &heard{news: make(chan struct{}, 1)} }

func (h *heard) change(do func()) {
	h.mu.Lock()
	do()
	h.mu.Unlock()
	select {
	case h.news <- struct{}{}:
	default:
	}
}

func (h *heard) Told(samples []probes.Sample, now time.Duration) {
	h.change(func() { h.samples, h.now = append(h.samples, samples...), now })
}

func (h *heard) Read(e probes.Exchange, _ time.Duration) {
	h.change(func() { h.readings = append(h.readings, e) })
}

func (h *heard) Link(cut error) {
	h.change(func() {
		if cut != nil {
			h.cuts++
		} else {
			h.backs++
		}
	})
}

// until waits until something holds of what was heard.
func (h *heard) until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	limit := time.After(time.Minute)
	for {
		h.mu.Lock()
		ok := holds()
		h.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-h.news:
		case <-limit:
			t.Fatalf("never heard: %s", what)
		}
	}
}

// running is a session that is run.
type running struct {
	*heard
	stop context.CancelFunc
	done chan error
}

// run opens a session at the URL of an agent and runs it.
func run(t *testing.T, agent string, p *Plan) *running {
	t.Helper()
	s, err := (&Client{URL: agent, Token: token}).Open(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r := &running{heard: newHeard(), stop: cancel, done: make(chan error, 1)}
	go func() { r.done <- s.Run(ctx, time.Now(), r.heard) }()
	t.Cleanup(cancel)
	return r
}

// end stops the session and returns what Run does.
func (r *running) end() error {
	r.stop()
	return <-r.done
}

// checkWhole wants each series without a gap from its first attempt on, and every instant in order.
func (r *running) checkWhole(t *testing.T, series ...string) {
	t.Helper()
	next := map[string]map[int64]bool{}
	for _, s := range r.samples {
		if next[s.Series] == nil {
			next[s.Series] = map[int64]bool{}
		}
		if next[s.Series][s.Seq] {
			t.Errorf("%s: attempt %d was told twice", s.Series, s.Seq)
		}
		next[s.Series][s.Seq] = true
	}
	for _, name := range series {
		for seq := range int64(len(next[name])) {
			if !next[name][seq] {
				t.Fatalf("%s: attempt %d of %d was not told", name, seq, len(next[name]))
			}
		}
		if len(next[name]) == 0 {
			t.Errorf("%s: nothing was told", name)
		}
	}
}

func contains(t *testing.T, err error, part string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), part) {
		t.Errorf("%v, want %q", err, part)
	}
}
