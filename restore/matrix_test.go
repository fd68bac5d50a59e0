package restore

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"gwdr/backup"
	"gwdr/backup/backuptest"
	"gwdr/gateway"
	"gwdr/gateway/gatewaytest"
)

// matrix is a history of a full point, one of changes, a full one, and two segments after it; and what two other writers made
// of the log in the place of these: one of a stranger's keys, and one whose keys are trusted.
type matrix struct {
	*sealed
	middle, newest, first, last *moment
	forged, forked              map[string][]byte // objects
	rogue                       *moment           // that forked leads to
}

func newMatrix(t *testing.T) *matrix {
	m := &matrix{sealed: newSealed(t)}
	m.take(false)
	m.put("a")()
	m.middle = m.take(false)
	m.put("b")()
	m.newest = m.take(true)
	before := m.memories[0].Objects()
	m.put("c")()
	m.first = m.take(false)
	m.put("d")()
	m.remove(setting("a"))()
	m.last = m.take(false)
	m.logOnly(m.first)
	m.logOnly(m.last)
	if len(m.newest.Packs) != 3 || m.middle.Base.Seq == m.middle.Log.Seq || slices.Contains(m.middle.packObjects(), m.newest.packObjects()[0]) {
		t.Fatalf("points of %d packs, %+v", len(m.newest.Packs), m.middle.Base)
	}
	m.put("evil")()
	m.rogue, m.forked = m.another(before, m.keys)
	_, m.forged = m.another(before, backuptest.NewKeys(t))
	return m
}

// another returns what another writer adds to the objects.
func (m *matrix) another(before map[string][]byte, keys backup.Keys) (*moment, map[string][]byte) {
	own := m.world
	defer func() { m.world = own }()
	w := *own
	m.world = &w
	m.copies, m.memories = backuptest.Copies()
	for name, content := range before {
		for _, memory := range m.memories {
			memory.Set(name, content)
		}
	}
	keys.Recipients, keys.RecipientIDs = m.keys.Recipients, m.keys.RecipientIDs
	keys.Trusted = m.keys.Trusted.Trust("another", keys.Signer.Public())
	made := m.takeAs(backup.Job{Copies: m.copies, Keys: keys, Spool: m.t.TempDir()})
	added := m.memories[0].Objects()
	maps.DeleteFunc(added, func(name string, _ []byte) bool { _, old := before[name]; return old })
	if len(added[m.first.segment()]) == 0 {
		m.t.Fatalf("another writer made %v", slices.Collect(maps.Keys(added)))
	}
	return made, added
}

// cell is one of the matrix.
type cell struct {
	*matrix
	alive []int // locations
	held  []map[string][]byte
	at    At
}

// spoil flips a byte in the middle of the object at the locations.
func (c *cell) spoil(name string, where ...int) {
	for _, i := range where {
		content := slices.Clone(c.held[i][name])
		content[len(content)/2] ^= 1
		c.held[i][name] = content
	}
}

// outcome is what a cell has to end with: a moment, or a refusal.
type outcome struct {
	*moment
	point   *moment // that it starts from
	refusal error
	finding string // that there has to be, or what the refusal names
}

// untilFirst is what there is if the first segment after the newest point is nowhere.
func (c *cell) untilFirst() outcome {
	return outcome{moment: c.newest, point: c.newest, finding: fmt.Sprintf("segment %d of the log is whole at no location", c.first.Log.Seq)}
}

// damages are what else is wrong; each returns what has to come of it.
var damages = map[string]func(c *cell) outcome{
	"nothing": func(c *cell) outcome { return outcome{moment: c.last, point: c.newest} },
	"newest point deleted": func(c *cell) outcome {
		for _, objects := range c.held {
			delete(objects, c.newest.Object())
		}
		return outcome{moment: c.last, point: c.middle}
	},
	"its signature broken": func(c *cell) outcome {
		for _, objects := range c.held {
			text := string(objects[c.newest.Object()])
			at := strings.Index(text, "SSH SIGNATURE-----\n") + 200
			objects[c.newest.Object()] = []byte(text[:at] + string(text[at]^1) + text[at+1:])
		}
		return outcome{moment: c.last, point: c.middle, finding: "verifies at no location"}
	},
	"a pack corrupted at one location": func(c *cell) outcome {
		c.spoil(c.newest.packObjects()[1], c.alive[0])
		if len(c.alive) == 1 {
			return outcome{moment: c.last, point: c.middle, finding: c.newest.Packs[1].SHA256[:8]}
		}
		return outcome{moment: c.last, point: c.newest}
	},
	"different packs corrupted at each": func(c *cell) outcome {
		for n, i := range c.alive {
			for _, m := range []*moment{c.middle, c.newest} {
				c.spoil(m.packObjects()[n], i)
			}
		}
		if len(c.alive) == 1 {
			return outcome{refusal: ErrNothing, finding: c.newest.Packs[0].SHA256[:8]}
		}
		return outcome{moment: c.last, point: c.newest}
	},
	"log gap": func(c *cell) outcome {
		for _, objects := range c.held {
			delete(objects, c.first.segment())
		}
		return c.untilFirst()
	},
	"log gap before a wanted revision": func(c *cell) outcome {
		for _, objects := range c.held {
			delete(objects, c.first.segment())
		}
		c.at = At{Before: c.last.Revision + 1}
		return outcome{refusal: ErrGap, finding: c.untilFirst().finding}
	},
	"log segment forged": func(c *cell) outcome {
		for _, objects := range c.held {
			maps.Copy(objects, c.forged)
		}
		return c.untilFirst()
	},
	"lineage forked": func(c *cell) outcome {
		delete(c.held[2], c.last.segment())
		maps.Copy(c.held[2], c.forked)
		switch {
		case !slices.Contains(c.alive, 2):
			return outcome{moment: c.last, point: c.newest}
		case len(c.alive) == 1:
			return outcome{moment: c.rogue, point: c.rogue}
		}
		return outcome{moment: c.rogue, point: c.rogue, finding: "two writers continued lineage"} // nobody can tell; it is said
	},
}

// targets are the gateways to restore to.
var targets = map[string]func(wanted *gateway.State) *gatewaytest.Gateway{
	"live": func(*gateway.State) *gatewaytest.Gateway {
		return gatewaytest.New(entity(gateway.Setting, "log", `{"level":"debug"}`), entity(gateway.Upstream, "echo", `{"endpoints":[{"url":"http://127.0.0.1:2"}]}`),
			entity(gateway.Upstream, "other", `{}`), changedRoute, entity(gateway.Route, "other", `{"path":"/other","upstream":"other"}`))
	},
	"empty": func(*gateway.State) *gatewaytest.Gateway {
		g := gatewaytest.New()
		g.Wipe()
		return g
	},
	"half restored": func(wanted *gateway.State) *gatewaytest.Gateway {
		g := gatewaytest.New()
		changes := gateway.Diff(gateway.NewState(), wanted)
		for _, c := range changes[:len(changes)/2] {
			g.Put(c.Entity)
		}
		return g
	},
}

// TestMatrix: whatever is lost, a restore ends with exactly the state that is left, and says where it is from, or it refuses,
// changes nothing, and names what is missing.
func TestMatrix(t *testing.T) {
	m := newMatrix(t)
	cells, restored, refused := 0, 0, 0
	for _, alive := range [][]int{{1, 2}, {0, 1}, {0}, {2}} {
		for damage, spoil := range damages {
			for name, target := range targets {
				c := &cell{matrix: m, alive: alive, held: m.held()}
				want := spoil(c)
				wanted := m.last.state
				if want.moment != nil {
					wanted = want.state
				}
				name = fmt.Sprintf("locations %v, %s, gateway %s", alive, damage, name)
				if cells++; c.run(name, target(wanted), want) {
					restored++
				} else {
					refused++
				}
			}
		}
	}
	t.Logf("%d cells: %d restored and verified, %d refused", cells, restored, refused)
}

// run restores the gateway, and reports whether that was done. Locations that are not alive are dead, or, if there are two,
// one of them was emptied.
func (c *cell) run(name string, target *gatewaytest.Gateway, want outcome) (restored bool) {
	r, memories := c.restoreFrom(target, c.held...)
	r.At = c.at
	gone := 0
	for i, memory := range memories {
		if slices.Contains(c.alive, i) {
			continue
		}
		if gone++; gone == 1 {
			memory.Break(backuptest.Dead)
			continue
		}
		for object := range c.held[i] {
			memory.Set(object, nil)
		}
	}
	before := exportOf(c.t, target).State
	p, err := r.Plan(c.t.Context())
	said := fmt.Sprint(err, p.Findings)
	if want.finding != "" && !strings.Contains(said, want.finding) {
		c.t.Errorf("%s: it does not say %q: %s", name, want.finding, said)
	}
	if want.refusal != nil || err != nil {
		if want.refusal == nil || !errors.Is(err, want.refusal) || len(gateway.Diff(before, exportOf(c.t, target).State)) > 0 || target.Applies() > 0 {
			c.t.Errorf("%s: error %v, want %v; findings %v", name, err, want.refusal, p.Findings)
		}
		return false
	}
	res, err := r.Apply(c.t.Context(), p)
	if err != nil || !res.Verified {
		c.t.Errorf("%s: %v", name, err)
		return false
	}
	if diff := gateway.Diff(want.state, exportOf(c.t, target).State); len(diff) > 0 || res.Actual != want.digest {
		c.t.Errorf("%s: the gateway is not what it was: %d changes too many or too few, digest %s", name, len(diff), res.Actual)
	}
	if p.Revision != want.Revision || !p.Time.Equal(want.Time) || res.Revision != want.Revision || !res.Time.Equal(want.Time) || p.Point != want.point.Name {
		c.t.Errorf("%s: revision %d of %s, from point %s; want %d of %s, from %s", name, p.Revision, p.Time, p.Point, want.Revision, want.Time, want.point.Name)
	}
	c.checkOrigins(name, p, want)
	return true
}

// checkOrigins wants each object that makes the state, and no other, to be of a location that is alive and has it.
func (c *cell) checkOrigins(name string, p *Plan, want outcome) {
	wanted := map[string]bool{}
	for _, object := range want.point.packObjects() {
		wanted[object] = true
	}
	for seq := want.point.Base.Seq + 1; seq <= want.Log.Seq; seq++ {
		wanted[fmt.Sprintf("gwdr1/%s/log/%016x.tar", want.Lineage, seq)] = true
	}
	for _, o := range p.Objects {
		if !wanted[o.Object] {
			c.t.Errorf("%s: %s is not of the state", name, o.Object)
		}
		delete(wanted, o.Object)
		for part := range strings.SplitSeq(o.Copy, "+") {
			i := slices.Index([]string{"local", "nas", "offsite"}, part)
			if !slices.Contains(c.alive, i) || c.held[i][o.Object] == nil {
				c.t.Errorf("%s: %s is said to be of %s", name, o.Object, o.Copy)
			}
		}
	}
	if len(wanted) > 0 {
		c.t.Errorf("%s: nothing says where %v are from", name, slices.Collect(maps.Keys(wanted)))
	}
}
