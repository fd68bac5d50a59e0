package backup

import (
	"context"
	"errors"
	"io"
	"os"
	"time"
)

// delivery is what one copy came to in one backup.
type delivery struct {
	answer[delivered]
}

// delivered is what a copy took. A copy that was left behind came to nothing.
type delivered struct {
	bytes   int64    // of the newest point and what it needs
	earlier int      // points of earlier backups that this copy lacked
	gone    []string // newest points that it took, and does not have any more
	probed
	ok bool // the newest point is there
}

// probed is what a location showed of its promises.
type probed struct {
	capabilities Capabilities
	domain       string
	note         string // why they could not be tested
	failed       bool   // the test failed
}

// probing is a test of a location that may still be running.
type probing struct {
	done   chan struct{}
	answer answer[probed]
}

// probeAll begins to test all copies. end ends what still runs.
func (j *Job) probeAll(ctx context.Context) (all map[string]*probing, end func()) {
	ctx, cancel := context.WithCancel(ctx)
	all = map[string]*probing{}
	for _, c := range j.Copies {
		p := &probing{done: make(chan struct{})}
		all[c.Name] = p
		go func() {
			defer close(p.done)
			p.answer = onOne(ctx, c, j.Patience, func(ctx context.Context, c Copy) (probed, error) { return probe(ctx, c), nil })
		}()
	}
	return all, func() {
		cancel()
		for _, p := range all {
			<-p.done
		}
	}
}

func probe(ctx context.Context, c Copy) probed {
	p, err := tryProbe(ctx, c)
	if err != nil {
		p.note, p.failed = "probe failed: "+err.Error(), true
	}
	return p
}

// deliver puts the shipments to all copies at once.
func (j *Job) deliver(ctx context.Context, ships []*shipment, probes map[string]*probing) []delivery {
	if len(ships) == 0 {
		return nil
	}
	var total int64
	for _, ship := range ships {
		for _, p := range ship.points {
			total += p.Size()
		}
	}
	// Whoever has not voted by then is not waited for: the others need time of their own to commit.
	late := time.AfterFunc(j.Patience*3/4, func() { castAll(ships, j.Copies, silent) })
	defer late.Stop()
	answers := onEach(ctx, j.Copies, allowance(j.Patience, total), func(ctx context.Context, c Copy) (delivered, error) {
		return j.deliverTo(ctx, c, ships, probes[c.Name])
	}, func(c Copy) { castAll(ships, []Copy{c}, silent) })
	deliveries := make([]delivery, len(answers))
	for i, a := range answers {
		deliveries[i] = delivery{a}
	}
	return deliveries
}

// castAll casts the same vote in all ballots, for copies that have not voted yet.
func castAll(ships []*shipment, copies []Copy, v vote) {
	for _, ship := range ships {
		for _, c := range copies {
			ship.ballot.cast(c, v)
		}
	}
}

func (j *Job) deliverTo(ctx context.Context, c Copy, ships []*shipment, probe *probing) (d delivered, err error) {
	select {
	case <-probe.done:
	case <-ctx.Done():
		return d, context.Cause(ctx)
	}
	if d.probed = probe.answer.value; probe.answer.err != nil {
		return d, probe.answer.err
	}
	for i, ship := range ships {
		if d.note == "" && !d.capabilities.CreateOnly {
			ship.ballot.cast(c, void)
		}
		err := j.deliverShipment(ctx, c, ship, i == 0, &d)
		if i > 0 && (errors.Is(err, errLost) || errors.Is(err, ErrSplitBrain)) { // of an older lineage: it is no reason to fail
			j.Log.Warn("what is left of an older lineage cannot be delivered", "location", c.Name, "lineage", ship.lineage, "error", err)
			continue
		}
		if err != nil {
			return d, err
		}
	}
	return d, nil
}

// deliverShipment puts the log first: it decides whether we may go on. first says that the newest point of the backup is in
// it.
func (j *Job) deliverShipment(ctx context.Context, c Copy, ship *shipment, first bool, d *delivered) error {
	held := newStock(ctx, c, ship.lineage)
	if taken := (spool{j.Spool}).taken(ship.lineage, c); taken.Name != "" {
		gone, err := held.lacks(lineageRoot(ship.lineage) + taken.Name + pointEnding)
		if err != nil {
			ship.ballot.cast(c, silent)
			return err
		}
		if gone {
			d.gone = append(d.gone, taken.Name)
		}
	}
	sent, err := j.putLog(ctx, c, ship, held)
	d.bytes += sent
	switch {
	case errors.Is(err, ErrSplitBrain):
		ship.ballot.cast(c, foreign)
		return err
	case err != nil:
		ship.ballot.cast(c, silent)
		return err
	}
	ship.ballot.cast(c, ours)
	for i, p := range ship.points {
		newest := first && i == 0
		if p.delivered(c) {
			d.ok = d.ok || newest
			continue
		}
		n, err := j.putPoint(ctx, c, p, held, func() error { return ship.ballot.wait(ctx) })
		if i > 0 && errors.Is(err, errLost) { // a newer one makes up for it
			if errors.Is(err, errNowhere) {
				p.giveUp()
			}
			continue
		}
		if err != nil {
			return err
		}
		if newest {
			d.ok, d.bytes = true, d.bytes+n
		} else {
			d.earlier++
		}
	}
	return nil
}

func (j *Job) putFile(ctx context.Context, c Copy, object, path string, size int64) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	body := &progressReader{ReadSeeker: f, report: func(n int64) {
		j.Progress(Progress{Phase: "put", Location: c.Name, Done: n, Total: size})
	}}
	return c.Location.Put(ctx, object, body, size)
}

// progressReader reports the position after each read.
type progressReader struct {
	io.ReadSeeker
	at     int64
	report func(int64)
}

func (r *progressReader) Read(p []byte) (int, error) {
	n, err := r.ReadSeeker.Read(p)
	r.at += int64(n)
	r.report(r.at)
	return n, err
}

func (r *progressReader) Seek(offset int64, whence int) (int64, error) {
	at, err := r.ReadSeeker.Seek(offset, whence)
	r.at = at
	return at, err
}
