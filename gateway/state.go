package gateway

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"iter"
	"maps"
	"slices"
	"sync/atomic"
)

// State is a set of entities: the configuration of a gateway at one revision. The zero value is not usable; use NewState.
// It is not safe for concurrent writes.
type State struct {
	kinds  map[Kind]*table
	own    atomic.Pointer[edition] // what it may write to: all else it shares with clones
	sorted atomic.Pointer[[]Ref]   // all references, or nil: sorting them takes as long as hashing all there is
}

// NewState returns a State that holds the given entities.
func NewState(entities ...Entity) *State {
	s := &State{kinds: make(map[Kind]*table, len(referenceOrder))}
	s.own.Store(new(edition))
	for _, e := range entities {
		s.Put(e)
	}
	return s
}

// Put adds the entity, or replaces the one with the same reference. The State keeps e.Body without copying.
func (s *State) Put(e Entity) {
	t := s.kinds[e.Kind].owned(s.own.Load())
	s.kinds[e.Kind] = t
	if created := t.put(e.ID, e.Body); created {
		s.sorted.Store(nil)
	}
}

// Delete removes the entity if it is there.
func (s *State) Delete(r Ref) {
	if _, there := s.Get(r); !there {
		return
	}
	s.sorted.Store(nil)
	t := s.kinds[r.Kind].owned(s.own.Load())
	s.kinds[r.Kind] = t
	t.delete(r.ID)
}

// Get returns the entity's body and whether it is there.
func (s *State) Get(r Ref) ([]byte, bool) { return s.kinds[r.Kind].get(r.ID) }

// Len returns the number of entities.
func (s *State) Len() (n int) {
	for _, t := range s.kinds {
		n += t.count
	}
	return n
}

// Clone returns a State with the same entities; the bodies are shared, and so is all else until either is written to. It costs
// little, however many there are.
func (s *State) Clone() *State {
	c := &State{kinds: maps.Clone(s.kinds)}
	c.own.Store(new(edition))
	s.own.Store(new(edition))
	c.sorted.Store(s.sorted.Load())
	return c
}

// Counts returns the number of entities of each kind that has any.
func (s *State) Counts() map[Kind]int {
	counts := map[Kind]int{}
	for k, t := range s.kinds {
		if t.count > 0 {
			counts[k] = t.count
		}
	}
	return counts
}

// Refs returns all references in reference order, then by id. It is not the caller's to change.
func (s *State) Refs() []Ref {
	if known := s.sorted.Load(); known != nil {
		return *known
	}
	refs := s.sort()
	s.sorted.Store(&refs)
	return refs
}

func (s *State) sort() []Ref {
	refs := make([]Ref, 0, s.Len())
	for _, k := range slices.SortedFunc(maps.Keys(s.kinds), Kind.Compare) {
		for _, id := range s.kinds[k].ids() {
			refs = append(refs, Ref{Kind: k, ID: id})
		}
	}
	return refs
}

// All yields the entities in reference order, then by id.
func (s *State) All() iter.Seq[Entity] {
	return func(yield func(Entity) bool) {
		for _, r := range s.Refs() {
			if body, _ := s.Get(r); !yield(Entity{Ref: r, Body: body}) {
				return
			}
		}
	}
}

// Unordered yields the entities in any order, which takes far less time.
func (s *State) Unordered() iter.Seq[Entity] {
	return func(yield func(Entity) bool) {
		for k, t := range s.kinds {
			for id, body := range t.all() {
				if !yield(Entity{Ref: Ref{Kind: k, ID: id}, Body: body}) {
					return
				}
			}
		}
	}
}

// Kind yields the entities of one kind by id.
func (s *State) Kind(k Kind) iter.Seq[Entity] {
	return func(yield func(Entity) bool) {
		for _, r := range s.refsOf(k) {
			if body, _ := s.Get(r); !yield(Entity{Ref: r, Body: body}) {
				return
			}
		}
	}
}

// refsOf returns the references of one kind by id, without a sort of all where that has not been done already.
func (s *State) refsOf(k Kind) (refs []Ref) {
	if known := s.sorted.Load(); known != nil {
		of := func(r Ref, k Kind) int { return r.Kind.Compare(k) }
		from, _ := slices.BinarySearchFunc(*known, k, of)
		to := from
		for to < len(*known) && (*known)[to].Kind == k {
			to++
		}
		return (*known)[from:to]
	}
	for _, id := range s.kinds[k].ids() {
		refs = append(refs, Ref{Kind: k, ID: id})
	}
	return refs
}

// Digest identifies the set of entities whatever their order: the hex SHA-256 over one line per entity,
// `kind NUL id NUL hex(sha256(body)) LF`, sorted by kind in reference order, then by id.
func (s *State) Digest() string {
	h := sha256.New()
	var line []byte
	for e := range s.All() {
		sum := sha256.Sum256(e.Body)
		line = append(append(append(line[:0], e.Kind...), 0), e.ID...)
		line = append(hex.AppendEncode(append(line, 0), sum[:]), '\n')
		h.Write(line)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Op is what a Change does.
type Op string

// The operations of a Change.
const (
	Create Op = "create"
	Update Op = "update"
	Delete Op = "delete"
)

// Change is one step from one State to another.
type Change struct {
	Op     Op
	Entity Entity // Body is nil for Delete
	Old    []byte // the body before; nil for Create
}

// Diff returns the changes that turn from into to, in an order that keeps references valid at each step: creates and
// updates in reference order, then deletes in reverse. It is pure; equal bodies make no change.
func Diff(from, to *State) []Change {
	var changes []Change
	for e := range to.All() {
		old, ok := from.Get(e.Ref)
		switch {
		case !ok:
			changes = append(changes, Change{Op: Create, Entity: e})
		case !bytes.Equal(old, e.Body):
			changes = append(changes, Change{Op: Update, Entity: e, Old: old})
		}
	}
	for _, r := range slices.Backward(from.Refs()) {
		if _, ok := to.Get(r); !ok {
			old, _ := from.Get(r)
			changes = append(changes, Change{Op: Delete, Entity: Entity{Ref: r}, Old: old})
		}
	}
	return changes
}

// Apply makes the change in s.
func (s *State) Apply(c Change) {
	if c.Op == Delete {
		s.Delete(c.Entity.Ref)
		return
	}
	s.Put(c.Entity)
}
