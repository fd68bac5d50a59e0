package backup

import (
	"context"
	"errors"
	"iter"
	"maps"
	"sync"
)

// ErrSplitBrain is wrapped when another writer's segment is at our position of the log, and ours is not at most locations:
// two writers with spools of their own back the same store up.
var ErrSplitBrain = errors.New("another writer continues this lineage")

// ballot is the vote of the locations on who continues a log. Only create-only ones can tell writers apart, so only they
// count.
type ballot struct {
	mu      sync.Mutex
	voters  map[string]vote
	decided chan struct{}
	split   bool
}

type vote int

const (
	undecided vote = iota
	ours           // our segments are there
	foreign        // another one is at one of our positions
	silent         // it cannot be reached
	void           // it is not create-only
)

func newBallot(copies []Copy) *ballot {
	b := &ballot{voters: map[string]vote{}, decided: make(chan struct{})}
	for _, c := range copies {
		b.voters[c.Name] = undecided
	}
	return b
}

// cast counts the copy's vote, once.
func (b *ballot) cast(c Copy, v vote) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.voters[c.Name] != undecided {
		return
	}
	b.voters[c.Name] = v
	b.decide()
}

func (b *ballot) decide() {
	select {
	case <-b.decided:
		return
	default:
	}
	if t := tallyOf(maps.Values(b.voters)); t.decided() {
		b.split = t.split()
		close(b.decided)
	}
}

// tally counts votes.
type tally map[vote]int

func tallyOf(votes iter.Seq[vote]) tally {
	t := tally{}
	for v := range votes {
		t[v]++
	}
	return t
}

// most reports whether most of the locations that count have our segments.
func (t tally) most() bool {
	entitled := -t[void]
	for _, n := range t {
		entitled += n
	}
	return t[ours]*2 > entitled
}

// decided reports whether it is known who continues the log: those that have not voted cannot change it.
func (t tally) decided() bool { return t[undecided] == 0 || t.most() }

// split reports whether another writer is at one of our positions, and we are not at most of the locations.
func (t tally) split() bool { return t[foreign] > 0 && !t.most() }

// wait returns once it is decided whether we go on.
func (b *ballot) wait(ctx context.Context) error {
	select {
	case <-b.decided:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if b.split {
		return ErrSplitBrain
	}
	return nil
}

// committed reports whether most of the locations that count have our segments.
func (b *ballot) committed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return tallyOf(maps.Values(b.voters)).most()
}
