package backup

import "slices"

// What a copy should have is not what any other has: prune takes old points where the store's own clock says so, and where no
// lock keeps them; and another writer may have put things of its own to one of them. Due at a copy are the points of a gateway
// that are newer than all that it has, whatever is needed by those that it has or should have, and the log after the newest
// point. If Strict, everything is due.

// planDue finds out what is due at each copy.
func (r *verifying) planDue() {
	r.due = make([]map[string]bool, len(r.copies))
	ancestor := ancestors(r.found)
	for i := range r.copies {
		r.due[i] = map[string]bool{}
		older := map[string]bool{} // gateways, by their oldest lineage, of which the copy has a newer point
		for k := range r.scope {   // newest first
			f := &r.scope[k]
			gateway := ancestor(f.Lineage)
			if r.has(i, f) || !r.strays(f) && (r.Strict || !older[gateway]) {
				r.duePoint(i, f)
			}
			older[gateway] = older[gateway] || slices.Contains(f.Copies, r.copies[i].Name) && !r.strays(f)
		}
		r.dueLog(i)
	}
}

// duePoint makes a point due, and what it needs.
func (r *verifying) duePoint(i int, f *Found) {
	r.due[i][f.Object()] = true
	for _, name := range baseFiles() {
		r.due[i][lineageRoot(f.Lineage)+name] = true
	}
	for _, pack := range f.Packs {
		r.due[i][f.PackObject(pack)] = true
	}
	for seq := f.Log.Seq; seq > max(f.Base.Seq, f.Log.Seq-maxReplay); seq-- {
		r.due[i][lineageRoot(f.Lineage)+segmentName(seq)] = true
	}
}

// dueLog makes the log due from the newest point of each lineage on, where the copy has a part in the lineage at all.
func (r *verifying) dueLog(i int) {
	for _, w := range r.wanted {
		if w.class != classSegment || !r.due[i][lineageRoot(w.lineage)+repoFile] {
			continue
		}
		log := r.logs[w.lineage]
		if (r.Strict || w.seq >= log.pinned) && (log.canon[w.seq] != "" || w.skip) {
			r.due[i][w.object] = true
		}
	}
}

// has reports whether the copy has something under the point's name, whole or not.
func (r *verifying) has(i int, f *Found) bool {
	s, ok := r.sight(i, f.Object())
	return ok && !s.missing()
}

// elsewhere returns how many points the copy has not got, and need not have, that others have.
func (r *verifying) elsewhere(i int) int {
	n := 0
	for k := range r.scope {
		if f := &r.scope[k]; !r.has(i, f) && !r.due[i][f.Object()] && !r.strays(f) {
			n++
		}
	}
	return n
}
