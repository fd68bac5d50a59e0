package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// errMissing is the problem of a location that came later, or was away for long.
var errMissing = errors.New("missing here, but another location has it")

// errFork is the problem of a location that another writer has written to.
var errFork = errors.New("fork: this is another writer's segment, and not the one that the log goes on with")

// judge says what is lost, from what the copies showed. It reads nothing.
func (r *verifying) judge(context.Context) error {
	r.v.Lost = r.lostPoints()
	r.judgeLogs()
	r.planDue()
	for i := range r.scope {
		f := &r.scope[i]
		read, err := r.judgePoint(f)
		if err != nil {
			r.lose(f, err)
		}
		if read {
			r.v.Points++
		}
	}
	return nil
}

// lose says that the point is lost.
func (r *verifying) lose(f *Found, err error) {
	r.v.Lost = append(r.v.Lost, fmt.Sprintf("%s%s: %v", lineageRoot(f.Lineage), f.Name, err))
}

// judgeLogs puts the logs together, as far as they were read. What the newest point lacks is told with the point.
func (r *verifying) judgeLogs() {
	places := map[string][]slot{}
	for _, w := range r.wanted { // in order
		if w.class == classSegment {
			places[w.lineage] = append(places[w.lineage], r.slot(w))
		}
	}
	r.logs = map[string]*strand{}
	for _, lineage := range slices.Sorted(maps.Keys(places)) {
		s := judgeLog(lineage, places[lineage], r.pins(lineage))
		r.logs[lineage] = s
		r.v.Logs = append(r.v.Logs, s.LogVerification)
		for _, span := range s.unsigned(places[lineage]) {
			r.v.Lost = append(r.v.Lost, fmt.Sprintf("%s%s: no location has %s as a trusted signer signed it: what points show does not depend on that, "+
				"but no moment between them can be restored there", lineageRoot(lineage), strings.TrimSuffix(logDir, "/"), span))
		}
		if r.v.Scope == scopeNewest {
			continue
		}
		for _, hole := range s.Holes {
			r.v.Lost = append(r.v.Lost, fmt.Sprintf("%s%s: no location has %s", lineageRoot(lineage), strings.TrimSuffix(logDir, "/"), hole))
		}
	}
}

// slot is what the copies have of a segment.
func (r *verifying) slot(w *wanted) slot {
	p := slot{seq: w.seq, needed: w.needed, unread: w.skip && r.listed(w.object)}
	for i := range r.copies {
		if s, _ := r.sight(i, w.object); s.link != nil {
			p.links = append(p.links, held{s.link, i})
		}
	}
	return p
}

// pins returns the places in the lineage's log at which points stand.
func (r *verifying) pins(lineage string) []pin {
	var pins []pin
	for _, f := range r.found {
		if f.Lineage != lineage {
			continue
		}
		p := pin{seq: f.Log.Seq, sum: f.Log.SHA256}
		for i, c := range r.copies {
			if slices.Contains(f.Copies, c.Name) {
				p.from = p.from.with(i)
			}
		}
		pins = append(pins, p)
	}
	return pins
}

// strays reports whether the point stands on another writer's branch of the log.
func (r *verifying) strays(f *Found) bool {
	log := r.logs[f.Lineage]
	if log == nil {
		return false
	}
	canon, ok := log.canon[f.Log.Seq]
	if !ok { // beyond where the branches part, or not read
		_, ok = r.index[lineageRoot(f.Lineage)+segmentName(f.Log.Seq)]
	}
	return ok && canon != f.Log.SHA256
}

// lostPoints returns the points that do not verify anywhere.
func (r *verifying) lostPoints() []string {
	lost := []string{}
	for _, w := range r.wanted {
		if w.class == classPoint && w.point == nil {
			lost = append(lost, strings.TrimSuffix(w.object, pointEnding))
		}
	}
	return lost
}

// judgePoint says why the point cannot be put together from all copies; read, whether all that it needs was read.
func (r *verifying) judgePoint(f *Found) (read bool, err error) {
	read = true
	for _, pack := range f.Packs {
		w := r.index[f.PackObject(pack)]
		read = read && !w.skip
		if !r.restorable(w) {
			return read, fmt.Errorf("no location has all of pack %.8s", pack.SHA256)
		}
	}
	_, skipped, err := r.chain(f)
	return read && !skipped, err
}

// restorable reports whether all copies together have the pack, as far as they were read.
func (r *verifying) restorable(w *wanted) bool {
	var have []bool
	for i := range r.copies {
		s, ok := r.sight(i, w.object)
		if ok && s.err == nil || !ok && w.skip {
			return true
		}
		have = union(have, s.blocks)
	}
	return len(have) > 0 && !slices.Contains(have, false)
}

// chain returns the segments that the point needs on top of its packs, from the newest back; skipped says that the sample
// left some out.
func (r *verifying) chain(f *Found) (links []*link, skipped bool, err error) {
	pin := f.Log.SHA256
	for seq := f.Log.Seq; seq > f.Base.Seq; seq-- {
		w, ok := r.index[lineageRoot(f.Lineage)+segmentName(seq)]
		if !ok {
			return nil, false, fmt.Errorf("it needs more than %d segments", maxReplay)
		}
		p := r.slot(w)
		if pin == "" { // the sample left out the one that would tell
			pin = r.logs[f.Lineage].canon[seq]
		}
		l := p.with(pin)
		switch {
		case l == nil && p.unread:
			skipped, pin = true, ""
			continue
		case l == nil:
			return nil, false, fmt.Errorf("no location has segment %d of the log", seq)
		case l.gap:
			return nil, false, fmt.Errorf("the log has a gap at segment %d", seq)
		}
		pin, links = l.previous, append(links, l)
	}
	return links, skipped, nil
}

// listed reports whether some copy says that it has the object.
func (r *verifying) listed(object string) bool {
	return slices.ContainsFunc(r.holdings, func(h holding) bool { _, ok := h.objects[object]; return ok })
}

// foreign reports whether what the copy has under the name of a segment is another writer's.
func (r *verifying) foreign(w *wanted, s sight) bool {
	if w.class != classSegment || s.link == nil || r.logs[w.lineage] == nil {
		return false
	}
	return s.link.sum != r.logs[w.lineage].canon[w.seq]
}

// problems returns what is wrong with the copy.
func (r *verifying) problems(i int) []Problem {
	problems := []Problem{}
	if r.down[i] != nil {
		problems = append(problems, newProblem(r.copies[i], "", r.down[i]))
	}
	for _, w := range r.wanted {
		s, ok := r.sight(i, w.object)
		if !ok || r.down[i] != nil && !s.missing() && !s.damaged() {
			continue
		}
		whole := r.wholeAt(w)
		if err := r.problem(i, w, s, len(whole) > 0); err != nil {
			p := newProblem(r.copies[i], w.object, err)
			for _, other := range whole {
				p.Whole = append(p.Whole, r.copies[other].Name)
			}
			problems = append(problems, p)
		}
	}
	slices.SortStableFunc(problems, func(a, b Problem) int { return cmp.Compare(a.Object, b.Object) })
	return problems
}

// problem says what is wrong with an object at the copy; elsewhere, whether another has it whole.
func (r *verifying) problem(i int, w *wanted, s sight, elsewhere bool) error {
	switch {
	case s.err == nil && r.foreign(w, s):
		return errFork
	case s.missing() && !r.due[i][w.object]:
		return nil
	case s.missing() && (elsewhere || w.skip && r.listed(w.object)):
		return errMissing
	}
	return s.err
}

// pointsAt returns how many valid points the copy has.
func (r *verifying) pointsAt(i int) int {
	n := 0
	for _, f := range r.found {
		if s, ok := r.sight(i, f.Object()); ok && s.err == nil {
			n++
		}
	}
	return n
}

func union(a, b []bool) []bool {
	if a == nil {
		return slices.Clone(b)
	}
	for i := range a {
		a[i] = a[i] || i < len(b) && b[i]
	}
	return a
}
