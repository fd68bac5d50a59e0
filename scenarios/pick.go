package scenarios

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"

	"gwdr/fleet"
)

// DrawSeeds sets the seeds that the scenario leaves open, each by a call of draw, and returns the names of the targets whose
// seeds those are.
func (s *Scenario) DrawSeeds(draw func() uint64) []string {
	var names []string
	for name, t := range s.Targets {
		if t.Pick.Count > 0 && t.Pick.Seed == 0 {
			t.Pick.Seed = draw()
			s.Targets[name] = t
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// of returns the instances that are picked, by id. The same ones of the same, whatever their order, and with any build: nothing
// of it is left to a library but PCG, whose stream is fixed.
func (p Pick) of(matched []fleet.Instance) ([]fleet.Instance, error) {
	if p.Count == 0 {
		return matched, nil
	}
	if p.Count > len(matched) {
		return nil, fmt.Errorf("%w: %d are to be picked of %d that match", ErrUnsafe, p.Count, len(matched))
	}
	byID := func(a, b fleet.Instance) int { return cmp.Compare(a.ID, b.ID) }
	left := slices.SortedFunc(slices.Values(matched), byID)
	random := rand.NewPCG(p.Seed, 0)
	var picked []fleet.Instance
	for range p.Count {
		i := int(random.Uint64() % uint64(len(left)))
		picked, left = append(picked, left[i]), slices.Delete(left, i, i+1)
	}
	slices.SortFunc(picked, byID)
	return picked, nil
}
