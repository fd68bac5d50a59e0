package probes

import (
	"errors"
	"math/big"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// otherClock runs beside ours: it shows what passed since its start, at a rate that changes within the bounds.
type otherClock struct {
	offset time.Duration // what is to be added to it at our instant 0
	rates  []int64       // ppm by which it is too fast, each for a second; the last one goes on
}

// read is what the clock shows at an instant of ours, at or after 0. It is exact, and only then cut to nanoseconds.
func (c otherClock) read(at time.Duration) time.Duration {
	shown := big.NewRat(int64(at-c.offset), 1)
	for i, left := 0, at; left > 0; i++ {
		rate, span := c.rates[min(i, len(c.rates)-1)], time.Second
		if i >= len(c.rates)-1 {
			span = left
		}
		span = min(span, left)
		shown.Add(shown, big.NewRat(int64(span)*rate, 1_000_000))
		left -= span
	}
	return time.Duration(new(big.Int).Div(shown.Num(), shown.Denom()).Int64())
}

// TestTheTrueOffsetIsAlwaysInside asks a clock that drifts as far as it may, over a network that delays each way as it likes.
func TestTheTrueOffsetIsAlwaysInside(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		delay := rapid.OneOf(rapid.Int64Range(0, 1000), rapid.Int64Range(0, int64(2*time.Second)))
		clock := otherClock{
			offset: time.Duration(rapid.Int64Range(-int64(1000*time.Hour), int64(1000*time.Hour)).Draw(t, "offset")),
			rates:  rapid.SliceOfN(rapid.Int64Range(-200, 200), 1, 20).Draw(t, "rates"),
		}
		var all []Exchange
		now := time.Duration(0)
		for range rapid.IntRange(1, 20).Draw(t, "exchanges") {
			now += time.Duration(rapid.Int64Range(0, int64(5*time.Second)).Draw(t, "pause"))
			read := now + time.Duration(delay.Draw(t, "there"))
			e := Exchange{Sent: now, Read: clock.read(read), Received: read + time.Duration(delay.Draw(t, "back"))}
			all, now = append(all, e), e.Received
		}
		at := time.Duration(rapid.Int64Range(0, int64(2*now)+1).Draw(t, "at"))
		o, err := OffsetAt(all, at)
		if err != nil {
			t.Fatal(err)
		}
		truth := at - clock.read(at)
		if truth < o.Low || truth > o.High {
			t.Fatalf("offset is %d, not in [%d, %d]", truth, o.Low, o.High)
		}
		tightest := all[0].bounds(at)
		for _, e := range all {
			tightest = Offset{max(tightest.Low, e.bounds(at).Low), min(tightest.High, e.bounds(at).High)}
		}
		if o.Width() > tightest.Width() {
			t.Fatalf("%s wide, though the exchanges give %s", o.Width(), tightest.Width())
		}
	})
}

func TestClocksThatContradictEachOther(t *testing.T) {
	ms := time.Millisecond
	for name, all := range map[string][]Exchange{
		"stood still":      {{0, 500 * ms, 2 * ms}, {1000 * ms, 1500 * ms, 1002 * ms}, {4000 * ms, 1600 * ms, 4002 * ms}},
		"went back":        {{0, 500 * ms, 2 * ms}, {1000 * ms, 400 * ms, 1002 * ms}},
		"a trusted middle": {{0, 500 * ms, 2 * ms}, {1000 * ms, 1510 * ms, 1002 * ms}, {2000 * ms, 2500 * ms, 2002 * ms}},
		"before asked":     {{10 * ms, 500 * ms, 2 * ms}},
	} {
		if o, err := OffsetAt(all, 0); !errors.Is(err, ErrClocks) {
			t.Errorf("%s: %+v, %v", name, o, err)
		}
	}
	if _, err := OffsetAt(nil, 0); err == nil || errors.Is(err, ErrClocks) {
		t.Errorf("of no exchange: %v", err)
	}
}

// TestOffsetTightensAndWidens: the best exchange counts, and the less the longer ago it was.
func TestOffsetTightensAndWidens(t *testing.T) {
	ms := time.Millisecond
	all := []Exchange{{0, 130 * ms, 40 * ms}, {1000 * ms, 1120 * ms, 1002 * ms}}
	near, err := OffsetAt(all, 1002*ms)
	if err != nil || near.Width() > 3*ms || near.Middle() < -120*ms || near.Middle() > -118*ms {
		t.Errorf("%+v, %v: want 2ms about -119ms", near, err)
	}
	far, err := OffsetAt(all, 1002*ms+10*time.Second)
	if err != nil || far.Width() < 5900*time.Microsecond || far.Width() > 6100*time.Microsecond {
		t.Errorf("%s wide 10s later, want 2ms and twice 2ms", far.Width())
	}
}
