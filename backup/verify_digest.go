package backup

import (
	"io"
	"maps"
	"slices"

	"gwdr/gateway"
)

// step is what an entity became in a segment: nil, if it was deleted.
type step struct {
	seq int64
	sum *fingerprint
}

// digests computes what the points of a group come to, from their packs' entities in order and the changes since.
type digests struct {
	changes map[gateway.Ref][]step
	changed []gateway.Ref // those that did not come by yet, in order
	points  []*Found
	lists   []*lister
}

func (d *digests) begin(points []*Found) {
	d.points = points
	for range points {
		d.lists = append(d.lists, newLister(io.Discard))
	}
	d.changed = slices.SortedFunc(maps.Keys(d.changes), gateway.Ref.Compare)
}

// add takes the next entity of the packs.
func (d *digests) add(ref gateway.Ref, sum fingerprint) error {
	if err := d.flush(&ref); err != nil {
		return err
	}
	if len(d.changed) > 0 && d.changed[0] == ref {
		d.changed = d.changed[1:]
		return d.list(ref, &sum, d.changes[ref])
	}
	return d.list(ref, &sum, nil)
}

// flush lists the changed entities that come before the reference; nil is the end.
func (d *digests) flush(before *gateway.Ref) error {
	for len(d.changed) > 0 && (before == nil || d.changed[0].Compare(*before) < 0) {
		ref := d.changed[0]
		d.changed = d.changed[1:]
		if err := d.list(ref, nil, d.changes[ref]); err != nil {
			return err
		}
	}
	return nil
}

// list adds to each point what the entity was there; base is that of the packs, or nil.
func (d *digests) list(ref gateway.Ref, base *fingerprint, steps []step) error {
	for i, f := range d.points {
		sum := base
		for _, s := range steps {
			if s.seq <= f.Log.Seq {
				sum = s.sum
			}
		}
		if sum == nil {
			continue
		}
		if _, err := d.lists[i].add(ref, *sum); err != nil {
			return err
		}
	}
	return nil
}
