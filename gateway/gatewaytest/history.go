package gatewaytest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"gwdr/gateway"
)

// History is a gateway.Tracker for fakes: it counts revisions, and remembers what each of them changed until it is told to
// forget. Use Reset first. It is safe for concurrent use.
type History struct {
	mu      sync.Mutex
	store   string
	head    int64
	first   int64 // what came after it is known
	batches []gateway.Batch
	moved   chan struct{} // closed with the next revision
}

var _ gateway.Tracker = (*History)(nil)

// Reset begins a store at the revision. What came before belongs to another one.
func (h *History) Reset(store string, revision int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.store, h.head, h.first, h.batches = store, revision, revision, nil
	h.move()
}

// Make makes the changes in s as one revision. It is a create or an update as s says; a delete of nothing changes nothing, and
// is a revision all the same, as in the bundled gateway.
func (h *History) Make(s *gateway.State, changes ...gateway.Change) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.head++
	b := gateway.Batch{Revision: h.head}
	for _, c := range changes {
		_, there := s.Get(c.Entity.Ref)
		switch {
		case c.Op == gateway.Delete && !there:
			continue
		case c.Op != gateway.Delete && there:
			c.Op = gateway.Update
		case c.Op != gateway.Delete:
			c.Op = gateway.Create
		}
		s.Apply(c)
		c.Old = nil
		b.Changes = append(b.Changes, c)
	}
	if len(b.Changes) > 0 {
		h.batches = append(h.batches, b)
	}
	h.move()
}

func (h *History) move() {
	if h.moved != nil {
		close(h.moved)
	}
	h.moved = make(chan struct{})
}

// Forget compacts the history: what happened until now is not known any more.
func (h *History) Forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.first, h.batches = h.head, nil
}

// Header returns what a read shows that begins now.
func (h *History) Header() gateway.Header {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.header()
}

func (h *History) header() gateway.Header {
	return gateway.Header{Store: h.store, Revision: h.head, Epoch: 1, Time: time.Now().UTC()}
}

// since returns what came after the revision, and a channel that is closed with the next revision.
func (h *History) since(store string, from int64) (gateway.Header, []gateway.Batch, <-chan struct{}, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if store != h.store || from < h.first || from > h.head {
		return gateway.Header{}, nil, nil, fmt.Errorf("changes of %s after %d: %w: there is %s from %d to %d", store, from, gateway.ErrCompacted, h.store, h.first, h.head)
	}
	i, _ := slices.BinarySearchFunc(h.batches, from+1, func(b gateway.Batch, revision int64) int { return int(b.Revision - revision) })
	return h.header(), slices.Clone(h.batches[i:]), h.moved, nil
}

// Changes implements gateway.Tracker.
func (h *History) Changes(ctx context.Context, store string, from int64, each func(gateway.Batch) error) (gateway.Header, error) {
	header, batches, _, err := h.since(store, from)
	if err != nil {
		return gateway.Header{}, err
	}
	return header, pass(ctx, batches, each)
}

// Follow implements gateway.Tracker.
func (h *History) Follow(ctx context.Context, store string, from int64, each func(gateway.Batch) error) error {
	beat := time.NewTicker(time.Second)
	defer beat.Stop()
	for {
		header, batches, moved, err := h.since(store, from)
		if err == nil {
			err = pass(ctx, batches, each)
		}
		if err == nil && len(batches) == 0 {
			err = each(gateway.Batch{Revision: from})
		}
		if err != nil {
			return err
		}
		from = header.Revision
		select {
		case <-moved:
		case <-beat.C:
		case <-ctx.Done():
		}
	}
}

func pass(ctx context.Context, batches []gateway.Batch, each func(gateway.Batch) error) error {
	for _, b := range batches {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := each(b); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// Tracked is a Gateway that can be read entity by entity, and remembers its changes.
type Tracked struct{ *Gateway }

var (
	_ gateway.Streamer = Tracked{}
	_ gateway.Tracker  = Tracked{}
	_ Forgetter        = Tracked{}
)

// Stream implements gateway.Streamer.
func (g Tracked) Stream(ctx context.Context, begin func(gateway.Header) error, each func(gateway.Entity) error) error {
	e, err := g.Export(ctx)
	if err != nil {
		return err
	}
	return StreamExport(e, begin, each)
}

// StreamExport is the Stream of who has an Export.
func StreamExport(e *gateway.Export, begin func(gateway.Header) error, each func(gateway.Entity) error) error {
	if err := begin(gateway.Header{Store: e.Store, Revision: e.Revision, Epoch: 1, Time: e.Time}); err != nil {
		return err
	}
	var body []byte // the same for all, so that whoever keeps one is found out
	for entity := range e.State.All() {
		body = append(body[:0], entity.Body...)
		if err := each(gateway.Entity{Ref: entity.Ref, Body: body}); err != nil {
			return err
		}
	}
	return nil
}

// Changes implements gateway.Tracker.
func (g Tracked) Changes(ctx context.Context, store string, from int64, each func(gateway.Batch) error) (gateway.Header, error) {
	return g.history.Changes(ctx, store, from, each)
}

// Follow implements gateway.Tracker.
func (g Tracked) Follow(ctx context.Context, store string, from int64, each func(gateway.Batch) error) error {
	return g.history.Follow(ctx, store, from, each)
}

// Forget compacts the history.
func (g Tracked) Forget() error {
	g.history.Forget()
	return nil
}
