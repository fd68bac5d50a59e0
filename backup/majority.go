package backup

import "slices"

// vote is the copy's on who continues the log at the position.
func (p *place) vote(seq int64) vote {
	switch {
	case p.void:
		return void
	case p.seq >= seq:
		return ours
	case p.stands == ours: // it is on its way
		return undecided
	}
	return p.stands
}

// tally counts the votes on the position. The board must be locked.
func (b *board) tally(seq int64) tally {
	return tallyOf(func(yield func(vote) bool) {
		for _, p := range b.places {
			if !yield(p.vote(seq)) {
				return
			}
		}
	})
}

// committed returns up to where most of the locations that count have the log; 0 if they have nothing. The board must be
// locked.
func (b *board) committed() int64 {
	var all []int64
	for _, p := range b.places {
		if !p.void {
			all = append(all, p.seq)
		}
	}
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[(len(all)-1)/2]
}

// position returns where the log stands.
func (b *board) position() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.tail.Seq
}

// settled reports whether every copy that takes anything has everything. The board must be locked.
func (b *board) settled() bool {
	return b.tail.Seq == 0 || !slices.ContainsFunc(b.places, func(p *place) bool {
		return p.stands == undecided || p.stands == ours && (p.seq < b.tail.Seq || p.points < b.points && p.pointErr == nil)
	})
}

// settledAt reports whether most copies have the log, and the log has the revision.
func (b *board) settledAt(revision int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.tail.Seq > 0 && b.tail.To >= revision && b.committed() >= b.tail.Seq
}

// split reports whether another writer continues the log in our place.
func (b *board) split() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.places {
		if p.stands != foreign || p.void {
			continue
		}
		if t := b.tally(p.seq + 1); t.decided() && t.split() {
			return true
		}
	}
	return false
}

// unfenced reports whether no location can tell writers apart, so that nothing is ever committed.
func (b *board) unfenced() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !slices.ContainsFunc(b.places, func(p *place) bool { return !p.void })
}

// backlog returns how much is not yet at most locations.
func (b *board) backlog() (segments int64, bytes int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	at := b.committed()
	for _, s := range slices.Backward(b.recent) {
		if s.seq <= at {
			break
		}
		bytes += s.size
	}
	return max(0, b.tail.Seq-at), bytes
}
