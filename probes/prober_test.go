package probes

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"
)

// memory is a network in memory, so that time may be virtual: each dial reaches the handler.
type memory struct {
	connections chan net.Conn
	closed      chan struct{}
}

func (m *memory) Accept() (net.Conn, error) {
	select {
	case c := <-m.connections:
		return c, nil
	case <-m.closed:
		return nil, net.ErrClosed
	}
}

func (m *memory) Close() error   { return nil }
func (m *memory) Addr() net.Addr { return &net.TCPAddr{} }

func (m *memory) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case m.connections <- server:
		return client, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// serveMemory serves h until the test's bubble ends.
func serveMemory(t *testing.T, h http.HandlerFunc) *memory {
	m := &memory{connections: make(chan net.Conn), closed: make(chan struct{})}
	s := &http.Server{Handler: h}
	go s.Serve(m)
	t.Cleanup(func() {
		close(m.closed)
		s.Close()
	})
	return m
}

// probe runs a prober for so long against h, in virtual time, and returns its samples in order of ending.
func probe(t *testing.T, p *Prober, h http.HandlerFunc, length time.Duration) []Sample {
	t.Helper()
	var all []Sample
	p.Request.URL, p.Request.dial = "http://gateway", serveMemory(t, h).dial
	p.T0 = time.Now()
	p.Out = func(s Sample) { all = append(all, s) }
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	if err := p.Run(ctx); err != nil {
		t.Error(err)
	}
	return all
}

func TestAttemptsAreDueOnScheduleWhateverBecomesOfThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int64
		hang := func(w http.ResponseWriter, r *http.Request) {
			if n.Add(1)%3 == 0 {
				<-r.Context().Done()
			}
			echo(w, r)
		}
		for _, fresh := range []bool{true, false} {
			samples := probe(t, &Prober{Series: orders, Request: Request{Echo: true, Fresh: fresh}}, hang, 10*time.Second)
			if len(samples) != 500 {
				t.Fatalf("%d attempts in 10 s, want 500", len(samples))
			}
			slices.SortFunc(samples, func(a, b Sample) int { return int(a.Seq - b.Seq) })
			phase := samples[0].Due
			if phase < 0 || phase >= tick {
				t.Errorf("phase = %v, want in [0, %v)", phase, tick)
			}
			for i, s := range samples {
				if want := phase + time.Duration(i)*tick; s.Seq != int64(i) || s.Due != want || s.Sent != want {
					t.Fatalf("attempt %d: %+v, want due and sent at %v", i, s, want)
				}
				if s.Class == FailTimeout && s.Done != s.Due+orders.Timeout {
					t.Fatalf("attempt %d timed out after %v, want %v", i, s.Done-s.Due, orders.Timeout)
				}
			}
			if c := count(samples, time.Second); c.OK+c.Failed != 500 || c.Failed < 160 || c.Failed > 170 {
				t.Errorf("%+v, want a third failed", c)
			}
		}
	})
}

func TestAnAttemptWithoutASlotIsNotMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
		samples := probe(t, &Prober{Series: orders, MaxInFlight: 10}, hang, time.Second)
		c := count(samples, time.Second)
		if c.Failed != 10 || c.Unknown != 40 {
			t.Errorf("%+v, want 10 timeouts and 40 not made", c)
		}
	})
}

func TestAnAttemptThatIsTooLateIsNotMade(t *testing.T) {
	for interval, most := range map[time.Duration]time.Duration{ms / 10: 5 * ms, 10 * ms: 5 * ms, 20 * ms: 10 * ms, time.Second: 500 * ms} {
		synctest.Test(t, func(t *testing.T) {
			series := Series{Name: "orders", Interval: interval, Timeout: 2 * time.Second}
			sender, err := newSender(Request{URL: "http://gateway", dial: serveMemory(t, echo).dial})
			if err != nil {
				t.Fatal(err)
			}
			defer sender.close()
			var classes []Class
			r := proberRun{sender: sender, Prober: &Prober{Series: series, T0: time.Now(), Out: func(s Sample) { classes = append(classes, s.Class) }}}
			time.Sleep(time.Second)
			for _, late := range []time.Duration{0, most, most + 1} {
				r.attempt(t.Context(), Sample{Due: time.Since(r.T0) - late})
			}
			if !slices.Equal(classes, []Class{OK, OK, Unknown}) {
				t.Errorf("every %v: %v, want late by more than %v to be unknown, and nothing else", interval, classes, most)
			}
		})
	}
}

func TestByDefaultThereIsASlotForEveryHungAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
		if c := count(probe(t, &Prober{Series: orders}, hang, 10*time.Second), time.Second); c.Unknown != 0 {
			t.Errorf("%+v, want all made", c)
		}
	})
}

func TestSlowAnswersAreOKAsObserved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(700 * ms)
			echo(w, r)
		}
		samples := probe(t, &Prober{Series: orders, Request: Request{Echo: true}}, slow, time.Second)
		for _, s := range samples {
			if s.Class != OK || s.Done-s.Due != 700*ms {
				t.Fatalf("%+v, want ok after 700 ms: that it is slow is for the estimator to say", s)
			}
		}
		if c := count(samples, limit); c.Slow != len(samples) {
			t.Errorf("%+v, want all slow", c)
		}
	})
}

func TestProberWaitsForAttemptsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
		samples := probe(t, &Prober{Series: orders}, hang, 100*ms)
		if len(samples) != 5 || time.Since(begin) > 100*ms+orders.Timeout {
			t.Errorf("%d samples after %v, want 5 after 2.1s", len(samples), time.Since(begin))
		}
	})
}

func TestAStalledProberIsFound(t *testing.T) {
	c, lines := child(t, "probe "+serve(t, echo))
	samples := readSamples(t, lines, nil, 100)
	if err := c.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	<-time.After(stall) // the stall itself, not a wait for anything
	if err := c.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	wantDisturbed(t, readSamples(t, lines, samples, 250))
}

func TestAStarvedProberIsFound(t *testing.T) {
	_, lines := child(t, "starve "+serve(t, echo))
	wantDisturbed(t, readSamples(t, lines, nil, 250))
}

// readSamples reads a child's samples until there are n.
func readSamples(t *testing.T, lines *bufio.Scanner, samples []Sample, n int) []Sample {
	t.Helper()
	for len(samples) < n && lines.Scan() {
		var s Sample
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			t.Fatal(err)
		}
		samples = append(samples, s)
	}
	if len(samples) < n {
		t.Fatalf("%d samples, want %d", len(samples), n)
	}
	return slices.SortedFunc(slices.Values(samples), func(a, b Sample) int { return cmp.Compare(a.Seq, b.Seq) })
}

// wantDisturbed wants samples in which a stall is seen, by itself and by the guards, and no attempt that it delayed counted
// as sent.
func wantDisturbed(t *testing.T, samples []Sample) {
	t.Helper()
	unknown := 0
	var latest time.Duration
	for _, s := range samples {
		late := s.Sent - s.Due
		latest = max(latest, late)
		if s.Class == Unknown {
			unknown++
		} else if late > tick/2 {
			t.Errorf("%+v, sent late by %v, want unknown", s, late)
		}
	}
	if unknown < 50 || latest < stall/2 {
		t.Errorf("%d of %d not made, the latest late by %v; want a stall of %v to be seen", unknown, len(samples), latest, stall)
	}
	w := Window{Inject: samples[len(samples)-10].Due, Stable: time.Second, Limit: limit}
	e := EstimateOutage(orders, samples, w)
	if !slices.ContainsFunc(Guards{}.Check([]Estimate{e}), func(f Finding) bool { return f.Guard == "lag" }) {
		t.Errorf("lag p99 %v: the guards found %v, want lag", e.Quality.LagP99, Guards{}.Check([]Estimate{e}))
	}
}

func TestAClockThatIsSetChangesNothing(t *testing.T) {
	for _, step := range []time.Duration{time.Hour, -time.Hour} {
		t0 := time.Now()
		set := beforeStep(t0, step)
		if set.Sub(t0) != 0 || t0.Round(0).Sub(set.Round(0)) != step {
			t.Fatalf("%v is not %v as read before the clock was set by %v", set, t0, step)
		}
		ctx, stop := context.WithCancel(t.Context())
		var samples []Sample
		p := Prober{Series: orders, T0: set, Request: Request{URL: serve(t, echo), Echo: true}, Out: func(s Sample) {
			if samples = append(samples, s); len(samples) == 10 {
				stop()
			}
		}}
		if err := p.Run(ctx); err != nil {
			t.Fatal(err)
		}
		for _, s := range samples {
			if s.Due < 0 || s.Sent < s.Due || s.Done < s.Sent || s.Done > time.Minute || s.Class == FailTimeout {
				t.Errorf("clock set by %v: %+v, want an attempt of the first moments", step, s)
			}
		}
	}
}

// beforeStep returns the instant t as it would have been read if the wall clock had been set forward by step after it:
// same monotonic reading, other wall clock. It knows the layout of time.Time; who calls it checks that.
func beforeStep(t time.Time, step time.Duration) time.Time {
	const secondsShift = 30
	wall := (*uint64)(unsafe.Pointer(&t))
	*wall -= uint64(int64(step/time.Second)) << secondsShift
	return t
}
