package backup

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"gwdr/gateway"
)

// writer appends to the log of a Follower what the gateway has acknowledged, and makes points. One goroutine uses it.
type writer struct {
	*Follower
	tracker gateway.Tracker
	watcher *watcher      // nil before there is a point
	woken   chan struct{} // the watcher has news

	lineage  lineageEntry
	log      *logWriter                   // nil before there is a point
	changed  map[gateway.Ref]*fingerprint // since the lineage's last point; nil: not known
	appended time.Time                    // when the log last grew
	pointed  time.Time                    // when a point was made last
	rested   time.Time                    // no point before then: the last attempt failed
	noticed  int64                        // revision that the watcher had heard of when the gateway was read last

	lost     bool      // the gateway does not know what came after the log's end: begin anew
	losing   backoff   // between such beginnings
	regained time.Time // no other one before then
	failing  backoff   // between attempts after other errors
	resting  time.Time // nothing is tried before then
	err      error     // of the last attempt
	stalled  bool      // it was told that nothing new gets into the log
}

const (
	// gatherMost is how long changes wait for a segment that is on its way to most locations: if these are gone, the others
	// shall have them.
	gatherMost = time.Second
	// readMost is how many bytes of changes are read at a time.
	readMost = 16 << 20
	// readTime bounds one reading of changes.
	readTime = time.Minute
	// maxChanged is how many changed entities are kept track of between points.
	maxChanged = 100_000
	// tidyEvery is after how many segments the spool is tidied.
	tidyEvery = 64
	// pointRest is how long a point that could not be made has to wait.
	pointRest = time.Minute
)

func newWriter(f *Follower, tracker gateway.Tracker) *writer {
	return &writer{Follower: f, tracker: tracker, woken: make(chan struct{}, 1),
		failing: backoff{first: reconnectFirst, most: reconnectMost}, losing: backoff{first: 5 * time.Second, most: f.PointEvery}}
}

// close ends what the writer has started.
func (w *writer) close() {
	if w.watcher != nil {
		w.watcher.stop()
	}
}

// wake makes the writer look again at what there is to do.
func (w *writer) wake() {
	select {
	case w.woken <- struct{}{}:
	default:
	}
}

// run writes until the context ends, or until there is no going on.
func (w *writer) run(ctx context.Context) error {
	if err := w.announce(); err != nil {
		return err
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		moved := w.board.movement()
		switch {
		case w.board.split():
			return w.splitBrain()
		case w.board.unfenced():
			return ErrUnfenced
		}
		do, in := w.due(time.Now())
		if do != nil {
			w.did(ctx, do(ctx))
			continue
		}
		w.judge()
		timer.Reset(in)
		select {
		case <-timer.C:
		case <-w.woken:
		case <-moved:
		case <-ctx.Done():
		}
	}
	return w.finish(ctx)
}

// announce puts what the spool knows on the board: what waits there goes out even if the gateway is away.
func (w *writer) announce() error {
	s := spool{w.Spool}
	l, ok, err := s.current(w.Gateway)
	if err != nil || !ok {
		return err
	}
	log, err := w.logWriter(l.Lineage)
	if err != nil {
		return err
	}
	w.show(l, log.tail)
	return nil
}

func (w *writer) show(l lineageEntry, tail sealedSegment) {
	s := spool{w.Spool}
	w.board.begin(l.Lineage, max(0, l.Last.Point.Base.Seq-1), tail, func(c Copy) int64 { return s.progress(l.Lineage, c).Seq })
}

// due returns what is to be done now; if nothing is, how long to wait at most.
func (w *writer) due(now time.Time) (do func(context.Context) error, in time.Duration) {
	if rest := w.resting.Sub(now); rest > 0 {
		return nil, rest
	}
	if w.log == nil {
		return w.begin, 0
	}
	if w.full() {
		return nil, w.Heartbeat // the board says when there is room
	}
	changed, _, forgotten := w.watcher.heard()
	if w.lost = w.lost || forgotten; w.lost {
		if rest := w.regained.Sub(now); rest > 0 {
			return nil, rest
		}
		return w.begin, 0
	}
	if in = w.untilPoint(now); in <= 0 {
		return w.point, 0
	}
	beat := w.appended.Add(w.Heartbeat).Sub(now)
	if changed > max(w.log.tail.To, w.noticed) {
		beat = 0
	}
	if behind, _ := w.board.backlog(); behind > 0 {
		beat = max(beat, w.appended.Add(gatherMost).Sub(now))
	}
	if beat <= 0 {
		return w.append, 0
	}
	return nil, min(in, beat)
}

// untilPoint returns how long it is until the next point is due.
func (w *writer) untilPoint(now time.Time) time.Duration {
	every := maxBaseAge // so that packs are renewed, and read anew, even if nothing changes
	switch {
	case len(w.changed) >= maxChanged:
		every = 0
	case w.changed == nil || len(w.changed) > 0:
		every = min(every, w.PointEvery)
	}
	if w.board.wants() > 0 {
		every = min(every, pointRest)
	}
	return max(w.pointed.Add(every).Sub(now), w.rested.Sub(now))
}

// full reports whether so much waits for the locations that nothing more should be read.
func (w *writer) full() bool {
	segments, bytes := w.board.backlog()
	return segments >= w.MaxBacklog || bytes >= maxBacklogBytes
}

// did takes note of what came of what was due.
func (w *writer) did(ctx context.Context, err error) {
	if err != nil && w.log != nil { // what was read is read again
		w.log.gap()
		w.noticed = 0
	}
	if ctx.Err() != nil {
		return
	}
	forgotten := errors.Is(err, gateway.ErrCompacted) || errors.Is(err, errFull)
	switch w.err = err; {
	case err == nil:
		w.failing.reset()
	case forgotten && !w.lost:
		w.lost, w.err = true, nil
	default:
		w.resting = time.Now().Add(w.failing.wait())
	}
	w.judge()
}

// errBacklog is why a writer stops when the locations do.
var errBacklog = errors.New("too much waits for most locations already; the gateway has to keep what is new")

// judge tells when nothing new gets into the log any more, and when it does again.
func (w *writer) judge() {
	cause := w.err
	if cause == nil && w.watcher != nil && !w.lost {
		_, cause, _ = w.watcher.heard()
	}
	if cause == nil && w.log != nil && w.full() {
		cause = errBacklog
	}
	w.mu.Lock()
	w.state.stalled = cause
	w.mu.Unlock()
	switch {
	case cause != nil && !w.stalled:
		w.tell(Event{Kind: Stalled, Lineage: w.lineage.Lineage, Error: cause.Error()})
	case cause == nil && w.stalled:
		w.tell(Event{Kind: Resumed, Lineage: w.lineage.Lineage})
	}
	w.stalled = cause != nil
}

// splitBrain says which location holds what is not ours.
func (w *writer) splitBrain() error {
	w.board.mu.Lock()
	defer w.board.mu.Unlock()
	var names []string
	for _, p := range w.board.places {
		if p.stands == foreign {
			names = append(names, p.copy.Name)
		}
	}
	return fmt.Errorf("%w, at %s", ErrSplitBrain, strings.Join(names, ", "))
}
