package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"gwdr/gateway"
)

// begin makes a point of what the gateway shows, as Take does, and goes on with the log of its lineage.
func (w *writer) begin(ctx context.Context) error {
	made, err := w.snapshot(ctx)
	if err != nil {
		return errors.Join(err, w.reload())
	}
	if w.lost {
		w.regained = time.Now().Add(w.losing.wait())
	}
	begun, before := w.lineage.Lineage != made.Lineage, w.board.position()
	anew := begun || w.lost
	if err := w.load(made.Lineage); err != nil {
		return err
	}
	w.changed, w.pointed, w.appended, w.lost = map[gateway.Ref]*fingerprint{}, time.Now(), time.Now(), false
	if begun {
		w.tell(Event{Kind: LineageBegun, Lineage: made.Lineage, Revision: made.Revision})
	}
	w.show(w.lineage, w.log.tail)
	if w.log.tail.Gap && w.log.tail.Seq > max(1, before) {
		w.tell(Event{Kind: Gap, Lineage: made.Lineage, Revision: made.Revision})
	}
	w.listen(ctx, anew)
	return nil
}

// load reads where the spool has the lineage.
func (w *writer) load(lineage string) error {
	w.log = nil // it is not what the spool has any more
	l, err := spool{w.Spool}.readLineage(lineage)
	if err != nil {
		return err
	}
	log, err := w.logWriter(lineage)
	if err != nil {
		return err
	}
	log.added = w.board.advance
	w.lineage, w.log = l, log
	return nil
}

// reload is load after an attempt to begin anew, which may have gone some way: what has changed since the last point is not
// known then.
func (w *writer) reload() error {
	if w.log == nil {
		return nil
	}
	w.changed, w.rested = nil, time.Now().Add(pointRest)
	err := w.load(w.lineage.Lineage)
	if err == nil {
		w.board.advance(w.log.tail)
	}
	return err
}

// listen watches the store that the log shows, or goes on to.
func (w *writer) listen(ctx context.Context, anew bool) {
	if w.watcher != nil && !anew {
		return
	}
	w.close()
	w.noticed = 0
	w.watcher = watch(context.WithoutCancel(ctx), w.tracker, w.lineage.Store, w.log.tail.To, w.turned)
}

// turned is told whenever the watcher hears something.
func (w *writer) turned(from *watcher) {
	changed, err, _ := from.heard()
	all := err == nil && w.board.settledAt(changed)
	w.mu.Lock()
	if w.state.connected = err == nil; all {
		w.state.caughtUp = time.Now()
	}
	w.mu.Unlock()
	w.wake()
}

// append appends what has changed, or that nothing has.
func (w *writer) append(ctx context.Context) error {
	h, _, err := w.read(ctx)
	if err != nil {
		return err
	}
	return w.end(h)
}

// end ends a segment where the gateway was when it was read.
func (w *writer) end(h gateway.Header) error {
	if err := w.log.end(h.Revision, h.Time, false); err != nil {
		return err
	}
	w.appended = time.Now()
	if w.log.tail.Seq%tidyEvery != 0 {
		return nil
	}
	w.tidying.Lock()
	defer w.tidying.Unlock()
	everywhere, majority := spool{w.Spool}.reached(w.lineage.Lineage, w.Copies)
	return w.log.queue.tidy(everywhere, majority)
}

// read takes what has changed since the log's end: all of it, or as much as should be held in memory, whole revisions only.
func (w *writer) read(ctx context.Context) (h gateway.Header, whole bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTime)
	defer cancel()
	noticed, _, _ := w.watcher.heard()
	size, last := 0, w.log.tail.To
	h, err = w.tracker.Changes(ctx, w.lineage.Store, last, func(b gateway.Batch) error {
		if size >= readMost {
			return errReached
		}
		for _, c := range b.Changes {
			size += len(c.Entity.Body)
			if w.changed != nil {
				w.changed[c.Entity.Ref] = fingerprintOf(c)
			}
		}
		last = b.Revision
		return w.log.add(b)
	})
	late := errors.Is(err, context.DeadlineExceeded) && last > w.log.tail.To
	switch {
	case errors.Is(err, errReached) || late: // when the gateway was there is not known; it was not before the tail's time
		return gateway.Header{Store: w.lineage.Store, Revision: last, Time: w.log.tail.Time}, false, nil
	case err == nil && h.Revision < w.log.tail.To:
		err = fmt.Errorf("%w: the gateway is at revision %d, before the log's end", gateway.ErrCompacted, h.Revision)
	}
	if err != nil {
		return h, false, fmt.Errorf("read changes: %w", err)
	}
	w.losing.reset()
	w.noticed = noticed
	return h, true, nil
}

// point makes a point of the last one and what has changed since; or of everything, when that is due.
func (w *writer) point(ctx context.Context) error {
	if w.board.wants() == fullPoint && !w.Full {
		w.Full = true
		defer func() { w.Full = false }()
	}
	if w.changed == nil || w.fullIsDue(w.lineage, time.Now()) != nil {
		return w.begin(ctx)
	}
	h, whole, err := w.read(ctx)
	if err != nil {
		return err
	}
	if !whole { // the rest first
		return w.end(h)
	}
	if _, err := w.relisted(w.lineage, w.log, h, w.changed); err != nil {
		w.rested = time.Now().Add(pointRest)
		return err
	}
	if err := w.load(w.lineage.Lineage); err != nil {
		return err
	}
	w.changed, w.pointed, w.appended = map[gateway.Ref]*fingerprint{}, time.Now(), time.Now()
	w.show(w.lineage, w.log.tail)
	return nil
}

// errUnheard is why there is nothing of a gateway.
var errUnheard = errors.New("the gateway was not read")

// finish delivers what was acknowledged, for as long as it may.
func (w *writer) finish(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.Grace)
	defer cancel()
	changed := int64(0)
	if w.watcher != nil {
		changed, _, _ = w.watcher.heard()
	}
	var unread error // why the last changes are not in the log
	if w.log != nil && !w.lost && !w.full() {
		last := w.append
		if len(w.changed) > 0 && w.fullIsDue(w.lineage, time.Now()) == nil {
			last = w.point
		}
		if err := last(ctx); err != nil {
			unread = err
		}
	} else if w.stalled || w.log == nil {
		unread = cmp.Or(w.state.stalled, errUnheard)
	}
	_ = w.board.await(ctx, w.board.settled) // what is not there by then is counted below
	waiting, _ := w.board.backlog()
	switch {
	case w.log != nil && changed > w.log.tail.To:
		return fmt.Errorf("%w: the gateway was not read up to revision %d", ErrUncommitted, changed)
	case waiting > 0:
		return fmt.Errorf("%w: %d segments of the log wait in the spool", ErrUncommitted, waiting)
	case unread != nil:
		return fmt.Errorf("%w: the last changes were not read: %w", ErrUncommitted, unread)
	}
	return nil
}
