package backup

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"
)

// errNoPoint is the problem of a location that nobody has put anything to yet, or where all of it is old and gone.
var errNoPoint = errors.New("there is no point here")

const (
	// settling is how long a point may be at some locations only: a backup is under way.
	settling = 10 * time.Minute
	// ahead is how far another machine's clock may be ahead of ours.
	ahead = 2 * time.Minute
)

// crossCheck holds the copies against each other, and against what the writer remembers of them.
func crossCheck(views []*view, waiting *waiting, now time.Time) {
	for _, v := range views {
		if v.err != nil {
			continue
		}
		v.checkClock(now)
		v.checkVanished(waiting)
		v.checkComplete()
		if !v.strayed {
			v.checkLacking(views, waiting, now)
		}
	}
	checkSizes(views)
}

func (v *view) checkClock(now time.Time) {
	if v.newest != nil && v.newest.Time.After(now.Add(ahead)) {
		v.problem(v.newest.Object(), fmt.Errorf("%w: %s", ErrClock, v.newest.Time.Format(time.RFC3339)))
	}
}

// checkVanished finds that the copy lacks what the writer saw it take. Only what is newest counts: the rest may be pruned.
func (v *view) checkVanished(waiting *waiting) {
	l, c := waiting.newest, waiting.of[v.copy.Name]
	if object := lineageRoot(l.Lineage) + segmentName(c.had); c.had > 0 && v.objects[object] == 0 {
		v.problem(object, ErrVanished)
	}
	if l.Last.SHA256 == "" || c.had < l.Last.Point.Log.Seq {
		return
	}
	last := Found{Point: l.Last.Point, Name: pointName(l.Last.Point, l.Last.SHA256)}.Object()
	if !slices.Contains(v.points, last) && !c.points[last] {
		v.problem(last, ErrVanished)
	}
}

// checkComplete says what the newest valid point lacks.
func (v *view) checkComplete() {
	if v.newest == nil {
		return
	}
	var missing []string
	for _, name := range baseFiles() {
		if object := lineageRoot(v.newest.Lineage) + name; v.objects[object] == 0 {
			missing = append(missing, object)
		}
	}
	missing = append(v.lacks, missing...)
	const named = 3
	for _, object := range missing[:min(named, len(missing))] {
		text := "is missing"
		if size, ok := v.objects[object]; ok {
			text = fmt.Sprintf("has %d bytes", size)
		}
		v.problem(object, fmt.Errorf("%w: this %s", ErrIncomplete, text))
	}
	if n := len(missing) - named; n > 0 {
		v.problem("", fmt.Errorf("%w: %d more objects are missing or have another size", ErrIncomplete, n))
	}
}

// checkLacking finds points that another copy has and that are newer than all here. Of older ones, prune may have left more
// at one location than at another.
func (v *view) checkLacking(views []*view, waiting *waiting, now time.Time) {
	here := map[string]bool{}
	for _, object := range v.points {
		here[object] = true
	}
	for _, p := range v.problems { // said already
		here[p.Object] = true
	}
	var since time.Time
	if v.newest != nil {
		since = v.newest.Time
	}
	ours := lineagesOf(views, waiting)
	missing := map[string]bool{}
	var from []string
	for _, other := range views {
		if other.strayed {
			continue
		}
		for _, object := range other.points {
			lineage, _, _ := splitObject(object)
			taken := timeOfPoint(object)
			if !ours[lineage] || here[object] || !taken.After(since) || taken.After(now.Add(-settling)) || waiting.of[v.copy.Name].points[object] {
				continue
			}
			missing[object] = true
			if !slices.Contains(from, other.copy.Name) {
				from = append(from, other.copy.Name)
			}
		}
	}
	switch {
	case len(missing) > 0:
		v.problem("", fmt.Errorf("%w: %s can be had from %s", ErrLacking, newer(len(missing)), strings.Join(from, ", ")))
	case v.newest == nil && len(v.problems) == 0:
		v.problem("", errNoPoint)
	}
}

// lineagesOf returns the lineages that matter: that of the writer, and those of the newest points.
func lineagesOf(views []*view, waiting *waiting) map[string]bool {
	ours := map[string]bool{waiting.newest.Lineage: true}
	for _, v := range views {
		if v.newest != nil {
			ours[v.newest.Lineage] = true
		}
	}
	return ours
}

func newer(points int) string {
	if points == 1 {
		return "1 newer point"
	}
	return fmt.Sprintf("%d newer points", points)
}

// timeOfPoint reads the consistency time off the name of a point's object, which is only as good as the name. Of what is
// none it is zero.
func timeOfPoint(object string) time.Time {
	stamp, _, _ := strings.Cut(path.Base(object), "-")
	t, err := time.Parse("20060102T150405Z", stamp)
	if err != nil {
		return time.Time{}
	}
	return t
}

// checkSizes finds segments that have another size at one copy than at most: no point says how long its segments are.
func checkSizes(views []*view) {
	for _, v := range views {
		if v.whole == nil {
			continue
		}
		for seq := v.whole.Base.Seq + 1; seq <= v.whole.Log.Seq; seq++ {
			object := lineageRoot(v.whole.Lineage) + segmentName(seq)
			if size, ok := mostHave(views, object); ok && size != v.objects[object] {
				v.problem(object, fmt.Errorf("%w: this has %d bytes, and %d at most locations", ErrIncomplete, v.objects[object], size))
				v.whole, v.log = nil, nil
				break
			}
		}
	}
}

// mostHave returns the size that the object has at most of the copies that have it.
func mostHave(views []*view, object string) (size int64, ok bool) {
	sizes := map[int64]int{}
	total := 0
	for _, v := range views {
		if n, ok := v.objects[object]; ok {
			sizes[n]++
			total++
		}
	}
	for n, copies := range sizes {
		if copies*2 > total {
			return n, true
		}
	}
	return 0, false
}
