package probes

import (
	"errors"
	"fmt"
	"time"
)

// MaxClockDrift is by how much two monotonic clocks may run apart, as a share of the time: 200 ppm. Quartz is good for 50,
// and the kernel lets NTP bend a clock by 500 at most, which it does for minutes.
const MaxClockDrift = 200e-6

// readSlack covers what a clock in nanoseconds does not show.
const readSlack = 2 * time.Nanosecond

// ErrClocks is wrapped by the error of OffsetAt if no offset explains the exchanges: a clock stood still, as of a machine
// that was suspended, or ran faster or slower than MaxClockDrift allows.
var ErrClocks = errors.New("two clocks contradict each other")

// Exchange is a question for another host's clock: that was read after the question was sent and before the answer was
// received. Each host's instants are since its own t0, so that no clock is subtracted from another's.
type Exchange struct {
	Sent     time.Duration `json:"sent_ns"`
	Read     time.Duration `json:"read_ns"` // by the other clock
	Received time.Duration `json:"received_ns"`
}

// Offset bounds what is to be added to the other clock to have ours.
type Offset struct{ Low, High time.Duration }

// Middle is the best guess, wrong by half of the width at most.
func (o Offset) Middle() time.Duration { return o.Low + (o.High-o.Low)/2 }

// Width is how far apart the bounds are.
func (o Offset) Width() time.Duration { return o.High - o.Low }

// OffsetAt bounds the offset at the instant at of our clock (F. Cristian, Probabilistic clock synchronization, 1989): each
// exchange bounds it for the moment at which the clock was read, and wider by MaxClockDrift the longer ago that was, or is
// yet to come. All of them hold at once. The exchanges are in the order in which they were sent. The error wraps ErrClocks
// if they contradict each other.
func OffsetAt(exchanges []Exchange, at time.Duration) (Offset, error) {
	if len(exchanges) == 0 {
		return Offset{}, errors.New("the other clock was never read")
	}
	if err := agree(exchanges); err != nil {
		return Offset{}, err
	}
	o := exchanges[0].bounds(at)
	for _, e := range exchanges[1:] {
		o = o.and(e.bounds(at))
	}
	return o, nil
}

// agree returns an error if no clock that runs as it should explains the exchanges.
func agree(exchanges []Exchange) error {
	var known Offset
	for i, e := range exchanges {
		if e.Received < e.Sent {
			return fmt.Errorf("%w: an answer came before its question", ErrClocks)
		}
		now := Offset{e.Sent - e.Read - readSlack, e.Received - e.Read + readSlack}
		if i > 0 {
			before := exchanges[i-1]
			slack := drifted(e.Received - before.Sent)
			known = now.and(Offset{known.Low - slack, known.High + slack})
		} else {
			known = now
		}
		if known.Low > known.High {
			return fmt.Errorf("%w: by %s, %s after the start", ErrClocks, round(known.Low-known.High), round(e.Sent))
		}
	}
	return nil
}

// bounds is what the exchange says of the offset at the instant at.
func (e Exchange) bounds(at time.Duration) Offset {
	slack := drifted(max((at-e.Sent).Abs(), (at-e.Received).Abs())) + readSlack
	return Offset{e.Sent - e.Read - slack, e.Received - e.Read + slack}
}

// drifted is how far two clocks can have run apart in a time.
func drifted(d time.Duration) time.Duration { return time.Duration(float64(d)*MaxClockDrift) + 1 }

// and is what holds if both do.
func (o Offset) and(p Offset) Offset { return Offset{max(o.Low, p.Low), min(o.High, p.High)} }
