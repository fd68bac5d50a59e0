package backup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"gwdr/gateway"
)

// fromAll makes a point of everything that the source shows.
func (j *Job) fromAll(ctx context.Context) (snapshot, error) {
	s := spool{j.Spool}
	if err := os.MkdirAll(filepath.Join(s.dir, "lineages"), 0o700); err != nil {
		return snapshot{}, fmt.Errorf("spool point: %w", err)
	}
	temp, err := os.MkdirTemp(filepath.Join(s.dir, "lineages"), tempPrefix+"*")
	if err != nil {
		return snapshot{}, fmt.Errorf("spool point: %w", err)
	}
	defer os.RemoveAll(temp)
	e, err := j.export(ctx, temp)
	if err != nil {
		return snapshot{}, err
	}
	log, err := j.appendSince(ctx, e)
	if err != nil {
		return snapshot{}, err
	}
	l, at := e.lineage, log.tail.position()
	p := Point{
		Schema: pointSchema, Lineage: l.Lineage, Parent: l.Parent, Store: l.Store,
		Revision: e.header.Revision, Time: e.header.Time.UTC(), Previous: l.Last.SHA256,
		Log: at, Base: Base{Seq: at.Seq, Revision: e.header.Revision, Time: e.header.Time.UTC()},
		Packs: e.packs, Digest: e.digest, Counts: e.counts,
		Unreachable: append([]gateway.Kind{}, e.unreachable...), Recipients: j.Keys.RecipientIDs, Tool: j.Tool, Undo: j.Undo,
	}
	l.Since = 0
	found, err := j.commit(l, p, temp, e.listing)
	made := snapshot{Found: found, full: true, changes: log.changes, bytes: log.written}
	for _, pack := range e.fresh {
		made.bytes += pack.Size
	}
	return made, err
}

// ErrBlank is wrapped when the gateway has lost its store, and waits for a restore: there is nothing to back up.
var ErrBlank = errors.New("the gateway has lost its store and waits for a restore")

// exported is everything that the source showed, in sealed packs.
type exported struct {
	header       gateway.Header
	unreachable  []gateway.Kind
	lineage      lineageEntry
	packs, fresh []Pack // all of them; those that are new
	digest       string
	counts       map[gateway.Kind]int
	listing      string // file
}

// export reads everything into packs in the directory.
func (j *Job) export(ctx context.Context, temp string) (e exported, err error) {
	e.listing = filepath.Join(temp, "listing")
	listing, err := os.Create(e.listing)
	if err != nil {
		return e, fmt.Errorf("spool point: %w", err)
	}
	var p *packer
	packing := ctx
	begin := func(h gateway.Header) (err error) {
		if _, tracks := j.Source.(gateway.Tracker); tracks && h.Store == "" {
			return ErrBlank
		}
		e.header = h
		if e.lineage, err = j.lineage(ctx, h.Store, h.Revision); err != nil {
			return err
		}
		p, packing = newPacker(ctx, temp, j.Keys.Recipients, j.reusable(e.lineage), listing,
			func(n int64) { j.Progress(Progress{Phase: "seal", Done: n}) })
		return nil
	}
	e.unreachable, err = j.read(ctx, begin, func(entity gateway.Entity) error { return p.add(packing, entity) })
	if err == nil {
		e.packs, e.fresh, e.digest, e.counts, err = p.finish(packing)
	} else if p != nil {
		p.abandon()
	}
	if err = errors.Join(err, listing.Close()); err != nil { // not synced, as in relist
		return e, fmt.Errorf("export: %w", err)
	}
	return e, nil
}

// reusable returns the packs of the lineage's last point that the recipients of today can open.
func (j *Job) reusable(l lineageEntry) []Pack {
	if j.Full || !slices.Equal(l.Last.Point.Recipients, j.Keys.RecipientIDs) {
		return nil
	}
	return l.Last.Point.Packs
}

// read reads the source entity by entity, and returns what it would not give.
func (j *Job) read(ctx context.Context, begin func(gateway.Header) error, each func(gateway.Entity) error) ([]gateway.Kind, error) {
	if s, ok := j.Source.(gateway.Streamer); ok {
		return nil, s.Stream(ctx, begin, each)
	}
	e, err := j.Source.Export(ctx)
	if err != nil {
		return nil, err
	}
	if err := begin(gateway.Header{Store: e.Store, Revision: e.Revision, Time: e.Time}); err != nil {
		return nil, err
	}
	for entity := range e.State.All() {
		if err := each(entity); err != nil {
			return nil, err
		}
	}
	return e.Unreachable, nil
}

// appendSince appends to the log what changed between its end and what was exported, or that this is not known.
func (j *Job) appendSince(ctx context.Context, e exported) (*logWriter, error) {
	log, err := j.logWriter(e.lineage.Lineage)
	if err != nil {
		return nil, err
	}
	gap := true
	if tracker, ok := j.Source.(gateway.Tracker); ok && log.tail.Seq > 0 {
		_, err := tracker.Changes(ctx, e.lineage.Store, log.tail.To, func(b gateway.Batch) error {
			if b.Revision > e.header.Revision {
				return errReached
			}
			return log.add(b)
		})
		if gap = errors.Is(err, gateway.ErrCompacted) || errors.Is(err, errFull); err != nil && !gap && !errors.Is(err, errReached) {
			return nil, fmt.Errorf("read changes: %w", err)
		}
	}
	if gap && log.tail.To == e.header.Revision {
		gap = false // nothing has changed
	}
	if gap {
		log.gap()
	}
	return log, log.end(e.header.Revision, e.header.Time, gap)
}

// errReached ends a reading of changes that went far enough.
var errReached = errors.New("reached")
