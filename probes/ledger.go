package probes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// AdminSeries is the name of the series that a Ledger yields: each change is an attempt at the control plane.
const AdminSeries = "admin"

// Intent is where a Ledger writes what it is about to do: outside of what the drill breaks. It is safe for concurrent use;
// *Recorder and *os.File are such.
type Intent interface {
	io.Writer
	Sync() error
}

// Ledger makes numbered changes through the gateway's admin path, open loop as a Prober does. It never has two changes of
// one object in flight, never touches an object again after a change of it that was not acknowledged, never uses an id
// twice, and revokes only keys that it issued. So what a region shows of an object later tells which of its changes
// survived.
type Ledger struct {
	T0      time.Time // start of the drill's monotonic clock
	Admin   Admin
	Every   time.Duration
	Timeout time.Duration // of a change, from its due time; 0 is 2 s
	Kinds   []ChangeKind  // in turn; empty is routes, specs, keys and revocations
	// Prefix begins the id of every object; empty is "ledger-" with a random part, so that no two runs share an id.
	Prefix string
	// Intent gets a line of JSON for each change, an Entry without Result, safe on disk before the change is sent. Where Out
	// writes to the same file, the next intent makes a result safe, too, before another change is sent.
	Intent Intent
	// Out gets the Entry with its Result, and Sample the same change as an attempt of AdminSeries. Either may be nil. They
	// are called one call at a time and must not block.
	Out    func(Entry)
	Sample func(Sample)
	// MaxInFlight bounds the changes that wait for an answer; 0 is as many as can be due within Timeout.
	MaxInFlight int

	objects objects
	stopped atomic.Bool
}

// Series describes the series that the Ledger yields.
func (l *Ledger) Series() Series {
	return Series{Name: AdminSeries, Plane: ControlPlane, Interval: l.Every, Timeout: l.timeout()}
}

// Cut makes the ledger leave all objects alone that it has changed so far or makes in the next two seconds, and waits until
// no change of them is in flight, or ctx ends. Call it just before a fault: a later change of the same object would hide
// what the fault took. The ledger does the same by itself, without waiting, whenever a change is not acknowledged.
func (l *Ledger) Cut(ctx context.Context) error {
	for _, done := range l.objects.cut() {
		select {
		case <-done:
		case <-ctx.Done():
			return fmt.Errorf("cut ledger: %w", ctx.Err())
		}
	}
	return nil
}

// Stop ends the changes: from here on, none is sent. One that is in flight goes on, and Run until its ctx ends.
func (l *Ledger) Stop() { l.stopped.Store(true) }

// Run makes changes until ctx ends, then waits for those in flight, at most Timeout and Every. The error says that the
// Ledger is not usable, or that an intent could not be made safe; such a change is not sent.
func (l *Ledger) Run(ctx context.Context) error {
	if l.Every <= 0 || l.T0.IsZero() || l.Admin == nil || l.Intent == nil {
		return errors.New("run ledger: every must be positive, t0, admin and intent set")
	}
	r := &ledgerRun{Ledger: l, kinds: l.Kinds, prefix: l.Prefix}
	if len(r.kinds) == 0 {
		r.kinds = []ChangeKind{RouteChange, SpecChange, KeyChange, RevokeChange}
	}
	if r.prefix == "" {
		r.prefix = fmt.Sprintf("ledger-%06x-", rand.N(1<<24))
	}
	slots := l.MaxInFlight
	if slots <= 0 {
		slots = int(l.timeout()/l.Every) + 3
	}
	r.slots = make(chan struct{}, slots)
	start := time.Since(l.T0) + rand.N(l.Every)
	schedule{t0: l.T0, start: start, interval: l.Every}.run(ctx, func(seq int64, ahead time.Duration) {
		r.begin(context.WithoutCancel(ctx), seq, ahead+l.Every)
	})
	r.inFlight.Wait()
	return r.err
}

func (l *Ledger) timeout() time.Duration {
	if l.Timeout > 0 {
		return l.Timeout
	}
	return 2 * time.Second
}

// ledgerRun is one Run of a Ledger.
type ledgerRun struct {
	*Ledger
	kinds    []ChangeKind
	prefix   string
	slots    chan struct{}
	inFlight sync.WaitGroup
	out      sync.Mutex
	intents  sync.Mutex
	err      error // the first of Intent
}

// begin prepares the change one interval ahead, so that the disk does not delay it, and sends it when it is due.
func (r *ledgerRun) begin(ctx context.Context, seq int64, due time.Duration) {
	if r.stopped.Load() {
		return
	}
	select {
	case r.slots <- struct{}{}:
		r.inFlight.Go(func() {
			defer func() { <-r.slots }()
			r.change(ctx, seq, due)
		})
	default:
		now := time.Since(r.T0)
		r.emit(nil, &Sample{Series: AdminSeries, Seq: seq, Due: due, Sent: now, Done: now, Class: Unknown, Error: "no free slot"})
	}
}

func (r *ledgerRun) change(ctx context.Context, seq int64, due time.Duration) {
	o, c := r.objects.next(r.kinds[seq%int64(len(r.kinds))], seq+1, r.prefix)
	e := Entry{Change: c, Due: due}
	err := r.intend(e)
	if err == nil {
		err = r.await(&e)
	}
	s := Sample{Series: AdminSeries, Seq: seq, Due: due}
	if err != nil {
		e.Done, e.Result, e.Error = time.Since(r.T0), Rejected, notSent+err.Error()
		e.Sent, s.Class = e.Done, Unknown
	} else {
		s.Class = r.send(ctx, &e)
	}
	r.objects.ended(o, e.Result, s.Class == Unknown)
	s.Sent, s.Done, s.Error = e.Sent, e.Done, e.Error
	if errors.Is(err, errStopped) { // its intent is there, but it is no attempt that was missed
		r.emit(&e, nil)
		return
	}
	r.emit(&e, &s)
}

var errStopped = errors.New("the ledger was stopped before")

// await waits until the change is due. The error says why it is not to be sent.
func (r *ledgerRun) await(e *Entry) error {
	time.Sleep(e.Due - time.Since(r.T0))
	e.Sent = time.Since(r.T0)
	if r.stopped.Load() {
		return errStopped
	}
	if late := e.Sent - e.Due; late > r.Series().MaxLate() {
		return fmt.Errorf("late by %s", late)
	}
	return nil
}

// intend makes the intent safe.
func (r *ledgerRun) intend(e Entry) error {
	line, err := json.Marshal(e)
	if err == nil {
		_, err = r.Intent.Write(append(line, '\n'))
	}
	if err == nil {
		err = r.Intent.Sync()
	}
	if err == nil {
		return nil
	}
	r.intents.Lock()
	defer r.intents.Unlock()
	if r.err == nil {
		r.err = fmt.Errorf("write ledger: %w", err)
	}
	return err
}

// send makes the change and writes down in e what became of it.
func (r *ledgerRun) send(ctx context.Context, e *Entry) Class {
	ctx, cancel := context.WithDeadline(ctx, r.T0.Add(e.Due+r.timeout()))
	defer cancel()
	err := r.Admin.Make(ctx, e.Change)
	e.Done = time.Since(r.T0)
	switch {
	case err == nil:
		e.Result = Acked
		return OK
	case errors.As(err, new(*RejectedError)):
		e.Result = Rejected
	default:
		e.Result = Indeterminate
	}
	e.Error = err.Error()
	if class := ClassOf(err); class != Unknown && (class != FailReset || isReset(err)) {
		return class
	}
	return FailStatus // an error that is not of the network comes from an answer
}

// emit tells of a change, of an attempt, or of both.
func (r *ledgerRun) emit(e *Entry, s *Sample) {
	r.out.Lock()
	defer r.out.Unlock()
	if e != nil && r.Out != nil {
		r.Out(*e)
	}
	if s != nil && r.Sample != nil {
		r.Sample(*s)
	}
}
