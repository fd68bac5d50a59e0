package probes

import (
	"cmp"
	"slices"
)

// history is all changes of one object, by Seq. Revocations of a key are kept apart: they outlive it.
type history struct {
	kind    ChangeKind
	id      string
	changes []Entry
	revokes []Entry
}

type objectID struct {
	kind ChangeKind
	id   string
}

func histories(changes []Entry) map[objectID]*history {
	all := map[objectID]*history{}
	for _, e := range changes {
		key := objectID{e.Change.Kind, e.Change.ID}
		if e.Change.Kind == RevokeChange {
			key.kind = KeyChange
		}
		h := all[key]
		if h == nil {
			h = &history{kind: key.kind, id: key.id}
			all[key] = h
		}
		if e.Change.Kind == RevokeChange {
			h.revokes = append(h.revokes, e)
		} else {
			h.changes = append(h.changes, e)
		}
	}
	return all
}

// subject is what a LossItem is about: a change of the ledger, or, with Seq 0, something that none of them made.
type subject struct {
	seq  int64
	kind ChangeKind
	id   string
}

func (i LossItem) subject() subject { return subject{i.Seq, i.Kind, i.ID} }

func (e Entry) subject() subject { return subject{e.Change.Seq, e.Change.Kind, e.Change.ID} }

// reading is what the observations say of each change.
type reading struct {
	regions []string
	items   []LossItem
	worst   map[subject]LossClass
	seen    map[subject]int // in how many regions the change's object was read
	shown   map[subject]int // in how many the change is shown to have survived
}

// read reports whether the change was read back in every region.
func (r *reading) read(e Entry) bool {
	return len(r.regions) > 0 && r.seen[e.subject()] == len(r.regions)
}

// evident reports whether every region shows that the change survived: itself, or a later one of the same object. An
// absent object shows nothing of the changes before its delete.
func (r *reading) evident(e Entry) bool {
	return len(r.regions) > 0 && r.shown[e.subject()] == len(r.regions)
}

func readBack(objects map[objectID]*history, observations []Observation) *reading {
	r := &reading{worst: map[subject]LossClass{}, seen: map[subject]int{}, shown: map[subject]int{}}
	type place struct {
		region string
		objectID
	}
	listed := map[place]bool{}
	for _, o := range observations {
		if !slices.Contains(r.regions, o.Region) {
			r.regions = append(r.regions, o.Region)
		}
		at := place{o.Region, objectID{o.Kind, o.ID}}
		switch {
		case o.Error != "":
		case listed[at]:
			r.add(LossItem{Class: Duplicate, Region: o.Region, Kind: o.Kind, ID: o.ID, Got: o.Version})
		default:
			listed[at] = true
			h := objects[at.objectID]
			if h == nil {
				h = &history{kind: o.Kind, id: o.ID}
			}
			r.object(h, o)
		}
	}
	slices.Sort(r.regions)
	slices.SortStableFunc(r.items, func(a, b LossItem) int {
		return cmp.Or(cmp.Compare(a.Region, b.Region), cmp.Compare(a.Seq, b.Seq), cmp.Compare(rank(a.Class), rank(b.Class)))
	})
	return r
}

// object compares one observation with the object's history.
func (r *reading) object(h *history, o Observation) {
	f := compare(h, o)
	for _, e := range slices.Concat(h.changes, h.revokes) {
		r.seen[e.subject()]++
		fate := f.of[e.Change.Seq]
		if fate.class != "" {
			item := LossItem{
				Class: fate.class, Region: o.Region, Seq: e.Change.Seq, Kind: e.Change.Kind, ID: h.id, Got: fate.got,
				Object: fate.object, Data: fate.data,
			}
			if e.Result == Acked {
				item.Done = e.Done
			}
			r.add(item)
		}
		if fate.shown && !fate.class.isLoss() {
			r.shown[e.subject()]++
		}
	}
	for _, item := range f.strangers {
		r.add(item)
	}
}

func (r *reading) add(i LossItem) {
	r.items = append(r.items, i)
	if have, ok := r.worst[i.subject()]; !ok || rank(i.Class) < rank(have) {
		r.worst[i.subject()] = i.Class
	}
}

// rank orders the classes, the worst first.
func rank(c LossClass) int {
	return slices.Index([]LossClass{Resurrected, Lost, Corrupt, Stale, Phantom, Duplicate, Recovered, ""}, c)
}
