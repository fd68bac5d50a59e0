package backup

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// board says how far each copy is with the log that a Follower writes: what its writer and its carriers know of each other.
// It is safe for concurrent use.
type board struct {
	mu      sync.Mutex
	moved   chan struct{} // closed, and replaced, whenever something changes
	lineage string
	anchor  int64         // the log's segments after this one are needed to load the newest point
	tail    sealedSegment // where the log stands; without its object
	recent  []sealedAt    // the newest segments, up to tail, in order
	points  int           // how many were made: carriers look for what is new
	wanted  want          // since the newest point
	places  []*place
}

// want is a point that should be made before its time.
type want int

const (
	anyPoint  want = iota + 1 // a copy has lost what it took
	fullPoint                 // no copy has what the newest point needs
)

// place is where one copy is.
type place struct {
	copy     Copy
	seq      int64 // it has the log up to here
	stands   vote  // undecided: it was not heard of yet; ours: it takes what we put; silent; foreign
	void     bool  // it is not create-only
	err      error // why it does not take the log
	pointErr error // why it does not take a point
	points   int   // board.points, when it had all of them
}

// sealedAt is a segment of the log, and when it was appended.
type sealedAt struct {
	seq, to int64
	changes int
	time    time.Time // its consistency time
	at      time.Time
	size    int64
}

// maxBacklog is the default bound on the segments that are in the spool and not yet at most locations: then nothing more is
// read from the gateway, which remembers for us. maxBacklogBytes bounds their size.
const (
	maxBacklog      = 4096
	maxBacklogBytes = 128 << 20
)

func newBoard(copies []Copy) *board {
	b := &board{moved: make(chan struct{})}
	for _, c := range copies {
		b.places = append(b.places, &place{copy: c})
	}
	return b
}

// move tells everybody who waits that something has changed. The board must be locked.
func (b *board) move() {
	close(b.moved)
	b.moved = make(chan struct{})
}

// movement returns a channel that the next change closes.
func (b *board) movement() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.moved
}

// await returns nil once ready, which is called with the board locked, says so.
func (b *board) await(ctx context.Context, ready func() bool) error {
	for {
		b.mu.Lock()
		ok, moved := ready(), b.moved
		b.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// begin puts another lineage on the board, or the same one with what its newest point needs. seq says how far a copy has it.
func (b *board) begin(lineage string, anchor int64, tail sealedSegment, seq func(Copy) int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lineage != lineage {
		b.lineage, b.tail, b.recent = lineage, sealedSegment{}, nil
		for _, p := range b.places {
			p.seq = seq(p.copy)
			if p.stands == foreign {
				p.stands, p.err = undecided, nil
			}
		}
	}
	b.anchor, b.wanted = anchor, 0
	b.extend(tail)
	b.points++
	b.move()
}

// advance says that the log now ends with the segment.
func (b *board) advance(tail sealedSegment) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if tail.Seq > b.tail.Seq {
		b.extend(tail)
		b.move()
	}
}

func (b *board) extend(tail sealedSegment) {
	if tail.Seq <= b.tail.Seq {
		return
	}
	s := sealedAt{seq: tail.Seq, to: tail.To, changes: tail.Count, time: tail.Time, at: time.Now(), size: int64(len(tail.object))}
	tail.object = nil
	b.tail = tail
	if b.recent = append(b.recent, s); len(b.recent) > 2*maxQueued {
		b.recent = slices.Clone(b.recent[maxQueued:])
	}
}

// find returns the place of the copy.
func (b *board) find(c Copy) *place {
	return b.places[slices.IndexFunc(b.places, func(p *place) bool { return p.copy.Name == c.Name })]
}

// heard says how a copy stands, and how far it is with a lineage; turned, whether that is news for those who watch.
func (b *board) heard(c Copy, seq func(lineage string) int64, stands vote, err error) (turned bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.find(c)
	p.seq = seq(b.lineage) // less than it was, if somebody took something away
	turned = p.stands != stands && !(p.stands == undecided && stands == ours)
	p.stands, p.err = stands, err
	b.move()
	return turned
}

// doubt says that the copy may not have what it took: its carrier looks.
func (b *board) doubt(c Copy) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.find(c).stands = undecided
	b.move()
}

// want asks for a point, unless there was a full one meanwhile: then the log is needed from another anchor on.
func (b *board) want(w want, anchor int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if anchor == b.anchor && w > b.wanted {
		b.wanted = w
		b.move()
	}
}

// wants returns which point should be made before its time; 0 if none.
func (b *board) wants() want {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.wanted
}

// lacksLog reports whether there is something of the log that the copy does not have, or whether it was not heard of. The
// board must be locked.
func (b *board) lacksLog(c Copy) bool {
	p := b.find(c)
	return b.tail.Seq > 0 && (p.seq < b.tail.Seq || p.stands != ours)
}

// lacksPoints reports whether there are points that the copy does not have, and how many were made by now. The board must be
// locked.
func (b *board) lacksPoints(c Copy) (made int, ok bool) {
	p := b.find(c)
	return b.points, p.stands == ours && p.points < b.points
}

// logFor returns what there is of the log for a copy, and whether it is known what the copy can do.
func (b *board) logFor(c Copy) (lineage string, anchor int64, tail sealedSegment, known bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lineage, b.anchor, b.tail, b.find(c).stands == ours
}

// awaitPoint waits until the copy has the log that the point needs, and until it is decided who continues it there.
func (b *board) awaitPoint(ctx context.Context, c Copy, point Point) error {
	var err error
	waited := b.await(ctx, func() bool {
		p, t := b.find(c), b.tally(point.Log.Seq)
		switch err = nil; {
		case p.stands != ours || b.lineage != point.Lineage:
			err = errBehind
		case t.decided() && t.split():
			err = ErrSplitBrain
		default:
			return p.seq >= point.Log.Seq && t.decided()
		}
		return true
	})
	return errors.Join(waited, err)
}

// pointsAt says that a copy has all of the first points that were made; or that it does not take them, and whether that is
// news.
func (b *board) pointsAt(c Copy, made int, err error) (turned bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.find(c)
	if errors.Is(err, errBehind) {
		return false // said already
	}
	turned = err != nil && p.pointErr == nil
	if p.pointErr = err; err == nil {
		p.points = max(p.points, made)
	}
	b.move()
	return turned
}

// entitle says whether the copy counts.
func (b *board) entitle(c Copy, createOnly bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.find(c).void = !createOnly
	b.move()
}
