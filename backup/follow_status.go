package backup

import (
	"slices"
	"time"
)

// following is what a Follower tells of itself beyond its board.
type following struct {
	caughtUp  time.Time // when most locations were last known to have all that the gateway had acknowledged
	stalled   error
	connected bool
	points    int
	point     Found // the newest that most locations have
}

// FollowStatus is how a Follower stands now.
type FollowStatus struct {
	Lineage    string        // empty before there is any
	Connected  bool          // the gateway is heard
	Stalled    error         // why nothing new gets into the log; nil: it does
	Log        LogPosition   // where the log stands, in the spool
	Committed  LogPosition   // up to where most locations have it
	LastChange time.Time     // of the newest segment with changes that most locations have; zero if there was none yet
	Lag        time.Duration // how long ago most locations were known to have all that the gateway had acknowledged
	Backlog    int64         // segments that are not yet at most locations
	Bytes      int64         // of them
	Points     int           // that were made, and are at most locations
	Point      string        // the newest of them
	PointTime  time.Time     // its consistency time
	Locations  []FollowedLocation
}

// Queue returns the number of segments that some location lacks.
func (s FollowStatus) Queue() int64 {
	var most int64
	for _, l := range s.Locations {
		most = max(most, l.Behind)
	}
	return most
}

// LogPosition is a place in the log that is followed.
type LogPosition struct {
	Seq      int64
	Revision int64     // 0 if it is not known any more
	Time     time.Time // consistency time; zero if it is not known any more
}

// FollowedLocation is how far one location is.
type FollowedLocation struct {
	Name     string
	Up       bool          // it takes what we put
	Counts   bool          // it is create-only, as far as is known
	Seq      int64         // it has the log up to here
	Behind   int64         // segments that it lacks
	Lag      time.Duration // age of the oldest of them
	Err      error         // why it does not take the log
	PointErr error         // why it does not take points
}

// Status returns how the Follower stands. It is safe for concurrent use; before Run it is empty.
func (f *Follower) Status() FollowStatus {
	f.mu.Lock()
	b, state := f.board, f.state
	f.mu.Unlock()
	if b == nil {
		return FollowStatus{}
	}
	now := time.Now()
	s := FollowStatus{Connected: state.connected, Stalled: state.stalled, Lag: now.Sub(state.caughtUp),
		Points: state.points, Point: state.point.Name, PointTime: state.point.Time}
	s.Backlog, s.Bytes = b.backlog()
	b.mu.Lock()
	defer b.mu.Unlock()
	s.Lineage, s.Log, s.Committed = b.lineage, b.at(b.tail.Seq), b.at(b.committed())
	s.LastChange = b.lastChange(s.Committed.Seq)
	for _, p := range b.places {
		l := FollowedLocation{Name: p.copy.Name, Up: p.stands == ours, Counts: !p.void, Seq: p.seq, Err: p.err, PointErr: p.pointErr,
			Behind: max(0, b.tail.Seq-p.seq)}
		if l.Behind > 0 {
			l.Lag = now.Sub(b.since(p.seq + 1))
		}
		s.Locations = append(s.Locations, l)
	}
	return s
}

// at returns what is known of a position. The board must be locked.
func (b *board) at(seq int64) LogPosition {
	if seq == b.tail.Seq {
		return LogPosition{Seq: seq, Revision: b.tail.To, Time: b.tail.Time}
	}
	for _, s := range slices.Backward(b.recent) {
		if s.seq == seq {
			return LogPosition{Seq: seq, Revision: s.to, Time: s.time}
		}
	}
	return LogPosition{Seq: seq}
}

// lastChange returns the consistency time of the newest segment up to the position that has changes. The board must be locked.
func (b *board) lastChange(seq int64) time.Time {
	for _, s := range slices.Backward(b.recent) {
		if s.seq <= seq && s.changes > 0 {
			return s.time
		}
	}
	return time.Time{}
}

// since returns when the segment was appended, or the oldest of which that is known. The board must be locked.
func (b *board) since(seq int64) time.Time {
	for _, s := range b.recent {
		if s.seq >= seq {
			return s.at
		}
	}
	return time.Now()
}
