package link

import (
	"fmt"
	"time"
)

// Mode is what a link does with connections.
type Mode string

// The modes of a link.
const (
	Pass      Mode = "pass"      // carries everything
	Refuse    Mode = "refuse"    // connecting fails at once; existing connections are reset
	Reset     Mode = "reset"     // connecting works, then a reset; existing connections are reset
	Backlog   Mode = "backlog"   // connecting hangs, as the kernel's queue is full; existing connections go on
	Blackhole Mode = "blackhole" // nothing arrives any more, on existing connections too: no byte, no end, no reset
	OneWay    Mode = "one-way"   // what clients send arrives, but nothing comes back: no byte, no end, no reset
	Latency   Mode = "latency"   // everything arrives Delay later, give or take Jitter, in each direction
	Shape     Mode = "shape"     // each direction does what There and Back say
)

// State is what a link is told to do.
type State struct {
	Mode   Mode          `json:"mode"`
	Delay  time.Duration `json:"delay_ns,omitempty"`  // only for Latency
	Jitter time.Duration `json:"jitter_ns,omitempty"` // only for Latency
	There  Flow          `json:"there,omitzero"`      // only for Shape: from clients to the far end
	Back   Flow          `json:"back,omitzero"`       // only for Shape: from the far end to clients
	Deaf   bool          `json:"deaf,omitempty"`      // new connections hang as with Backlog; goes with Blackhole and Shape
	Owner  string        `json:"owner,omitempty"`     // who alone may change it until the lease ends; empty is anybody
	Lease  time.Duration `json:"lease_ns,omitempty"`  // back to Pass unless set again within; only Pass goes without
}

// Flow is what happens to the bytes of one direction. The zero Flow carries them.
type Flow struct {
	Drop   bool          `json:"drop,omitempty"`      // nothing arrives: no byte, no end, no reset
	Delay  time.Duration `json:"delay_ns,omitempty"`  // everything arrives so much later
	Jitter time.Duration `json:"jitter_ns,omitempty"` // each delay is even between Delay-Jitter and Delay+Jitter; order is kept
	Rate   int64         `json:"rate,omitempty"`      // bytes per second that all connections of the link share; 0 is no limit
}

// Validate reports why a link cannot do that.
func (s State) Validate() error {
	switch s.Mode {
	case Pass:
		return nil
	case Refuse, Reset, Backlog, Blackhole, OneWay, Latency, Shape:
	default:
		return fmt.Errorf("unknown link mode %q", s.Mode)
	}
	if s.Lease <= 0 {
		return fmt.Errorf("link mode %s needs a lease", s.Mode)
	}
	if (s.Mode == Latency) != (s.Delay > 0) {
		return fmt.Errorf("link mode %s does not go with a delay of %s", s.Mode, s.Delay)
	}
	if s.Jitter < 0 || s.Jitter > s.Delay {
		return fmt.Errorf("jitter of %s does not go with a delay of %s", s.Jitter, s.Delay)
	}
	if shapes := s.There != (Flow{}) || s.Back != (Flow{}); (s.Mode == Shape) != shapes {
		return fmt.Errorf("link mode %s does not go with what it says of each direction", s.Mode)
	}
	if s.Deaf && s.Mode != Blackhole && s.Mode != Shape {
		return fmt.Errorf("link mode %s cannot be deaf", s.Mode)
	}
	for _, f := range []Flow{s.There, s.Back} {
		if err := f.validate(); err != nil {
			return err
		}
	}
	return nil
}

func (f Flow) validate() error {
	switch {
	case f.Delay < 0 || f.Jitter < 0 || f.Jitter > f.Delay:
		return fmt.Errorf("jitter of %s does not go with a delay of %s", f.Jitter, f.Delay)
	case f.Rate < 0:
		return fmt.Errorf("rate of %d bytes per second is negative", f.Rate)
	case f.Drop && f != (Flow{Drop: true}):
		return fmt.Errorf("what is dropped has neither a delay nor a rate")
	}
	return nil
}

// flow returns what happens to the bytes of one direction.
func (s State) flow(back bool) Flow {
	switch s.Mode {
	case Blackhole:
		return Flow{Drop: true}
	case OneWay:
		return Flow{Drop: back}
	case Latency:
		return Flow{Delay: s.Delay, Jitter: s.Jitter}
	case Shape:
		if back {
			return s.Back
		}
		return s.There
	}
	return Flow{}
}

// hangs reports whether connecting hangs.
func (s State) hangs() bool { return s.Mode == Backlog || s.Deaf }

// same reports whether a link need not do anything to go from one to the other.
func (s State) same(other State) bool {
	s.Owner, s.Lease, other.Owner, other.Lease = "", 0, "", 0
	return s == other
}
