package probes

// fate is what one observation says of one change.
type fate struct {
	class LossClass // "" is nothing bad
	got   int64
	sight
	shown bool // the change, or a later one of the same object, is there
}

// sight is where something was seen: in the list, or at one of these.
type sight struct {
	object bool // the object's own address
	data   bool // the data plane
}

// fates compares one observation with the history of its object.
type fates struct {
	history   *history
	seen      Observation
	of        map[int64]fate // by Seq
	strangers []LossItem     // what no change of the history made
}

func compare(h *history, o Observation) *fates {
	f := &fates{history: h, seen: o, of: map[int64]fate{}}
	f.version(o.Version, sight{})
	if o.Object != nil && *o.Object != o.Version {
		f.version(*o.Object, sight{object: true})
	}
	switch {
	case h.kind == KeyChange:
		f.key()
	case o.Data != -1 && o.Data != o.Version:
		f.version(o.Data, sight{data: true})
	}
	return f
}

// version judges the changes of the object by the version that was there.
func (f *fates) version(v int64, at sight) {
	if v == 0 {
		f.absent(at)
		return
	}
	for _, e := range f.history.changes {
		if e.Change.Seq == v && e.Result != Rejected && !e.Change.Delete {
			f.present(e, at)
			return
		}
	}
	f.wrong(v, at)
}

// absent: after a delete, or after the revocation of a key, there is nothing to see. Otherwise all that was acknowledged
// is lost.
func (f *fates) absent(at sight) {
	for _, e := range f.history.changes {
		switch {
		case !e.Change.Delete || e.Result == Rejected:
			continue
		case e.Result == Indeterminate:
			f.mark(e, fate{class: Recovered, sight: at})
		}
		return
	}
	if f.seen.Revoked && known(f.history.revokes) {
		return
	}
	for _, e := range f.history.changes {
		if e.Result == Acked {
			f.mark(e, fate{class: Lost, sight: at})
		}
	}
}

// present: the object is as change e left it.
func (f *fates) present(e Entry, at sight) {
	if e.Result == Indeterminate {
		f.mark(e, fate{class: Recovered, got: e.Change.Seq, sight: at})
	}
	for _, c := range f.history.changes {
		switch {
		case c.Result != Acked:
		case c.Change.Seq <= e.Change.Seq:
			f.mark(c, fate{shown: true})
		default: // an undone delete too: what is there is older than what was acknowledged
			f.mark(c, fate{class: Stale, got: e.Change.Seq, sight: at})
		}
	}
}

// wrong: the version is of a rejected change, of another object or of nothing that was ever sent. The newest change that
// was acknowledged is not there.
func (f *fates) wrong(v int64, at sight) {
	var newest, rejected *Entry
	for i, e := range f.history.changes {
		if e.Result == Acked {
			newest = &f.history.changes[i]
		}
		if e.Result == Rejected && e.Change.Seq == v {
			rejected = &f.history.changes[i]
		}
	}
	if newest != nil {
		f.mark(*newest, fate{class: Corrupt, got: v, sight: at})
	}
	if rejected != nil {
		f.mark(*rejected, fate{class: Phantom, got: v, sight: at})
	} else if newest == nil {
		f.stranger(f.history.kind, v)
	}
}

// key judges a key at the data plane, and its revocations everywhere.
func (f *fates) key() {
	o, revokes := f.seen, f.history.revokes
	asked := o.Data != -1
	if asked && o.Refused && !known(revokes) {
		for _, e := range f.history.changes {
			if e.Result == Acked {
				f.mark(e, fate{class: Lost, sight: sight{data: true}})
			}
		}
	}
	for _, e := range revokes {
		switch {
		case e.Result == Acked:
			f.mark(e, f.revocation(asked && !o.Refused))
		case e.Result == Indeterminate && o.Revoked:
			f.mark(e, fate{class: Recovered})
		case e.Result == Rejected && o.Revoked && !known(revokes):
			f.mark(e, fate{class: Phantom})
		}
	}
	if len(revokes) == 0 && o.Revoked {
		f.stranger(RevokeChange, 0)
	}
}

// revocation judges an acknowledged revocation: it is undone if the key works, or would work at whoever asks the control
// plane.
func (f *fates) revocation(works bool) fate {
	switch o := f.seen; {
	case works || (o.Version != 0 && !o.Revoked):
		return fate{class: Resurrected, got: o.Version, sight: sight{data: works}}
	case !o.Revoked:
		return fate{class: Lost}
	default:
		return fate{shown: true}
	}
}

// known reports whether any of the changes was, or may have been, made.
func known(changes []Entry) bool {
	for _, e := range changes {
		if e.Result != Rejected {
			return true
		}
	}
	return false
}

// mark keeps the worse of two fates of a change.
func (f *fates) mark(e Entry, n fate) {
	have := f.of[e.Change.Seq]
	n.shown = n.shown || have.shown
	if have.class != "" && rank(have.class) <= rank(n.class) {
		have.shown = n.shown
		n = have
	}
	f.of[e.Change.Seq] = n
}

func (f *fates) stranger(kind ChangeKind, got int64) {
	f.strangers = append(f.strangers, LossItem{Class: Phantom, Region: f.seen.Region, Kind: kind, ID: f.history.id, Got: got})
}
