package backup

import (
	"cmp"
	"slices"
)

// Origin is where one of the objects that make a state was read.
type Origin struct {
	Object string `json:"object"`   // full name
	Copy   string `json:"location"` // the copy's name; several, joined by +, if only their blocks together were whole
	Count  int    `json:"count"`    // entities of a pack, changes of a segment
}

// Provenance tells of each object that makes a state where it was read.
type Provenance []Origin

// ByCopy counts the entities and changes by the copy that they came from.
func (p Provenance) ByCopy() map[string]int {
	sums := map[string]int{}
	for _, o := range p {
		sums[o.Copy] += o.Count
	}
	return sums
}

// sort puts the objects in the order of their names.
func (p Provenance) sort() {
	slices.SortFunc(p, func(a, b Origin) int { return cmp.Compare(a.Object, b.Object) })
}
