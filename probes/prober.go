package probes

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"
)

// Prober sends one request again and again, open loop: attempt i is due at start + phase + i × Series.Interval whatever
// became of earlier attempts, where phase is random in [0, Interval). An attempt that could not start within half an
// interval of its due time, or for which there was no free slot, is Unknown and is not sent.
type Prober struct {
	Series  Series
	Request Request
	T0      time.Time // start of the drill's monotonic clock; must carry a monotonic reading
	// Out receives every attempt once it has ended, one call at a time, in order of ending. It must not block.
	Out func(Sample)
	// MaxInFlight bounds the attempts that wait for an answer; 0 is as many as can be due within Series.Timeout.
	MaxInFlight int
}

// Run probes until ctx ends, then waits for the attempts that are in flight, at most Series.Timeout. It returns an error
// only if the Prober is not usable; the end of ctx is none.
func (p *Prober) Run(ctx context.Context) error {
	if p.Series.Interval <= 0 || p.Series.Timeout <= 0 || p.T0.IsZero() || p.Out == nil {
		return errors.New("run prober: interval and timeout must be positive, t0 and out set")
	}
	sender, err := newSender(p.Request)
	if err != nil {
		return err
	}
	defer sender.close()
	r := proberRun{Prober: p, sender: sender, slots: make(chan struct{}, p.maxInFlight())}
	start := time.Since(p.T0) + rand.N(p.Series.Interval)
	schedule{t0: p.T0, start: start, interval: p.Series.Interval}.run(ctx, func(seq int64, due time.Duration) {
		r.begin(context.WithoutCancel(ctx), Sample{Series: p.Series.Name, Seq: seq, Due: due})
	})
	r.inFlight.Wait()
	return nil
}

func (p *Prober) maxInFlight() int {
	if p.MaxInFlight > 0 {
		return p.MaxInFlight
	}
	return int(p.Series.Timeout/p.Series.Interval) + 2
}

// proberRun is one Run of a Prober.
type proberRun struct {
	*Prober
	sender   sender
	slots    chan struct{}
	inFlight sync.WaitGroup
	out      sync.Mutex
}

// begin starts the attempt s if there is a slot.
func (r *proberRun) begin(ctx context.Context, s Sample) {
	select {
	case r.slots <- struct{}{}:
		r.inFlight.Go(func() {
			defer func() { <-r.slots }()
			r.attempt(ctx, s)
		})
	default:
		now := time.Since(r.T0)
		s.Sent, s.Done, s.Class, s.Error = now, now, Unknown, "no free slot"
		r.emit(s)
	}
}

// attempt sends s if it is still on time, and reports it.
func (r *proberRun) attempt(ctx context.Context, s Sample) {
	s.Sent = time.Since(r.T0)
	if late := s.Sent - s.Due; late > r.Series.Interval/2 {
		s.Done, s.Class, s.Error = s.Sent, Unknown, "late by "+late.String()
		r.emit(s)
		return
	}
	ctx, cancel := context.WithDeadline(ctx, r.T0.Add(s.Due+r.Series.Timeout))
	defer cancel()
	r.sender.send(ctx, &s)
	s.Done = time.Since(r.T0)
	r.emit(s)
}

func (r *proberRun) emit(s Sample) {
	r.out.Lock()
	defer r.out.Unlock()
	r.Out(s)
}

// schedule says when attempts are due: attempt seq at start + seq × interval since t0.
type schedule struct {
	t0       time.Time
	start    time.Duration
	interval time.Duration
}

// run calls begin for every attempt at its due time, or as soon after it as the machine allows, until ctx ends.
func (s schedule) run(ctx context.Context, begin func(seq int64, due time.Duration)) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for seq := int64(0); ; seq++ {
		due := s.start + time.Duration(seq)*s.interval
		if !s.wait(ctx, timer, due) {
			return
		}
		begin(seq, due)
	}
}

// fine is an interval for which the timers of Go are too coarse.
const fine = 4 * time.Millisecond

// wait returns at due, and false if ctx has ended.
func (s schedule) wait(ctx context.Context, timer *time.Timer, due time.Duration) bool {
	left := due - time.Since(s.t0)
	switch {
	case left <= 0:
	case left < s.interval && s.interval <= fine:
		nap(left)
	default:
		timer.Reset(left)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
	}
	return ctx.Err() == nil
}
