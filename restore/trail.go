package restore

import (
	"context"
	"errors"
	"path"
	"slices"
	"sync"
	"time"

	"gwdr/backup"
	"gwdr/gateway"
)

// Trail holds the newest state that the locations give, and goes after what is newer as it appears there. It never goes
// back: not to an older state, not to one that has lost all routes, and a revocation stays. Start, then Run or Look.
type Trail struct {
	Source
	Every time.Duration // between two looks; 0 means 5 s
	// Take is told of each state, one after the other. An error is passed on by Start, and otherwise noted: whoever takes
	// the state decides what a bad one does.
	Take func(Reached) error
	// Floor is what is served already, should Start fail: the same store's earlier revisions are not taken then.
	Floor gateway.Header

	mu    sync.Mutex // held while looking
	at    *Snapshot  // State has all revocations; end is where the log goes on
	seen  backup.Glance
	pause time.Duration // until a failed reading is tried again
	due   time.Time
	hung  map[string]silence // copies that took long to say nothing

	showing  sync.Mutex // guards what follows
	progress Progress
	started  bool // findings are logged, once
}

// Reached is one state of a Trail.
type Reached struct {
	Point    backup.Found
	Revision int64
	Time     time.Time        // UTC: whatever was acknowledged by then is in the state
	State    *gateway.State   // whole; to be read only
	Changes  []gateway.Change // that lead to it from the one before, if it follows from that; nil: compare
}

// Progress is how far a Trail is.
type Progress struct {
	Point      string
	Lineage    string
	Revision   int64
	Time       time.Time      // UTC: whatever was acknowledged by then is in the state
	Provenance map[string]int // objects loaded, by location
	Looked     time.Time      // UTC of the last look
	Steps      int            // states that were taken
	Findings   []Finding      // of the newest state, and of the last look
}

// defaultEvery is the time between two looks.
const defaultEvery = 5 * time.Second

// startPatience is how long a location may take to list what it has before Start goes on without it, for the time being.
const startPatience = 3 * time.Second

// Start reads the newest state that At allows, as Source.Read does, and takes it. Nobody waits for a location that does not
// answer while others do: the first Look comes back to it. The error wraps ErrNothing if there is no such state.
func (t *Trail) Start(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	defer func() { t.started = true }()
	all := slices.Concat(t.Copies, t.Elsewhere)
	glance, silent := backup.LookAt(ctx, all, backup.Glance{}, startPatience) // before reading: what comes meanwhile is news
	if copies := without(all, silent); len(t.restorable(copies)) > 0 {
		all = copies
	}
	s, err := t.read(ctx, all)
	if err != nil {
		t.show(s.problems())
		return err
	}
	for _, p := range silent {
		s.note(p.Copy, "cannot be read: %s", p.Text)
	}
	t.seen = glance
	return t.adopt(s)
}

// recent is how many points of a lineage are looked at first: of thousands, one is wanted.
const recent = 3

// read reads from the copies: the newest points, and all of them if not everything is as it should be with those.
func (t *Trail) read(ctx context.Context, copies []backup.Copy) (*Snapshot, error) {
	source := t.Source
	source.Copies = t.restorable(copies)
	source.Elsewhere = slices.DeleteFunc(slices.Clone(copies), t.has)
	if !t.pinned() {
		source.Recent = recent
		if s, err := source.Read(ctx); err == nil && len(s.closed) == 0 || ctx.Err() != nil {
			return s, err
		}
		source.Recent = 0
	}
	return source.Read(ctx)
}

// restorable leaves out the copies that only tell revocations.
func (t *Trail) restorable(copies []backup.Copy) []backup.Copy {
	return slices.DeleteFunc(slices.Clone(copies), func(c backup.Copy) bool { return !t.has(c) })
}

func (t *Trail) has(c backup.Copy) bool {
	return slices.ContainsFunc(t.Copies, func(own backup.Copy) bool { return own.Name == c.Name })
}

// without leaves out the copies that have a problem.
func without(copies []backup.Copy, problems []backup.Problem) []backup.Copy {
	return slices.DeleteFunc(slices.Clone(copies), func(c backup.Copy) bool {
		return slices.ContainsFunc(problems, func(p backup.Problem) bool { return p.Copy == c.Name })
	})
}

// Run looks again and again until ctx ends, the first time at once.
func (t *Trail) Run(ctx context.Context) {
	every := t.Every
	if every <= 0 {
		every = defaultEvery
	}
	for ctx.Err() == nil {
		t.Look(ctx)
		select {
		case <-ctx.Done():
		case <-time.After(every):
		}
	}
}

// Progress returns how far it is.
func (t *Trail) Progress() Progress {
	t.showing.Lock()
	defer t.showing.Unlock()
	return t.progress
}

// Snapshot returns the newest state that was taken, or nil. Its state has all revocations.
func (t *Trail) Snapshot() *Snapshot {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.at
}

// adopt takes a state that was read anew. What was revoked before stays revoked.
func (t *Trail) adopt(s *Snapshot) error {
	for _, e := range s.Revocations {
		revokeIn(s.State, e)
	}
	if t.at != nil {
		for e := range t.at.State.Kind(gateway.Revocation) {
			revokeIn(s.State, e)
		}
	}
	if s.end.Lineage == "" {
		s.end = s.Point
	}
	t.at = s
	return t.take(nil, s.Findings)
}

// revokeIn adds a revocation, if there is none that counts as early, and reports whether it was news.
func revokeIn(state *gateway.State, e gateway.Entity) bool {
	known, there := state.Get(e.Ref)
	if e.Kind != gateway.Revocation || there && !gateway.RevokesEarlier(e.Body, known) {
		return false
	}
	state.Put(e)
	return true
}

// take passes the state on.
func (t *Trail) take(changes []gateway.Change, findings []Finding) error {
	s := t.at
	err := t.Take(Reached{Point: s.Point, Revision: s.Revision, Time: s.Time, State: s.State, Changes: changes})
	t.showing.Lock()
	t.progress.Steps++
	t.showing.Unlock()
	t.show(findings)
	return err
}

// show makes known where the Trail is, and what was found on the way.
func (t *Trail) show(findings []Finding) {
	t.showing.Lock()
	defer t.showing.Unlock()
	p := &t.progress
	for _, f := range findings {
		if t.started && !slices.Contains(p.Findings, f) {
			t.log().Warn("backup finding", "subject", f.Subject, "finding", f.Text)
		}
	}
	p.Looked, p.Findings = time.Now().UTC(), findings
	if s := t.at; s != nil {
		p.Point, p.Lineage = path.Base(s.Point.Name), s.Point.Lineage
		p.Revision, p.Time, p.Provenance = s.Revision, s.Time, s.Provenance.ByCopy()
	}
}

// pinned reports whether a certain state is wanted: then nothing is followed but revocations.
func (t *Trail) pinned() bool { return t.At != (At{}) }

// settled reports whether trying again is of no use before something changes at the locations.
func settled(problems []backup.Problem) bool {
	for _, p := range problems {
		if !errors.Is(p.Err, backup.ErrIntegrity) && !errors.Is(p.Err, backup.ErrNotExist) {
			return false
		}
	}
	return true
}
