package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"gwdr/internal/sshsig"
)

// Find returns the points that verify at any of the copies, newest first, and what stands in the way of finding more: a
// copy that cannot be read, a point that does not verify. To Find, a point that does not verify does not exist.
func Find(ctx context.Context, copies []Copy, trusted sshsig.Trusted) ([]Found, []Problem) {
	return findWithin(ctx, copies, trusted, patience)
}

// FindNewest is Find, but leaves older points out: at each copy it reads the newest ones of each lineage, until so many of them
// verify; 0: all. Where thousands of points are kept that is most of the time that Find takes. logs names the lineages of which
// a copy lists a log, those first that most of them do, whether there is a point or not.
func FindNewest(ctx context.Context, copies []Copy, trusted sshsig.Trusted, enough int) (points []Found, logs []string, problems []Problem) {
	holdings := survey(ctx, copies, trusted, patience, enough)
	points, problems = gathered(holdings)
	return points, logged(holdings), problems
}

// logged returns the lineages with a log, those first that most copies list.
func logged(holdings []holding) []string {
	listedBy := map[string]int{}
	for _, h := range holdings {
		own := map[string]bool{}
		for object := range h.objects {
			if lineage, name, ok := splitObject(object); ok && strings.HasPrefix(name, logDir) {
				own[lineage] = true
			}
		}
		for lineage := range own {
			listedBy[lineage]++
		}
	}
	return slices.SortedFunc(maps.Keys(listedBy), func(a, b string) int {
		return cmp.Or(cmp.Compare(listedBy[b], listedBy[a]), cmp.Compare(a, b))
	})
}

func findWithin(ctx context.Context, copies []Copy, trusted sshsig.Trusted, patience time.Duration) ([]Found, []Problem) {
	return gathered(survey(ctx, copies, trusted, patience, 0))
}

func gathered(holdings []holding) ([]Found, []Problem) {
	var problems []Problem
	for _, h := range holdings {
		problems = append(problems, h.problems...)
	}
	return merge(holdings), problems
}

// holding is what one copy holds.
type holding struct {
	copy     Copy
	objects  map[string]int64 // sizes by full name
	points   []Found          // that verify
	damaged  map[string]bool  // full names of objects with a problem
	problems []Problem
	err      error // the copy could not be read at all
}

func newProblem(c Copy, object string, err error) Problem {
	return Problem{Copy: c.Name, Object: object, Err: err, Text: err.Error()}
}

// survey reads the points of every copy: all, or of each lineage no more than so many that verify.
func survey(ctx context.Context, copies []Copy, trusted sshsig.Trusted, patience time.Duration, enough int) []holding {
	holdings := make([]holding, len(copies))
	var wg sync.WaitGroup
	for i, c := range copies {
		wg.Go(func() {
			holdings[i] = holding{copy: c, objects: map[string]int64{}, damaged: map[string]bool{}}
			if err := holdings[i].read(ctx, trusted, patience, enough); err != nil {
				holdings[i] = holding{copy: c, err: err, problems: []Problem{newProblem(c, "", err)}}
			}
		})
	}
	wg.Wait()
	return holdings
}

// read lists the copy and reads its points. A copy that does not answer one request gets no other.
func (h *holding) read(ctx context.Context, trusted sshsig.Trusted, patience time.Duration, enough int) error {
	listed := onOne(ctx, h.copy, patience, func(ctx context.Context, c Copy) ([]Object, error) {
		return c.Location.List(ctx, formatRoot)
	})
	if listed.err != nil {
		return listed.err
	}
	var points []Object
	for _, o := range listed.value {
		h.objects[o.Name] = o.Size
		if _, name, ok := splitObject(o.Name); ok && strings.HasPrefix(name, pointsDir) {
			points = append(points, o)
		}
	}
	if enough == 0 {
		return h.fetch(ctx, points, trusted, patience)
	}
	for _, own := range byLineage(points) {
		before := len(h.points)
		for n := enough; len(h.points) < before+enough && len(own) > 0; n *= 2 { // somebody may have put any number of others there
			n = min(n, len(own))
			if err := h.fetch(ctx, own[:n], trusted, patience); err != nil {
				return err
			}
			own = own[n:]
		}
	}
	return nil
}

// byLineage returns the points of each lineage, newest first by what their names say.
func byLineage(points []Object) map[string][]Object {
	lineages := map[string][]Object{}
	for _, o := range points {
		lineage, _, _ := splitObject(o.Name)
		lineages[lineage] = append(lineages[lineage], o)
	}
	for _, own := range lineages {
		slices.SortFunc(own, func(a, b Object) int {
			return cmp.Or(cmp.Compare(revisionIn(b.Name), revisionIn(a.Name)), cmp.Compare(b.Name, a.Name))
		})
	}
	return lineages
}

// revisionIn returns the revision that a point's name says; -1 if it says none.
func revisionIn(point string) int64 {
	fields := strings.Split(strings.TrimSuffix(path.Base(point), pointEnding), "-")
	if len(fields) != 3 {
		return -1
	}
	revision, err := strconv.ParseInt(fields[1], 16, 64)
	if err != nil {
		return -1
	}
	return revision
}

// fetch reads the points, some at a time.
func (h *holding) fetch(ctx context.Context, points []Object, trusted sshsig.Trusted, patience time.Duration) error {
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	const atOnce = 8
	slots, large := make(chan struct{}, atOnce), make(chan struct{}, 1)
	found := make([]answer[Found], len(points))
	var wg sync.WaitGroup
	for i, o := range points {
		slots <- struct{}{}
		wg.Go(func() {
			found[i] = onOne(ctx, h.copy, patience, func(ctx context.Context, c Copy) (Found, error) {
				return fetchPoint(ctx, c, o, trusted, large)
			})
			if errors.Is(found[i].err, ErrSilent) {
				giveUp(found[i].err)
			}
			<-slots
		})
	}
	wg.Wait()
	h.sort(points, found)
	return context.Cause(ctx)
}

// sort puts each point where it belongs.
func (h *holding) sort(points []Object, found []answer[Found]) {
	for i, o := range points {
		if err := found[i].err; err != nil {
			h.damaged[o.Name] = true
			h.problems = append(h.problems, newProblem(h.copy, o.Name, err))
			continue
		}
		h.points = append(h.points, found[i].value)
	}
}

func fetchPoint(ctx context.Context, c Copy, o Object, trusted sshsig.Trusted, large chan struct{}) (Found, error) {
	lineage, file, _ := splitObject(o.Name)
	name, ok := strings.CutSuffix(file, pointEnding)
	if !ok {
		return Found{}, fmt.Errorf("%w: not a point", ErrIntegrity)
	}
	content, err := readGated(ctx, c.Location, o.Name, smallPoint, maxPoint, large)
	if err != nil {
		return Found{}, err
	}
	found, err := readPoint(content, lineage, name, trusted)
	if err != nil {
		return Found{}, fmt.Errorf("%w: %w", ErrIntegrity, err)
	}
	found.Copies = []string{c.Name}
	return found, nil
}

// merge joins the points of all copies, newest first.
func merge(holdings []holding) []Found {
	index := map[string]int{}
	var all []Found
	for _, h := range holdings {
		for _, f := range h.points {
			key := f.Object() + f.SHA256
			if i, ok := index[key]; ok {
				all[i].Copies = append(all[i].Copies, h.copy.Name)
				continue
			}
			index[key] = len(all)
			all = append(all, f)
		}
	}
	newestFirst(all)
	return all
}

// newestFirst sorts points by their time, but within a lineage by their place in the log: a clock may have gone back. A
// lineage that descends from another counts as later than what it descends from. Points of what a restore overwrote are last.
func newestFirst(points []Found) {
	byLineage := map[string][]Found{}
	for _, f := range points {
		byLineage[f.Lineage] = append(byLineage[f.Lineage], f)
	}
	times := map[string]time.Time{} // by SHA256: always after that of an earlier point
	var settle func(lineage string)
	settle = func(lineage string) {
		own := byLineage[lineage]
		delete(byLineage, lineage)
		if len(own) == 0 {
			return
		}
		slices.SortFunc(own, func(a, b Found) int { return cmp.Compare(a.Log.Seq, b.Log.Seq) })
		parent, at, _ := strings.Cut(own[0].Parent, "@")
		revision, _ := strconv.ParseInt(at, 10, 64) // to which the log may have led beyond any point
		settle(parent)
		floor := time.Time{}
		for _, f := range points {
			if f.Lineage == parent && f.Revision <= revision && times[f.SHA256].After(floor) {
				floor = times[f.SHA256]
			}
		}
		for _, f := range own {
			if floor = floor.Add(1); f.Time.After(floor) {
				floor = f.Time
			}
			times[f.SHA256] = floor
		}
	}
	for _, f := range points {
		settle(f.Lineage)
	}
	slices.SortStableFunc(points, func(a, b Found) int {
		return cmp.Or(boolToInt(a.Undo)-boolToInt(b.Undo), times[b.SHA256].Compare(times[a.SHA256]), cmp.Compare(a.Name, b.Name))
	})
}
