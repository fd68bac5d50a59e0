package backup

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"
)

// Glance is which points and segments the copies list: enough to see that something came, and cheap.
type Glance struct {
	// listed has what each copy lists, by its name, then by the object's.
	listed map[string]map[string]mark
}

// mark tells an object from another one that came in its place.
type mark struct {
	size    int64
	created time.Time
}

// LookAt asks the copies, each within the patience, what they list. A copy that does not say is named, and what it listed
// before goes for now, too: its silence is no news.
func LookAt(ctx context.Context, copies []Copy, before Glance, patience time.Duration) (Glance, []Problem) {
	g := Glance{listed: maps.Clone(before.listed)}
	if g.listed == nil {
		g.listed = map[string]map[string]mark{}
	}
	var silent []Problem
	for _, a := range onEach(ctx, copies, patience, func(ctx context.Context, c Copy) ([]Object, error) {
		return c.Location.List(ctx, formatRoot)
	}) {
		if a.err != nil {
			silent = append(silent, newProblem(a.copy, "", a.err))
			continue
		}
		marks := map[string]mark{}
		for _, o := range a.value {
			if _, name, ok := splitObject(o.Name); ok && (strings.HasPrefix(name, logDir) || strings.HasPrefix(name, pointsDir)) {
				marks[o.Name] = mark{o.Size, o.Created}
			}
		}
		g.listed[a.copy.Name] = marks
	}
	return g, silent
}

// Beyond returns the names of the points and segments that are not in before, at the same copy, and that whoever stands at
// end (see Tail.End) has not read, nor need read: they are of another lineage, or lead further.
func (g Glance) Beyond(before Glance, end Found) []string {
	var names []string
	for copy, marks := range g.listed {
		for object, m := range marks {
			if m != before.listed[copy][object] && !covers(end, object) {
				names = append(names, object)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// covers reports whether the object tells nothing, by its name, that the state at end does not hold.
func covers(end Found, object string) bool {
	lineage, name, _ := splitObject(object)
	if lineage != end.Lineage {
		return false
	}
	if seq, ok := parseSegmentName(name); ok {
		return seq <= end.Log.Seq
	}
	revision := revisionIn(name)
	return revision >= 0 && revision <= end.Revision
}
