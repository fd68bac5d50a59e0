package restore

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"gwdr/backup"
	"gwdr/gateway"
)

const (
	// glancePatience is how long a location may take to list what it has. One that did not is left alone for hungPause at
	// first, and ever longer up to hungMost: a driver that never comes back costs a thread each time.
	glancePatience = 5 * time.Second
	hungPause      = 15 * time.Second
	hungMost       = 30 * time.Minute
	// readShare bounds the time that is spent on reading everything anew, by what somebody puts there: one part in so many.
	readShare = 10
	maxPause  = time.Minute
)

// Look asks the locations once what there is, and goes after it.
func (t *Trail) Look(ctx context.Context) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	copies, findings := t.answering(now)
	glance, silent := backup.LookAt(ctx, copies, t.seen, glancePatience)
	if ctx.Err() != nil {
		return
	}
	t.note(now, copies, silent)
	for _, p := range silent {
		findings = append(findings, Finding{p.Copy, "cannot be read: " + p.Text})
	}
	copies = without(copies, silent)
	if t.at != nil && len(glance.Beyond(t.seen, t.at.end)) == 0 {
		t.seen = glance
		t.show(slices.Concat(t.standing(), findings))
		return
	}
	if now.Before(t.due) || len(copies) == 0 {
		t.show(slices.Concat(t.standing(), findings))
		return
	}
	begun := time.Now()
	found, done := t.pursue(ctx, copies, glance)
	if ctx.Err() != nil {
		return
	}
	if done {
		t.seen, t.pause = glance, 0
	} else {
		t.pause = min(max(2*t.pause, defaultEvery), maxPause)
	}
	t.due = time.Now().Add(min(max(t.pause, readShare*time.Since(begun)), maxPause))
	if len(found) > 0 && t.at != nil {
		t.at.Findings = found
	}
	t.show(slices.Concat(t.standing(), findings))
}

// standing is what was found when the state was read, or when a newer one could not be.
func (t *Trail) standing() []Finding {
	if t.at == nil {
		return nil
	}
	return t.at.Findings
}

// answering returns the copies to ask now. A hung one is not asked each time, as its silence takes long.
func (t *Trail) answering(now time.Time) (copies []backup.Copy, left []Finding) {
	for _, c := range slices.Concat(t.Copies, t.Elsewhere) {
		if now.Before(t.hung[c.Name].until) {
			left = append(left, Finding{c.Name, "did not answer, and is left alone for a while"})
			continue
		}
		copies = append(copies, c)
	}
	return copies, left
}

// silence is how long a copy is left alone.
type silence struct {
	until time.Time
	pause time.Duration
}

// note keeps who was silent for long, of those that were asked.
func (t *Trail) note(now time.Time, asked []backup.Copy, silent []backup.Problem) {
	before := t.hung
	t.hung = maps.Clone(before)
	if t.hung == nil {
		t.hung = map[string]silence{}
	}
	for _, c := range asked {
		delete(t.hung, c.Name)
	}
	if time.Since(now) < time.Second { // whoever refuses does so quickly
		return
	}
	for _, p := range silent {
		pause := min(max(2*before[p.Copy].pause, hungPause), hungMost)
		t.hung[p.Copy] = silence{time.Now().Add(pause), pause}
	}
}

// pursue goes after what is new at the copies: along the log where that leads there, and else by reading all anew. done
// says that there is no more to it until something else appears.
func (t *Trail) pursue(ctx context.Context, copies []backup.Copy, glance backup.Glance) (findings []Finding, done bool) {
	if t.at != nil && !t.pinned() {
		if findings, done = t.extend(ctx, copies); done && len(glance.Beyond(t.seen, t.at.end)) == 0 {
			return findings, true
		}
	}
	again, done := t.reread(ctx, copies)
	return slices.Concat(findings, again), done
}

// extend follows the log from where it was left. done says that it was read to its end, or to damage.
func (t *Trail) extend(ctx context.Context, copies []backup.Copy) (findings []Finding, done bool) {
	tail, err := backup.ReadTail(ctx, t.at.end, t.restorable(copies), t.Keys.Trusted, backup.TailBound{})
	if err != nil {
		return []Finding{{"log", err.Error()}}, false
	}
	changes, provenance := tail.Open(t.Keys.Identities)
	for _, p := range tail.Problems {
		findings = append(findings, Finding{p.Copy, p.Object + ": " + p.Text})
	}
	if tail.Stop != "" {
		findings = append(findings, Finding{"log", "does not lead on: " + tail.Stop})
	}
	changes = slices.DeleteFunc(changes, func(c gateway.Change) bool { return c.Entity.Kind == gateway.Revocation && c.Op == gateway.Delete })
	next := *t.at
	next.State, next.Findings = t.at.State.Clone(), nil
	for _, c := range changes {
		next.State.Apply(c)
	}
	if emptier(t.at.State, next.State) {
		t.revoke(onlyRevocations(changes))
		return append(findings, Finding{"log", fmt.Sprintf("leads to a gateway without routes at revision %d: not followed", tail.Revision)}), true
	}
	next.end, next.Revision, next.Time = tail.End(t.at.end), tail.Revision, tail.Time
	next.Provenance = merged(t.at.Provenance, provenance)
	t.at = &next
	if len(changes) > 0 {
		findings = append(findings, refusal(t.take(changes, nil))...)
	}
	return findings, tail.Stop == "" || settled(tail.Problems)
}

// reread reads everything anew, and takes it if it is newer. Its revocations count in any case.
func (t *Trail) reread(ctx context.Context, copies []backup.Copy) (findings []Finding, done bool) {
	s, err := t.read(ctx, copies)
	if err != nil {
		return append(s.problems(), Finding{"backup", err.Error()}), false
	}
	if f := t.Floor; t.at == nil && s.Point.Store == f.Store && s.Revision < f.Revision {
		return append(s.Findings, Finding{"backup", fmt.Sprintf("leads to revision %d, but %d is served already: not taken", s.Revision, f.Revision)}), true
	}
	if t.at == nil || t.newer(s) && !emptier(t.at.State, s.State) {
		return slices.Concat(s.Findings, refusal(t.adopt(s))), true
	}
	t.revoke(slices.AppendSeq(s.Revocations, s.State.Kind(gateway.Revocation)))
	return s.Findings, true
}

// newer reports whether the state is not behind the one at hand. Revisions count within a lineage; of another, the time does,
// as the restore that began it may have brought back any revision.
func (t *Trail) newer(s *Snapshot) bool {
	switch {
	case t.pinned():
		return false
	case s.Point.Lineage == t.at.Point.Lineage:
		return s.Revision > t.at.Revision || s.Revision == t.at.Revision && s.Time.After(t.at.Time)
	}
	return s.Time.After(t.at.Time)
}

// revoke lays revocations over the state.
func (t *Trail) revoke(revocations []gateway.Entity) {
	var changes []gateway.Change
	state := t.at.State.Clone()
	for _, e := range revocations {
		if revokeIn(state, e) {
			changes = append(changes, gateway.Change{Op: gateway.Create, Entity: e})
		}
	}
	if len(changes) == 0 {
		return
	}
	next := *t.at
	next.State = state
	t.at = &next
	_ = t.take(changes, next.Findings) // whoever takes states takes revocations in any case
}

// onlyRevocations returns what the changes revoke.
func onlyRevocations(changes []gateway.Change) (revocations []gateway.Entity) {
	for _, c := range changes {
		if c.Entity.Kind == gateway.Revocation {
			revocations = append(revocations, c.Entity)
		}
	}
	return revocations
}

// emptier reports whether all routes are gone: what was written after the loss is not what is wanted.
func emptier(from, to *gateway.State) bool { return hasRoutes(from) && !hasRoutes(to) }

func hasRoutes(s *gateway.State) bool { return s.Counts()[gateway.Route] > 0 }

func refusal(err error) []Finding {
	if err == nil {
		return nil
	}
	return []Finding{{"configuration", err.Error()}}
}

// merged adds up where two parts of a state came from, without naming each object: a Trail has no end.
func merged(a, b backup.Provenance) backup.Provenance {
	var sum backup.Provenance
	for copy, n := range slices.Concat(a, b).ByCopy() {
		sum = append(sum, backup.Origin{Copy: copy, Count: n})
	}
	return sum
}
