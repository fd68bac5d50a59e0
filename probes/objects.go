package probes

import (
	"strconv"
	"sync"
	"time"
)

// objects is what a Ledger has made and may change: for each kind the objects that are free, the one longest untouched
// first.
type objects struct {
	mu      sync.Mutex
	free    map[ChangeKind][]*object
	turns   map[ChangeKind]int
	issued  int
	revoked int
	busy    map[*object]struct{}
	frozen  time.Time // until then objects are made and never changed
}

// freeze is for how long after a cut no object is used again: the fault that the cut is for comes in that time.
const freeze = 2 * time.Second

// object is whatever a Ledger makes and changes: a revocation is a change of its key.
type object struct {
	kind  ChangeKind
	id    string
	gone  bool          // once the change that is in flight is acknowledged: deleted, or a revoked key
	cut   bool          // not to be changed again
	ended chan struct{} // closed when the change in flight has ended
}

// next picks what the change of that kind is to be, and takes its object out of the free ones. A kind that has no object
// to change makes a new one; a revoke without a key to spare issues one.
func (os *objects) next(kind ChangeKind, seq int64, prefix string) (*object, Change) {
	os.mu.Lock()
	defer os.mu.Unlock()
	if os.busy == nil {
		os.free, os.turns, os.busy = map[ChangeKind][]*object{}, map[ChangeKind]int{}, map[*object]struct{}{}
	}
	o, c := os.choose(kind, Change{Seq: seq, Kind: kind}, prefix)
	o.ended = make(chan struct{})
	o.cut = time.Now().Before(os.frozen)
	os.busy[o] = struct{}{}
	c.ID = o.id
	return o, c
}

func (os *objects) choose(kind ChangeKind, c Change, prefix string) (*object, Change) {
	turn := os.turns[kind]
	os.turns[kind]++
	switch {
	case kind == RevokeChange && len(os.free[KeyChange]) > 1 && os.issued > 2*os.revoked:
		os.revoked++
		o := os.take(KeyChange)
		o.gone = true
		return o, c
	case kind == RevokeChange || kind == KeyChange:
		os.issued++
		c.Kind = KeyChange
	case turn%5 == 4 && len(os.free[kind]) > 0:
		c.Delete = true
		o := os.take(kind)
		o.gone = true
		return o, c
	case turn%2 == 1 && len(os.free[kind]) > 0:
		return os.take(kind), c
	}
	return &object{kind: c.Kind, id: prefix + strconv.FormatInt(c.Seq, 10)}, c
}

func (os *objects) take(kind ChangeKind) *object {
	o := os.free[kind][0]
	os.free[kind] = os.free[kind][1:]
	return o
}

// ended takes the object back after its change, unless it is gone or was cut, or what it is now is not known. A change that
// was not acknowledged says that something is wrong: then all objects are cut.
func (os *objects) ended(o *object, r Result, unsent bool) {
	os.mu.Lock()
	defer os.mu.Unlock()
	delete(os.busy, o)
	close(o.ended)
	if r != Acked && !unsent {
		os.cutLocked()
	}
	if r == Acked && !o.gone && !o.cut {
		os.free[o.kind] = append(os.free[o.kind], o)
	}
}

// cut frees no object that was changed so far ever again, and returns what ends with the changes in flight.
func (os *objects) cut() []<-chan struct{} {
	os.mu.Lock()
	defer os.mu.Unlock()
	return os.cutLocked()
}

func (os *objects) cutLocked() []<-chan struct{} {
	clear(os.free)
	os.frozen = time.Now().Add(freeze)
	var inFlight []<-chan struct{}
	for o := range os.busy {
		o.cut = true
		inFlight = append(inFlight, o.ended)
	}
	return inFlight
}
