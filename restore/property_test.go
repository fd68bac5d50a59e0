package restore

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"gwdr/gateway"
	"gwdr/gateway/gatewaytest"
)

// newHistory seals two lineages: full points, among them one behind a gap that shares packs with the one before, points of
// changes, and segments after the last point of each. Keys are revoked in different places.
func newHistory(t *testing.T) *sealed {
	s := newSealed(t)
	revoke := func(n int) {
		id := strings.Repeat(fmt.Sprint(n), 16)
		s.gateway.Put(entity(gateway.Revocation, id, `{"at":"2026-02-03T04:05:06Z"}`))
	}
	s.take(false)
	s.put("a")()
	s.take(false)
	s.put("b")()
	revoke(0)
	s.take(false)
	s.remove(setting("a"))()
	s.take(true)
	revoke(1)
	s.put("c")()
	s.take(false)
	s.put("d")()
	gatewaytest.Tracked{Gateway: s.gateway}.Forget()
	s.take(false).gap = true
	s.put("e")()
	s.take(false)
	s.put("f")()
	s.logOnly(s.take(false))
	revoke(2)
	s.logOnly(s.take(false))
	s.put("g")()
	s.logOnly(s.take(false))
	s.beginAnew()
	s.take(false)
	s.put("h")()
	revoke(3)
	s.take(false)
	s.put("i")()
	s.logOnly(s.take(false))
	return s
}

// beginAnew loses the gateway's store, and restores the state.
func (s *sealed) beginAnew() {
	s.t.Helper()
	state := exportOf(s.t, s.gateway).State
	s.gateway.Wipe()
	if err := s.gateway.Apply(s.t.Context(), gateway.Diff(gateway.NewState(), state)); err != nil {
		s.t.Fatal(err)
	}
}

// union is what three damaged locations still have together. It decides by the bytes that were sealed, and knows nothing of
// how they are read.
type union struct {
	*sealed
	sound map[string][]byte
	held  []map[string][]byte
}

// newUnion is of three sound locations, as they were after the first moments of the history; and the names of the objects.
func newUnion(history *sealed, sound map[string][]byte, moments int) (*union, []string) {
	u := &union{sealed: &sealed{world: history.world, moments: history.moments[:moments]}, sound: sound}
	held := map[string][]byte{}
	for _, m := range u.moments {
		held[m.segment()] = sound[m.segment()]
		if m.kept {
			for _, object := range append(m.packObjects(), m.Object()) {
				held[object] = sound[object]
			}
		}
	}
	for range history.memories {
		u.held = append(u.held, maps.Clone(held))
	}
	return u, slices.Sorted(maps.Keys(held))
}

// whole reports whether some location has the very object.
func (u *union) whole(object string) bool {
	return slices.ContainsFunc(u.held, func(objects map[string][]byte) bool {
		content, there := objects[object]
		return there && bytes.Equal(content, u.sound[object])
	})
}

// wholeButSigned is whole, whatever became of the signature: a point pins the segments before it.
func (u *union) wholeButSigned(object string) bool {
	sound := u.sound[object]
	begin := bytes.Index(sound, []byte("-----BEGIN SSH SIGNATURE"))
	end := bytes.Index(sound, []byte("END SSH SIGNATURE-----\n")) + len("END SSH SIGNATURE-----\n")
	return slices.ContainsFunc(u.held, func(objects map[string][]byte) bool {
		content := objects[object]
		return len(content) == len(sound) && bytes.Equal(content[:begin], sound[:begin]) && bytes.Equal(content[end:], sound[end:])
	})
}

// wholeInBlocks reports whether each MiB of the object is at some location.
func (u *union) wholeInBlocks(object string) bool {
	const block = 1 << 20
	sound := u.sound[object]
	for from := 0; from < len(sound); from += block {
		to := min(from+block, len(sound))
		if !slices.ContainsFunc(u.held, func(objects map[string][]byte) bool {
			return len(objects[object]) >= to && bytes.Equal(objects[object][from:to], sound[from:to])
		}) {
			return false
		}
	}
	return true
}

// loads reports whether the moment's point can be made of what is left.
func (u *union) loads(at int) bool {
	m := u.moments[at]
	if !m.kept || !u.whole(m.Object()) {
		return false
	}
	for _, object := range m.packObjects() {
		if !u.wholeInBlocks(object) {
			return false
		}
	}
	for _, other := range u.moments[:at+1] {
		if other.Lineage == m.Lineage && other.Log.Seq > m.Base.Seq && (other.gap || !u.wholeButSigned(other.segment())) {
			return false
		}
	}
	return true
}

// best returns the newest moment that can be restored, and the newest point that it can be restored from; -1 if there is none.
func (u *union) best() (at, point int) {
	at, point = -1, -1
	for i := range u.moments {
		if !u.loads(i) {
			continue
		}
		if reached := u.lead(i); reached >= at {
			at, point = reached, i
		}
	}
	return at, point
}

// lead returns the moment that the log leads to from a point.
func (u *union) lead(from int) int {
	for next := from + 1; next < len(u.moments); next++ {
		m := u.moments[next]
		if m.Lineage != u.moments[from].Lineage || m.gap || !u.whole(m.segment()) {
			return next - 1
		}
	}
	return len(u.moments) - 1
}

// revoked returns the revocations that must be known when the moment is restored: what was revoked since in a segment of the
// lineage that is left, however many others are not; and in another lineage, after a point of it.
func (u *union) revoked(at int) map[gateway.Ref]bool {
	refs := map[gateway.Ref]bool{}
	known := map[string]bool{u.moments[at].Lineage: true}
	for i, m := range u.moments {
		if m.Lineage != u.moments[at].Lineage {
			known[m.Lineage] = known[m.Lineage] || m.kept && u.whole(m.Object())
		}
		if i <= at && m.Lineage == u.moments[at].Lineage || !known[m.Lineage] || m.gap || !u.whole(m.segment()) {
			continue
		}
		for e := range m.state.Kind(gateway.Revocation) {
			if _, before := u.moments[i-1].state.Get(e.Ref); !before {
				refs[e.Ref] = true
			}
		}
	}
	return refs
}

// damage does something to one copy of an object, and says what.
func (u *union) damage(t *rapid.T, objects map[string][]byte, object string, all []string) string {
	content, there := objects[object]
	what := rapid.SampledFrom([]string{"delete", "flip", "truncate", "replace", "extend"}).Draw(t, "damage")
	switch {
	case what == "delete":
		delete(objects, object)
	case what == "replace":
		objects[object] = u.sound[rapid.SampledFrom(all).Draw(t, "by")]
	case !there || len(content) == 0:
		objects[object] = rapid.SliceOfN(rapid.Byte(), 1, 100).Draw(t, "bytes")
	case what == "flip":
		bit := rapid.IntRange(0, 8*len(content)-1).Draw(t, "bit")
		content = bytes.Clone(content)
		content[bit/8] ^= 1 << (bit % 8)
		objects[object] = content
	case what == "truncate":
		objects[object] = content[:rapid.IntRange(0, len(content)-1).Draw(t, "length")]
	case what == "extend":
		objects[object] = slices.Concat(content, rapid.SliceOfN(rapid.Byte(), 1, 2000).Draw(t, "bytes"))
	}
	return what
}

// TestAnyDamage: of whatever random damage leaves at three locations, a restore makes the newest state that can be made of it,
// exactly, and without any it refuses. What was revoked in any segment that is left stays revoked.
func TestAnyDamage(t *testing.T) {
	history := newHistory(t)
	sound := history.memories[0].Objects()
	damages, results, kinds := 0, map[string]int{}, map[string]int{}
	rapid.Check(t, func(rt *rapid.T) {
		u, objects := newUnion(history, sound, rapid.IntRange(1, len(history.moments)).Draw(rt, "moments"))
		const rounds = 2
		for range rounds {
			for range rapid.IntRange(3, 8).Draw(rt, "objects") { // each at one to three locations
				object := rapid.SampledFrom(objects).Draw(rt, "object")
				first, n := rapid.IntRange(0, 2).Draw(rt, "location"), rapid.SampledFrom([]int{3, 3, 2, 1}).Draw(rt, "locations")
				for i := range n {
					kinds[u.damage(rt, u.held[(first+i)%3], object, objects)]++
					damages++
				}
			}
			results[u.check(rt)]++
		}
	})
	t.Logf("%d damages (%v), %d restores: %v", damages, kinds, results["newest"]+results["older"]+results["refused"], results)
}

// check restores what is left, and says what came of it.
func (u *union) check(t *rapid.T) string {
	target := gatewaytest.New()
	r, _ := u.restoreFrom(target, u.held...)
	at, from := u.best()
	p, err := r.Plan(u.t.Context())
	if at < 0 {
		if !errors.Is(err, ErrNothing) || target.Applies() > 0 {
			t.Fatalf("there is nothing, but the plan leads to revision %d of %s: %v", p.Revision, p.Lineage, err)
		}
		return "refused"
	}
	want := u.moments[at]
	if err != nil {
		t.Fatalf("revision %d of %s can be made, but: %v: %v", want.Revision, want.Lineage, err, p.Findings)
	}
	if p.Lineage != want.Lineage || p.Revision != want.Revision || !p.Time.Equal(want.Time) || p.Point != u.moments[from].Name {
		t.Fatalf("the plan leads from %s to revision %d of %s, %s; there are %s, %d of %s, %s: %v",
			p.Point, p.Revision, p.Lineage, p.Time, u.moments[from].Name, want.Revision, want.Lineage, want.Time, p.Findings)
	}
	if _, err := r.Apply(u.t.Context(), p); err != nil {
		t.Fatalf("apply: %v", err)
	}
	u.compare(t, at, exportOf(u.t, target).State)
	if at == len(u.moments)-1 {
		return "newest"
	}
	return "older"
}

// compare wants the state of the moment, and the revocations of later ones.
func (u *union) compare(t *rapid.T, at int, got *gateway.State) {
	must := u.revoked(at)
	last := u.moments[len(u.moments)-1].state
	for _, c := range gateway.Diff(u.moments[at].state, got) {
		delete(must, c.Entity.Ref)
		if body, once := last.Get(c.Entity.Ref); c.Op != gateway.Create || c.Entity.Kind != gateway.Revocation || !once || !bytes.Equal(body, c.Entity.Body) {
			t.Errorf("%s of %s: that is not the state", c.Op, c.Entity.Ref)
		}
	}
	for ref := range must {
		if _, own := u.moments[at].state.Get(ref); !own {
			t.Errorf("a segment that is left knows of %s, which was not restored", ref)
		}
	}
}
