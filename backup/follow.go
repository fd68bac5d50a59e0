package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"gwdr/gateway"
)

// Follower backs a gateway up change by change, for as long as it runs. It makes a point first, as Take does. Then whatever
// the gateway acknowledges goes to the lineage's log: sealed, durably into the spool, and from there to all copies at once,
// each at its own pace. A segment is committed when most of the copies have it; while one is on its way, later changes gather
// for the next. Between, there are new points, so that a restore has little to replay.
//
// Nothing but another writer ends it: a gateway or a location that is gone is tried again for ever. What waits for locations
// in the spool is bounded: beyond, the gateway's own history has to keep it. Where that does not reach back any more, the log
// says that changes are not known, and a new full point closes the gap.
//
// The exported fields are the options. Use a Follower for one Run.
type Follower struct {
	Job
	Heartbeat  time.Duration // how often the log says that nothing has changed; 0 means 1m
	PointEvery time.Duration // how often there is a new point, if something has changed; 0 means 15m
	MaxBacklog int64         // segments that may wait for most locations before nothing more is read; 0 means 4096
	Grace      time.Duration // how long Run goes on once its context has ended, to deliver what was acknowledged; 0 means 10s
	Notify     func(Event)   // nil: none; called from one goroutine at a time, which must not be held up

	telling sync.Mutex
	tidying sync.Mutex

	mu    sync.Mutex // over what follows, but not over what it points to
	board *board
	state following
}

// Event is a turn in what a Follower does.
type Event struct {
	Time     time.Time `json:"time"`
	Kind     EventKind `json:"event"`
	Lineage  string    `json:"lineage,omitempty"`
	Location string    `json:"location,omitempty"`
	Point    string    `json:"point,omitempty"` // Found.Name
	Revision int64     `json:"revision,omitempty"`
	Full     bool      `json:"full,omitempty"`  // of a point: everything was read anew
	Error    string    `json:"error,omitempty"` // why
}

// EventKind says what an Event is.
type EventKind string

// The kinds of Event.
const (
	LineageBegun EventKind = "lineage"       // the log of this lineage is followed from here on
	LocationAway EventKind = "location-away" // it does not take the log; the others go on
	LocationBack EventKind = "location-back"
	Stalled      EventKind = "stalled" // nothing new gets into the log: the gateway, or the spool, does not let us
	Resumed      EventKind = "resumed"
	Gap          EventKind = "gap"   // the gateway does not remember all changes; a full point closes the gap
	PointMade    EventKind = "point" // most locations have it
)

// ErrUncommitted is wrapped when Run ends and something is not at most locations yet. It waits in the spool.
var ErrUncommitted = errors.New("most locations do not have everything yet")

// ErrUnfenced is wrapped when no location is create-only: nothing there could ever count as committed.
var ErrUnfenced = errors.New("no location is create-only, so that two writers could not be told apart")

// ErrUntracked is wrapped when the gateway cannot say what has changed.
var ErrUntracked = errors.New("the gateway keeps no track of changes")

// Run follows the gateway until the context ends, or something is wrong for good: the error wraps ErrSplitBrain if another
// writer continues the lineage, ErrLocked, ErrUnfenced or ErrUntracked. After the end of the context it still delivers what
// was acknowledged, for a while; it returns nil, or an error that wraps ErrUncommitted.
func (f *Follower) Run(ctx context.Context) error {
	if err := f.run(ctx); err != nil {
		return fmt.Errorf("follow gateway: %w", err)
	}
	return nil
}

func (f *Follower) run(ctx context.Context) error {
	if err := f.prepare(); err != nil {
		return err
	}
	f.Heartbeat, f.PointEvery = cmp.Or(f.Heartbeat, time.Minute), cmp.Or(f.PointEvery, 15*time.Minute)
	f.Grace, f.MaxBacklog = cmp.Or(f.Grace, 10*time.Second), cmp.Or(f.MaxBacklog, maxBacklog)
	tracker, ok := f.Source.(gateway.Tracker)
	if !ok {
		return ErrUntracked
	}
	s := spool{f.Spool}
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if err := s.sweep(); err != nil {
		return err
	}
	if err := f.leaveStrangers(); err != nil {
		return err
	}
	f.mu.Lock()
	f.board, f.state = newBoard(f.Copies), following{caughtUp: time.Now()}
	f.mu.Unlock()
	stop := f.carry(context.WithoutCancel(ctx))
	defer stop()
	w := newWriter(f, tracker)
	defer w.close()
	return w.run(ctx)
}

// carry starts the carriers, and returns how to end them.
func (f *Follower) carry(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	for _, c := range f.Copies {
		wg.Go(func() { carrier{f, c}.carryLog(ctx) })
		wg.Go(func() { carrier{f, c}.carryPoints(ctx) })
	}
	return func() {
		cancel()
		wg.Wait()
	}
}

// tell completes the event and hands it on.
func (f *Follower) tell(e Event) {
	f.telling.Lock()
	defer f.telling.Unlock()
	if e.Time = time.Now().UTC(); f.Notify != nil {
		f.Notify(e)
	}
}

// stored tells of a point that one more copy has, once most of them have it.
func (f *Follower) stored(p *pendingPoint) {
	n := 0
	for _, c := range f.Copies {
		if p.delivered(c) {
			n++
		}
	}
	f.mu.Lock()
	last := f.state.point
	news := n*2 > len(f.Copies) && (p.Lineage != last.Lineage || p.Log.Seq > last.Log.Seq)
	if news {
		f.state.points++
		f.state.point = p.Found
	}
	f.mu.Unlock()
	if news {
		f.tell(Event{Kind: PointMade, Lineage: p.Lineage, Point: p.Name, Revision: p.Revision, Full: p.Base.Seq == p.Log.Seq})
	}
}

// tidyAll drops from the spool what every location has.
func (f *Follower) tidyAll(ships []*shipment) error {
	f.tidying.Lock()
	defer f.tidying.Unlock()
	for _, ship := range ships {
		points, err := spool{f.Spool}.pending(ship.lineage) // others may have tidied since
		if err != nil {
			return err
		}
		ship.points = points
	}
	return f.tidy(ships)
}
