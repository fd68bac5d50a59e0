package backup

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// carrier brings to one copy what a Follower's spool has for it: the log, segment by segment, and beside it the points, which
// may take their time. A copy that fails is tried again, at ever longer intervals, for ever.
type carrier struct {
	*Follower
	copy Copy
}

const (
	retryFirst = 250 * time.Millisecond
	retryMost  = 30 * time.Second
	// lookEvery is how often a copy is asked whether it still has what it took.
	lookEvery = 15 * time.Minute
)

// carryLog brings the log until the context ends.
func (c carrier) carryLog(ctx context.Context) {
	retry := backoff{first: retryFirst, most: retryMost}
	var looked time.Time
	for c.board.await(ctx, func() bool { return c.board.lacksLog(c.copy) }) == nil {
		ship, size, known, err := c.portion()
		look := !known || time.Since(looked) >= lookEvery
		if err == nil {
			err = c.attempt(ctx, size, func(ctx context.Context) error { return c.putPortion(ctx, ship, known, look) }, c.heard)
		}
		if ctx.Err() != nil {
			return
		}
		c.heard(err)
		if errors.Is(err, errLost) {
			c.board.want(fullPoint, ship.anchor)
		}
		if err == nil {
			if look {
				looked = time.Now()
			}
			retry.reset()
		} else {
			pause(ctx, retry.wait())
		}
	}
}

// portion returns the next part of the log that the copy lacks, its size, and whether it is known what the copy can do.
func (c carrier) portion() (ship *shipment, size int64, known bool, err error) {
	lineage, anchor, tail, known := c.board.logFor(c.copy)
	s := spool{c.Spool}
	q := s.queue(lineage)
	upTo, size, err := q.portion(s.progress(lineage, c.copy).Seq, tail)
	return &shipment{lineage: lineage, queue: q, tail: upTo, anchor: anchor, existing: q.existing}, size, known, err
}

// putPortion puts a part of the log. A copy that was away is tested first; look says that it is also asked for what it took.
func (c carrier) putPortion(ctx context.Context, ship *shipment, known, look bool) error {
	var held *stock
	if look {
		held = newStock(ctx, c.copy, ship.lineage)
		if err := c.missed(held, ship); err != nil {
			return err
		}
	}
	if !known {
		if p := probe(ctx, c.copy); p.note == "" {
			c.board.entitle(c.copy, p.capabilities.CreateOnly)
		}
	}
	_, err := c.putLog(ctx, c.copy, ship, held)
	return err
}

// missed tells, and asks for a new point, if somebody took away from the copy what it had taken.
func (c carrier) missed(held *stock, ship *shipment) error {
	s := spool{c.Spool}
	had, taken := s.progress(ship.lineage, c.copy), s.taken(ship.lineage, c.copy)
	have, err := held.revise(had, ship.lineage, ship.anchor)
	gone := false
	if err == nil && taken.Name != "" {
		gone, err = held.lacks(lineageRoot(ship.lineage) + taken.Name + pointEnding)
	}
	if err == nil && (gone || have != had) {
		c.Log.Warn("somebody took away from a location what was stored there; it is put there again", "location", c.copy.Name, "lineage", ship.lineage)
		c.board.want(anyPoint, ship.anchor)
	}
	return err
}

// heard puts on the board what came of an attempt to put the log, and tells when the copy goes or comes back.
func (c carrier) heard(err error) {
	stands := ours
	switch {
	case errors.Is(err, ErrSplitBrain):
		stands = foreign
	case err != nil:
		stands = silent
	}
	turned := c.board.heard(c.copy, func(lineage string) int64 { return spool{c.Spool}.progress(lineage, c.copy).Seq }, stands, err)
	switch {
	case turned && err != nil:
		c.tell(Event{Kind: LocationAway, Location: c.copy.Name, Error: err.Error()})
	case turned:
		c.tell(Event{Kind: LocationBack, Location: c.copy.Name})
	}
}

// carryPoints brings points until the context ends, while the copy takes the log.
func (c carrier) carryPoints(ctx context.Context) {
	retry := backoff{first: retryFirst, most: retryMost}
	var made int
	for c.board.await(ctx, func() (ok bool) { made, ok = c.board.lacksPoints(c.copy); return ok }) == nil {
		err := c.putPoints(ctx)
		if ctx.Err() != nil {
			return
		}
		if c.board.pointsAt(c.copy, made, err) {
			c.Log.Warn("location does not take points", "location", c.copy.Name, "error", err)
		}
		if err == nil {
			retry.reset()
		} else {
			pause(ctx, retry.wait())
		}
	}
}

// errBehind is wrapped when a point has to wait for the log before it.
var errBehind = errors.New("the log is not there yet")

// putPoints puts what the copy lacks: the points of the lineage, newest first, and then what is left of older lineages.
func (c carrier) putPoints(ctx context.Context) error {
	lineage, _, _, _ := c.board.logFor(c.copy)
	ships, err := c.shipments(lineage)
	if err != nil {
		return err
	}
	var errs []error
	for _, ship := range ships {
		if ship.lineage == lineage {
			errs = append(errs, c.putCurrent(ctx, ship))
		} else {
			errs = append(errs, c.putLeft(ctx, ship))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return c.tidyAll(ships)
}

// putCurrent puts the points of the lineage that is followed. Each waits until the log is there, and until it is decided who
// continues it.
func (c carrier) putCurrent(ctx context.Context, ship *shipment) error {
	for i, p := range ship.points {
		if p.delivered(c.copy) {
			continue
		}
		if err := c.board.awaitPoint(ctx, c.copy, p.Point); err != nil {
			return err
		}
		err := c.attempt(ctx, p.Size(), func(ctx context.Context) error {
			_, err := c.putPoint(ctx, c.copy, p, newStock(ctx, c.copy, p.Lineage), func() error { return nil })
			return err
		}, func(err error) { c.board.pointsAt(c.copy, 0, err) })
		if i > 0 && errors.Is(err, errLost) { // a newer one makes up for it
			if errors.Is(err, errNowhere) {
				p.giveUp()
			}
			continue
		}
		switch {
		case errors.Is(err, errNowhere):
			c.board.want(fullPoint, ship.anchor)
		case errors.Is(err, errLost): // the log before the point is not there any more
			c.board.doubt(c.copy)
		}
		if err != nil {
			return err
		}
		c.stored(p)
	}
	return nil
}

// putLeft puts what is left of an older lineage. Who continued that is known by now: the others' votes are how far they came.
func (c carrier) putLeft(ctx context.Context, ship *shipment) error {
	var size int64
	for _, p := range ship.points {
		size += p.Size()
	}
	for _, o := range c.others(c.copy) {
		v := silent
		if (spool{c.Spool}).progress(ship.lineage, o).Seq >= ship.tail.Seq {
			v = ours
		}
		ship.ballot.cast(o, v)
	}
	return c.attempt(ctx, size, func(ctx context.Context) error {
		return c.deliverShipment(ctx, c.copy, ship, false, new(delivered))
	}, func(err error) { c.board.pointsAt(c.copy, 0, err) })
}

// attempt does something with n bytes at the copy, within its time. A driver that does not come back by then (a dead NFS
// mount does not) is not left behind, as the next attempt would hang as well: late is told, and it is waited for.
func (c carrier) attempt(ctx context.Context, n int64, do func(context.Context) error, late func(error)) error {
	limit := allowance(c.Patience, n)
	limited, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("%w within %s", ErrSilent, limit))
	defer cancel()
	done := make(chan error, 1)
	go func() {
		err := do(limited)
		if cause := context.Cause(limited); err != nil && errors.Is(cause, ErrSilent) {
			err = fmt.Errorf("%w: %w", cause, err)
		}
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-limited.Done():
	}
	select {
	case err := <-done: // the driver noticed as well
		return err
	case <-time.After(grace):
	}
	if ctx.Err() == nil {
		late(context.Cause(limited))
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// pause waits, or until the context ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
