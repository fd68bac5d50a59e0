package backup

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"gwdr/internal/sshsig"
)

// Find returns the points that verify at any of the copies, newest first, and what stands in the way of finding more: a
// copy that cannot be read, a point that does not verify. To Find, a point that does not verify does not exist.
func Find(ctx context.Context, copies []Copy, trusted sshsig.Trusted) ([]Found, []Problem) {
	holdings := survey(ctx, copies, trusted)
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

// survey reads the points of every copy.
func survey(ctx context.Context, copies []Copy, trusted sshsig.Trusted) []holding {
	answers := onEach(ctx, copies, patience, func(ctx context.Context, c Copy) (holding, error) {
		return surveyCopy(ctx, c, trusted)
	})
	holdings := make([]holding, len(answers))
	for i, a := range answers {
		holdings[i] = a.value
		if a.err != nil {
			holdings[i] = holding{copy: a.copy, err: a.err, problems: []Problem{newProblem(a.copy, "", a.err)}}
		}
	}
	return holdings
}

// surveyCopy lists a copy and reads its points, some at a time.
func surveyCopy(ctx context.Context, c Copy, trusted sshsig.Trusted) (holding, error) {
	listed, err := c.Location.List(ctx, formatRoot)
	if err != nil {
		return holding{}, err
	}
	h := holding{copy: c, objects: map[string]int64{}, damaged: map[string]bool{}}
	var points []Object
	for _, o := range listed {
		h.objects[o.Name] = o.Size
		if _, name, ok := splitObject(o.Name); ok && strings.HasPrefix(name, pointsDir) {
			points = append(points, o)
		}
	}
	const atOnce = 8
	slots := make(chan struct{}, atOnce)
	found := make([]Found, len(points))
	errs := make([]error, len(points))
	var wg sync.WaitGroup
	for i, o := range points {
		slots <- struct{}{}
		wg.Go(func() {
			found[i], errs[i] = fetchPoint(ctx, c, o, trusted)
			<-slots
		})
	}
	wg.Wait()
	h.sort(points, found, errs)
	return h, ctx.Err()
}

// sort puts each point where it belongs.
func (h *holding) sort(points []Object, found []Found, errs []error) {
	for i, o := range points {
		if errs[i] != nil {
			h.damaged[o.Name] = true
			h.problems = append(h.problems, newProblem(h.copy, o.Name, errs[i]))
			continue
		}
		h.points = append(h.points, found[i])
	}
}

func fetchPoint(ctx context.Context, c Copy, o Object, trusted sshsig.Trusted) (Found, error) {
	lineage, file, _ := splitObject(o.Name)
	name, ok := strings.CutSuffix(file, pointEnding)
	if !ok {
		return Found{}, fmt.Errorf("%w: not a point", ErrIntegrity)
	}
	content, err := readObject(ctx, c.Location, o.Name, maxPoint)
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
	slices.SortStableFunc(all, func(a, b Found) int {
		return cmp.Or(b.Time.Compare(a.Time), cmp.Compare(b.Revision, a.Revision), cmp.Compare(a.Name, b.Name))
	})
	return all
}
