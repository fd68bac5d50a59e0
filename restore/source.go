package restore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"gwdr/backup"
	"gwdr/gateway"
)

// Source is where the state to restore is read from: whatever the locations still hold.
type Source struct {
	Copies    []backup.Copy // any of them may be missing, old or damaged
	Elsewhere []backup.Copy // not restored from, but their points tell what was revoked
	Keys      backup.Keys   // Identities and Trusted
	At        At
	AllowGap  bool // follow the log across changes that are not known; the Snapshot names them
	Witnesses []RevocationSource
	Patience  time.Duration     // how long a location or a witness may take to answer at all; 0 means 15 s
	Progress  func(text string) // for people; may be nil
	// Recent is how many points of each lineage are looked at, of each location the newest that verify; 0 means all.
	Recent int
	Log    *slog.Logger // may be nil
}

// Snapshot is a state that the locations give, where it comes from, and what had to be passed over.
type Snapshot struct {
	Point       backup.Found
	State       *gateway.State
	Revision    int64     // that the state shows: the point's, or where the log leads from there
	Time        time.Time // UTC, of that: whatever was acknowledged by then is in the state
	Provenance  backup.Provenance
	Revocations []gateway.Entity // known from other points, from the log, or from witnesses
	RevokedBy   time.Time        // UTC: whatever was revoked by then is known
	Gaps        []backup.TailGap // in the log, that were crossed
	Findings    []Finding

	watch    stopwatch
	damaged  []string         // copies that hold the point, and did not give all of it
	replayed bool             // the log was laid over the point, to its end, and no copy has another one
	end      backup.Found     // where the log leads from Point, as far as it was laid over it; no lineage: nowhere
	copies   []backup.Copy    // that answer
	silent   []string         // names of those that did not go on to
	closed   map[string]error // why points could not be loaded, by name
	forks    *backup.Forks
}

// Read returns the newest state that At allows and that can be loaded, and every revocation that is known anywhere; passing
// something over is never silent. After an error the Snapshot holds nothing but findings. The error wraps ErrNothing if there
// is no such state.
func (r *Source) Read(ctx context.Context) (*Snapshot, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	asked := make(chan testimony, 1)
	go func() { asked <- r.askWitnesses(ctx) }()
	s, err := r.read(ctx)
	s.noteSilences()
	if err != nil { // nobody waits for the witnesses
		return s, err
	}
	t := <-asked
	s.Revocations, s.Findings = append(s.Revocations, t.known...), append(s.Findings, t.findings...)
	s.know(t.by)
	s.watch.lap("revocations")
	return s, nil
}

// Phases is how long each part of Read took.
func (s *Snapshot) Phases() []Phase { return s.watch.phases }

// know takes note that all is known that was revoked by then.
func (s *Snapshot) know(by time.Time) {
	if by.After(s.RevokedBy) {
		s.RevokedBy = by
	}
}

// problems is safe on a nil selection: what was found before all failed.
func (s *Snapshot) problems() []Finding {
	if s == nil {
		return nil
	}
	return s.Findings
}

func (s *Snapshot) note(subject, format string, args ...any) {
	s.Findings = append(s.Findings, Finding{Subject: subject, Text: fmt.Sprintf(format, args...)})
}

// noteProblem notes what is wrong with a copy; that it is silent, once.
func (s *Snapshot) noteProblem(p backup.Problem) {
	silent := errors.Is(p.Err, backup.ErrSilent)
	if silent && slices.Contains(s.silent, p.Copy) {
		return
	}
	if silent {
		s.silent = append(s.silent, p.Copy)
	}
	s.note(p.Copy, "%s", strings.TrimPrefix(p.Object+": "+p.Text, ": "))
}

// noteSilences names the copies that were not heard so far.
func (s *Snapshot) noteSilences() {
	for _, p := range backup.Silences(s.copies) {
		s.noteProblem(p)
	}
}

// read is Read without the witnesses.
func (r *Source) read(ctx context.Context) (*Snapshot, error) {
	r.progress("looking for points at %s", names(r.Copies))
	s := &Snapshot{closed: map[string]error{}, watch: startWatch()}
	s.copies = backup.Attentive(withOriginals(ctx, r.answering(ctx, s, r.Copies)))
	found, logs, problems := backup.FindNewest(ctx, s.copies, r.Keys.Trusted, r.Recent)
	s.forks = backup.NewForks(s.copies, r.Keys.Trusted)
	for _, p := range problems {
		s.noteProblem(p)
	}
	if err := ctx.Err(); err != nil {
		return s, fmt.Errorf("find points: %w", err)
	}
	candidates, err := r.At.candidates(found)
	if err != nil {
		return s, err
	}
	s.watch.lap("locate")
	if err := r.loadFirst(ctx, s, candidates); err != nil {
		return s, err
	}
	s.watch.lap("load")
	if err := r.replay(ctx, s, candidates); err != nil {
		return s, err
	}
	s.watch.lap("log")
	r.judge(s, candidates)
	s.noteUnverified(found, problems)
	if len(r.Elsewhere) > 0 {
		found, logs = r.lookElsewhere(ctx, s)
	}
	if err := r.otherRevocations(ctx, s, found); err != nil {
		return s, err
	}
	return s, r.loggedRevocations(ctx, s, found, logs)
}

// lookElsewhere returns the points and the lineages with a log of all copies, also of those that are not restored from.
func (r *Source) lookElsewhere(ctx context.Context, s *Snapshot) ([]backup.Found, []string) {
	s.copies = backup.Attentive(slices.Concat(s.copies, r.answering(ctx, s, r.Elsewhere)))
	s.closed = map[string]error{} // what could not be loaded may be whole there
	s.forks = backup.NewForks(s.copies, r.Keys.Trusted)
	found, logs, problems := backup.FindNewest(ctx, s.copies, r.Keys.Trusted, r.Recent)
	for _, p := range problems {
		if slices.ContainsFunc(r.Elsewhere, func(c backup.Copy) bool { return c.Name == p.Copy }) {
			s.noteProblem(p)
		}
	}
	return found, logs
}

func (r *Source) progress(format string, args ...any) {
	if r.Progress != nil {
		r.Progress(fmt.Sprintf(format, args...))
	}
}

func (r *Source) log() *slog.Logger {
	if r.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return r.Log
}
