package probes

import (
	"flag"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestMain draws the same worlds in every run; -rapid.seed=0 draws others.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.seed", "20260101"); err != nil {
		panic(err)
	}
	if child := os.Getenv(childOf); child != "" {
		runChild(child)
		return
	}
	os.Exit(m.Run())
}

const ms = time.Millisecond

// breakage says what a gateway does to requests while it is down.
type breakage int

const (
	refuses   breakage = iota // fails at once
	resets                    // fails at once, and kills what is in flight when it begins
	blackHole                 // never answers; the client gives up at its deadline
	holds                     // answers when it is up again
)

// world is a gateway with known outages, and a prober's schedule: the truth that an estimate must enclose.
type world struct {
	series  Series
	phase   time.Duration
	limit   time.Duration
	how     breakage
	outages []interval // in order, apart
	end     time.Duration
	rng     func(label string, low, high time.Duration) time.Duration
	noise   *rand.Rand
}

type interval struct{ from, to time.Duration }

func (i interval) length() time.Duration { return i.to - i.from }

func (w *world) down(at time.Duration) (interval, bool) {
	for _, o := range w.outages {
		if at >= o.from && at < o.to {
			return o, true
		}
	}
	return interval{}, false
}

// samples makes every attempt of the schedule, as late as a prober may be. An attempt that is not affected ends within the limit
// of being due, late or not: that is all that the brackets take for granted.
func (w *world) samples() []Sample {
	var all []Sample
	for seq := int64(0); ; seq++ {
		due := w.phase + time.Duration(seq)*w.series.Interval
		if due >= w.end {
			return all
		}
		late := w.upTo(min(w.series.MaxLate(), w.limit-1))
		service := 1 + w.upTo(w.limit-late-1)
		all = append(all, w.attempt(seq, due, late, service))
	}
}

// upTo returns a time in [0, most]; often one of the two, where brackets are at their worst.
func (w *world) upTo(most time.Duration) time.Duration {
	switch w.noise.IntN(4) {
	case 0:
		return 0
	case 1:
		return most
	}
	return time.Duration(w.noise.Int64N(int64(most) + 1))
}

func (w *world) attempt(seq int64, due, late, service time.Duration) Sample {
	s := Sample{Series: w.series.Name, Seq: seq, Due: due, Sent: due + late, Class: OK}
	arrived := s.Sent + service/2 // when the gateway sees it
	s.Done = s.Sent + service
	o, down := w.down(arrived)
	switch {
	case down && w.how == blackHole:
		s.Class, s.Done = FailTimeout, due+w.series.Timeout
	case down && w.how == holds:
		s.Done = o.to + service/2
	case down:
		s.Class = FailRefused
	case w.how == resets:
		for _, o := range w.outages {
			if arrived < o.from && s.Done >= o.from {
				s.Class, s.Done = FailReset, o.from
			}
		}
	}
	if s.Done > due+w.series.Timeout {
		s.Class, s.Done = FailTimeout, due+w.series.Timeout
	}
	return s
}

// drawWorld draws a schedule and a manner of being down; the outages are for the test to add.
func drawWorld(t *rapid.T) *world {
	w := &world{
		series: Series{Name: "orders", Plane: DataPlane, Interval: rapid.SampledFrom(
			[]time.Duration{ms / 10, 2 * ms, 5 * ms, 20 * ms, 33 * ms, 100 * ms}).Draw(t, "interval"), Timeout: 2 * time.Second},
		limit: rapid.SampledFrom([]time.Duration{20 * ms, 45 * ms, 300 * ms}).Draw(t, "limit"),
		how:   breakage(rapid.IntRange(0, 3).Draw(t, "how")),
	}
	w.rng = func(label string, low, high time.Duration) time.Duration {
		return time.Duration(rapid.Int64Range(int64(low), int64(max(low, high))).Draw(t, label))
	}
	w.noise = rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "noise"), 0))
	w.phase = w.rng("phase", 0, w.series.Interval-1)
	return w
}

// sureToSee is the shortest outage that always makes a series down.
func (w *world) sureToSee() time.Duration { return (downRun+1)*w.series.Interval + 2*w.limit }

const tick = 20 * ms

var orders = Series{Name: "orders", Plane: DataPlane, Interval: tick, Timeout: 2 * time.Second}

// script makes a sample every 20 ms, the first at 0, that takes 1 ms: . ok, x failed, s slow, ? not made. A digit repeats
// what follows ten times as often: 5. is fifty ok samples.
func script(steps ...string) []Sample {
	var all []Sample
	for _, c := range expand(strings.Join(steps, "")) {
		due := time.Duration(len(all)) * tick
		s := Sample{Series: "orders", Seq: int64(len(all)), Due: due, Sent: due, Done: due + ms, Class: OK}
		switch c {
		case 'x':
			s.Class = FailRefused
		case 's':
			s.Done = due + 500*ms
		case '?':
			s.Class, s.Done = Unknown, due
		}
		all = append(all, s)
	}
	return all
}

func expand(steps string) string {
	var b strings.Builder
	n := 1
	for _, c := range steps {
		if c >= '0' && c <= '9' {
			n = int(c-'0') * 10
			continue
		}
		b.WriteString(strings.Repeat(string(c), n))
		n = 1
	}
	return b.String()
}
