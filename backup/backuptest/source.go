package backuptest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"gwdr/gateway"
)

// Source is a gateway that holds a State and remembers its changes. It is safe for concurrent use.
type Source struct {
	Clock func() time.Time // nil: time.Now

	mu        sync.Mutex
	state     *gateway.State
	store     string
	revision  int64
	history   []gateway.Batch
	compacted int64 // changes up to this revision are forgotten
	fault     error
	moved     chan struct{} // closed by the next change
	exports   int
}

var (
	_ gateway.Source  = (*Source)(nil)
	_ gateway.Tracker = (*Source)(nil)
)

// NewSource returns a Source at revision 1.
func NewSource(store string, entities ...gateway.Entity) *Source {
	return &Source{state: gateway.NewState(entities...), store: store, revision: 1, compacted: 1, moved: make(chan struct{})}
}

// Put changes the configuration by one revision.
func (s *Source) Put(entities ...gateway.Entity) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var changes []gateway.Change
	for _, e := range entities {
		op := gateway.Create
		if _, there := s.state.Get(e.Ref); there {
			op = gateway.Update
		}
		changes = append(changes, gateway.Change{Op: op, Entity: e})
	}
	s.change(changes)
}

// Delete removes entities, in one revision.
func (s *Source) Delete(refs ...gateway.Ref) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var changes []gateway.Change
	for _, r := range refs {
		changes = append(changes, gateway.Change{Op: gateway.Delete, Entity: gateway.Entity{Ref: r}})
	}
	s.change(changes)
}

func (s *Source) change(changes []gateway.Change) {
	s.revision++
	for _, c := range changes {
		s.state.Apply(c)
	}
	s.history = append(s.history, gateway.Batch{Revision: s.revision, Changes: changes})
	s.wake()
}

func (s *Source) wake() {
	close(s.moved)
	s.moved = make(chan struct{})
}

// Wipe starts the store anew under another id.
func (s *Source) Wipe(store string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state, s.store, s.revision, s.history, s.compacted = gateway.NewState(), store, 1, nil, 1
	s.wake()
}

// Compact forgets what has changed so far.
func (s *Source) Compact() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.history, s.compacted = nil, s.revision
}

// Fail makes every later read fail; nil heals it.
func (s *Source) Fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = err
	s.wake()
}

// Exports returns how often the whole state was read.
func (s *Source) Exports() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.exports
}

// Export returns a copy of the state.
func (s *Source) Export(ctx context.Context) (*gateway.Export, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := errors.Join(s.fault, ctx.Err()); err != nil {
		return nil, err
	}
	s.exports++
	return &gateway.Export{State: s.state.Clone(), Store: s.store, Revision: s.revision, Time: s.now()}, nil
}

func (s *Source) now() time.Time {
	if s.Clock != nil {
		return s.Clock().UTC()
	}
	return time.Now().UTC()
}

// Changes returns the revisions after from.
func (s *Source) Changes(ctx context.Context, store string, from int64, each func(gateway.Batch) error) (gateway.Header, error) {
	header, batches, _, err := s.after(ctx, store, from)
	if err != nil {
		return gateway.Header{}, err
	}
	for _, b := range batches {
		if err := each(b); err != nil {
			return gateway.Header{}, err
		}
	}
	return header, nil
}

// Follow is Changes without an end.
func (s *Source) Follow(ctx context.Context, store string, from int64, each func(gateway.Batch) error) error {
	for {
		header, batches, moved, err := s.after(ctx, store, from)
		if err != nil {
			return err
		}
		for _, b := range append(batches, gateway.Batch{Revision: header.Revision}) {
			if err := each(b); err != nil {
				return err
			}
		}
		from = header.Revision
		select {
		case <-moved:
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// after returns what came after the revision, and a channel that is closed when there is more.
func (s *Source) after(ctx context.Context, store string, from int64) (gateway.Header, []gateway.Batch, <-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := errors.Join(s.fault, ctx.Err()); err != nil {
		return gateway.Header{}, nil, nil, err
	}
	if store != s.store || from < s.compacted || from > s.revision {
		return gateway.Header{}, nil, nil, fmt.Errorf("changes of %s after %d: %w", store, from, gateway.ErrCompacted)
	}
	var batches []gateway.Batch
	for _, b := range s.history {
		if b.Revision > from {
			batches = append(batches, b)
		}
	}
	return gateway.Header{Store: s.store, Revision: s.revision, Time: s.now()}, batches, s.moved, nil
}
