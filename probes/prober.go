package probes

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// Prober sends one request again and again, open loop: attempt i is due at start + phase + i × Series.Interval whatever
// became of earlier attempts, where phase is random in [0, Interval). An attempt that could not start in time (Series.MaxLate),
// or for which there was no free slot, is Unknown and is not sent.
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
		return fmt.Errorf("run prober: %w", err)
	}
	defer sender.close()
	r := proberRun{Prober: p, sender: sender, idle: make(chan Sample)}
	attempts := context.WithoutCancel(ctx) // those in flight when ctx ends come to their own end
	r.warmUp(ctx, attempts)
	start := time.Since(p.T0) + rand.N(p.Series.Interval)
	schedule{t0: p.T0, start: start, interval: p.Series.Interval}.run(ctx, func(seq int64, due time.Duration) {
		r.begin(attempts, Sample{Series: p.Series.Name, Seq: seq, Due: due})
	})
	close(r.idle)
	r.workers.Wait()
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
	sender  sender
	idle    chan Sample // to a worker that has nothing to do; a new goroutine for each attempt would grow its stack anew
	started int         // workers
	workers sync.WaitGroup
	out     sync.Mutex
}

// begin starts the attempt s if there is a slot, which is a worker. After a stall there are many that are too late already: to
// find them a worker, and it a connection, would make the next ones late as well.
func (r *proberRun) begin(ctx context.Context, s Sample) {
	if r.late(&s) {
		r.emit(s)
		return
	}
	select {
	case r.idle <- s:
		return
	default:
	}
	if r.started < r.maxInFlight() {
		r.started++
		r.workers.Go(func() { r.work(ctx) })
		r.idle <- s
		return
	}
	now := time.Since(r.T0)
	s.Sent, s.Done, s.Class, s.Error = now, now, Unknown, "no free slot"
	r.emit(s)
}

// work makes the attempts that come, until there are no more.
func (r *proberRun) work(ctx context.Context) {
	for s := range r.idle {
		r.attempt(ctx, s)
	}
}

// attempt sends s if it is still on time, and reports it.
func (r *proberRun) attempt(ctx context.Context, s Sample) {
	if r.late(&s) {
		r.emit(s)
		return
	}
	r.sender.send(ctx, r.T0.Add(s.Due+r.Series.Timeout), &s)
	s.Done = time.Since(r.T0)
	r.emit(s)
}

// late says that s is sent now or, if it is too late for that, that it is not.
func (r *proberRun) late(s *Sample) bool {
	s.Sent = time.Since(r.T0)
	late := s.Sent - s.Due
	if late <= r.Series.MaxLate() {
		return false
	}
	s.Done, s.Class, s.Error = s.Sent, Unknown, "late by "+late.String()
	return true
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

// fine is an interval for which the timers of Go are too coarse.
const fine = 4 * time.Millisecond

// run calls begin for every attempt at its due time, or as soon after it as the machine allows, until ctx ends.
func (s schedule) run(ctx context.Context, begin func(seq int64, due time.Duration)) {
	wait, stop := s.waiter(ctx)
	defer stop()
	for seq := int64(0); ; seq++ {
		due := s.start + time.Duration(seq)*s.interval
		if left := due - time.Since(s.t0); left > 0 {
			wait(left)
		}
		if ctx.Err() != nil {
			return
		}
		begin(seq, due)
	}
}

// waiter returns what waits for the next due time, or for the end of ctx where that may be far: with a pacer where the
// interval is fine. A machine that has no pacer left gets along with a timer, and the lag says so.
func (s schedule) waiter(ctx context.Context) (wait func(left time.Duration), stop func()) {
	if s.interval <= fine {
		if p, err := newPacer(s.start-time.Since(s.t0), s.interval); err == nil {
			return p.sleep, p.close
		}
	}
	timer := time.NewTimer(0)
	return func(left time.Duration) {
		timer.Reset(left)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
	}, func() { timer.Stop() }
}
