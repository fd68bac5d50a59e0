package backup

import (
	"cmp"
	"maps"
	"path"
	"slices"
	"strings"
	"time"
)

// prunePlan is what is to be done at one copy.
type prunePlan struct {
	kept     []KeptPoint
	goes     []storedPoint
	needed   needs
	doubtful map[string]bool // lineages with points that verify nowhere: what they need is not known
	notes    []string
}

// storedPoint is a point with its object as it is at one copy.
type storedPoint struct {
	Found
	object Object
}

// planPrune is pure: from what lies at a copy, what is known of its points, and the rules, to which points go. all are
// sorted, newest first. strays, by SHA256, are the points of a writer whom few copies follow: they are judged apart, as they
// take no place of the others.
func planPrune(h *holding, objects []Object, all []Found, strays map[string]bool, options PruneOptions) prunePlan {
	plan := prunePlan{kept: []KeptPoint{}, doubtful: map[string]bool{},
		needed: needs{objects: map[string]bool{}, points: map[string]bool{}, logFrom: map[string]int64{}}}
	here, anywhere := byObject(h.points), byObject(all)
	ancestor, families, astray := ancestors(all), map[string][]storedPoint{}, map[string][]storedPoint{}
	for _, o := range objects {
		lineage, name, ok := splitObject(o.Name)
		if !ok || !strings.HasPrefix(name, pointsDir) {
			continue
		}
		if f, ok := here[o.Name]; ok {
			of := families
			if strays[f.SHA256] {
				of = astray
			}
			of[ancestor(lineage)] = append(of[ancestor(lineage)], storedPoint{f, o})
		} else if f, ok := anywhere[o.Name]; ok { // it takes no place of a whole one
			plan.kept = append(plan.kept, KeptPoint{Point: o.Name, Stored: o.Created.UTC(), Reasons: []string{"damaged here, whole elsewhere"}})
			plan.needed.addDamaged(f)
		} else {
			plan.doubt(h, lineage, o.Name)
		}
	}
	for _, judged := range []map[string][]storedPoint{families, astray} {
		for _, family := range slices.Sorted(maps.Keys(judged)) {
			plan.judge(judged[family], options.Keep, func(f Found) bool { return options.Verified != nil && options.Verified(h.copy.Name, f) })
		}
	}
	plan.expect(h.copy.Name, all, ancestor)
	return plan
}

func byObject(points []Found) map[string]Found {
	found := map[string]Found{}
	for _, f := range points {
		found[f.Object()] = f
	}
	return found
}

// doubt keeps all that a point of the lineage may need which is not known.
func (plan *prunePlan) doubt(h *holding, lineage, object string) {
	plan.doubtful[lineage] = true
	why := " has come just now"
	if h.damaged[object] {
		why = " does not verify anywhere"
	}
	plan.notes = append(plan.notes, object+why+": nothing that it may need is removed")
}

// expect keeps what points need that other copies have, and that are newer than all of their gateway here: they may be on
// their way.
func (plan *prunePlan) expect(copyName string, all []Found, ancestor func(string) string) {
	arrived := map[string]bool{}
	for _, f := range all {
		family := ancestor(f.Lineage)
		if arrived[family] = arrived[family] || slices.Contains(f.Copies, copyName); !arrived[family] {
			plan.needed.expect(f)
		}
	}
}

// judge sorts the points of one gateway into those that stay and those that go.
func (plan *prunePlan) judge(points []storedPoint, keep Keep, verified func(Found) bool) {
	var found []Found
	for _, p := range points {
		found = append(found, p.Found)
	}
	newestFirst(found)
	rank, newest := map[string]int{}, map[string]string{}
	for i, f := range slices.Backward(found) {
		rank[f.SHA256], newest[f.Lineage] = i, f.SHA256
	}
	slices.SortFunc(points, func(a, b storedPoint) int {
		return cmp.Or(b.object.Created.Compare(a.object.Created), cmp.Compare(rank[a.SHA256], rank[b.SHA256]))
	})
	var times []time.Time
	for _, p := range points {
		times = append(times, p.object.Created)
	}
	lastVerified := slices.IndexFunc(found, verified) // by the log; what was put back late is new by the store's clock
	reasons := keep.reasons(times)
	for i, p := range points {
		if newest[p.Lineage] == p.SHA256 && !p.Undo { // of each: a gateway that was made from another's backups goes its own way
			reasons[i] = append(reasons[i], "newest")
		}
		if rank[p.SHA256] == lastVerified {
			reasons[i] = append(reasons[i], "last verified")
		}
		if len(reasons[i]) == 0 {
			plan.goes = append(plan.goes, p)
		} else {
			plan.stay(p, reasons[i]...)
		}
	}
}

// stay keeps a point and what it needs.
func (plan *prunePlan) stay(p storedPoint, reasons ...string) {
	plan.kept = append(plan.kept, KeptPoint{Point: p.Object(), Stored: p.object.Created.UTC(), Reasons: reasons})
	plan.needed.add(p.Found)
}

// garbage returns what no point needs that stays, but for what is so new that a backup may be on its way that needs it, and
// for the attestations that tell when the copy was read back.
func (plan *prunePlan) garbage(objects []Object) []Object {
	newest := time.Time{}
	for _, o := range objects {
		if o.Created.After(newest) {
			newest = o.Created
		}
	}
	attests := newestAttests(objects)
	attests = attests[:min(maxAttests, len(attests))]
	return slices.DeleteFunc(slices.Clone(objects), func(o Object) bool {
		lineage, name, ok := splitObject(o.Name)
		return !ok || !prunable(name) || plan.doubtful[lineage] || newest.Sub(o.Created) < pruneGrace ||
			plan.needed.lives(lineage) && slices.Contains(attests, o.Name) || plan.needed.has(lineage, name, o)
	})
}

// prunable reports whether the object, named within its lineage, is one of the format's, but for points: nothing else is
// removed.
func prunable(name string) bool {
	switch {
	case strings.HasPrefix(name, logDir):
		_, ok := parseSegmentName(name)
		return ok
	case strings.HasPrefix(name, packsDir):
		sum := strings.TrimSuffix(path.Base(name), packEnding)
		return isHex(sum, 32) && name == packName(sum)
	case strings.HasPrefix(name, attestDir):
		_, err := attestTime(name)
		return err == nil
	}
	return slices.Contains(baseFiles(), name)
}

// ancestors returns a function that gives the oldest known lineage that a lineage descends from: the lineages of one
// gateway are one family.
func ancestors(all []Found) func(lineage string) string {
	parents := map[string]string{}
	for _, f := range all {
		parents[f.Lineage], _, _ = strings.Cut(f.Parent, "@")
	}
	return func(lineage string) string {
		for range parents {
			parent := parents[lineage]
			if _, known := parents[parent]; !known {
				break
			}
			lineage = parent
		}
		return lineage
	}
}

// needs is what the points that stay need.
type needs struct {
	objects map[string]bool
	points  map[string]bool  // lineage and name of each point that stays, without its folder
	logFrom map[string]int64 // by lineage: the segments from here on may lead to what is newer than its newest point
}

// add adds what a point needs that stays.
func (n *needs) add(f Found) {
	n.points[f.Lineage+strings.TrimPrefix(f.Name, pointsDir)] = true
	n.content(f)
	n.logFrom[f.Lineage] = max(n.logFrom[f.Lineage], f.Log.Seq)
}

// addDamaged adds what a point needs that is damaged here. It leaves the log before it alone: that leads on from whatever is
// whole.
func (n *needs) addDamaged(f Found) {
	n.points[f.Lineage+strings.TrimPrefix(f.Name, pointsDir)] = true
	n.content(f)
	if !n.lives(f.Lineage) {
		n.logFrom[f.Lineage] = 0
	}
}

// expect adds what a point needs that is not here yet.
func (n *needs) expect(f Found) {
	n.content(f)
	if !n.lives(f.Lineage) {
		n.logFrom[f.Lineage] = f.Log.Seq
	}
}

// content adds the packs and the log of a point; the segment at which its packs stood as well, where writers begin.
func (n *needs) content(f Found) {
	for _, pack := range f.Packs {
		n.objects[f.PackObject(pack)] = true
	}
	for seq := f.Base.Seq; seq <= f.Log.Seq; seq++ {
		n.objects[lineageRoot(f.Lineage)+segmentName(seq)] = true
	}
}

// lives reports whether a point of the lineage stays.
func (n *needs) lives(lineage string) bool {
	_, lives := n.logFrom[lineage]
	return lives
}

// has reports whether an object other than a point is needed.
func (n *needs) has(lineage, name string, o Object) bool {
	switch {
	case n.objects[o.Name]:
		return true
	case strings.HasPrefix(name, logDir):
		seq, _ := parseSegmentName(name)
		return n.lives(lineage) && seq >= n.logFrom[lineage]
	case strings.HasPrefix(name, packsDir):
		return false
	case strings.HasPrefix(name, attestDir): // attest/<point>-<utc>.tar
		point := strings.TrimPrefix(name, attestDir)
		return n.points[lineage+point[:max(0, strings.LastIndexByte(point, '-'))]]
	}
	return n.lives(lineage) // README.txt, restore.sh, repo.tar
}
