package backup_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"gwdr/backup"
	"gwdr/backup/backuptest"
	"gwdr/gateway"
)

// readers counts what is read of each location.
type readers struct {
	mu    sync.Mutex
	reads []map[string]int
}

func countReads(h *house) *readers {
	r := &readers{}
	for i, m := range h.memories {
		r.reads = append(r.reads, map[string]int{})
		m.Break(func(_ context.Context, op, name string) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			if op == "get" {
				r.reads[i][name]++
			}
			return nil
		})
	}
	return r
}

// longHouse has five points: a full one, three of changes on the same packs, and a full one after a gap.
func longHouse(t testing.TB) *house {
	t.Helper()
	h := newHouse(t, someEntities()...)
	h.take(t)
	for i := range 3 {
		h.source.Put(backuptest.Entity(gateway.Route, "a", fmt.Sprint(i)), backuptest.Entity(gateway.Route, fmt.Sprint("new", i), "{}"))
		h.source.Delete(someEntities()[i].Ref)
		h.take(t)
	}
	h.source.Put(backuptest.Entity(gateway.Route, "b", "{}"))
	h.source.Compact()
	h.take(t)
	return h
}

// TestVerifyReadsOnce: without an identity each object is read once at each location, whatever needs it; with one, packs
// and segments once more, at one location.
func TestVerifyReadsOnce(t *testing.T) {
	h := longHouse(t)
	for _, identities := range []bool{true, false} {
		if !identities {
			h.job.Keys.Identities = nil
		}
		r := countReads(h)
		v := h.verifyWith(t, backup.VerifyOptions{All: true})
		if !v.Sound() || v.Points != 5 || v.Known != 5 || identities && v.Decrypted != 5 {
			t.Fatalf("verification: %+v", v)
		}
		for name := range h.memories[0].Objects() {
			total := 0
			for _, reads := range r.reads {
				total += reads[name]
			}
			once := strings.Contains(name, "/packs/") || strings.Contains(name, "/log/")
			if total != 3 && !(identities && once && total == 4) {
				t.Errorf("%s was read %d times at 3 locations", name, total)
			}
		}
		for i, l := range v.Locations {
			if l.Objects != len(h.memories[i].Objects()) {
				t.Errorf("%s: %d objects, want %d", l.Name, l.Objects, len(h.memories[i].Objects()))
			}
		}
	}
}

// TestVerifyGap: a gap that the log declares is a fact, and no problem.
func TestVerifyGap(t *testing.T) {
	h := longHouse(t)
	v := h.verifyWith(t, backup.VerifyOptions{All: true})
	if !v.Sound() || len(v.Logs) != 1 || len(v.Logs[0].Gaps) != 1 || v.Logs[0].Gaps[0].Seq != 5 || v.Logs[0].Last != 5 || v.Logs[0].Segments != 5 {
		t.Errorf("verification: %+v", v)
	}
	if v := h.verifyWith(t, backup.VerifyOptions{}); !v.Sound() || v.Points != 1 || v.Logs[0].First != 5 { // it stands on its packs alone
		t.Errorf("newest: %+v", v)
	}
}

// object returns the full name of the n-th object (from the end if negative) of the first location that holds part.
func (h *house) object(t testing.TB, part string, n int) string {
	t.Helper()
	var names []string
	for name := range h.memories[0].Objects() {
		if strings.Contains(name, part) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	if len(names) == 0 {
		t.Fatalf("no object named %s", part)
	}
	return names[(n+len(names))%len(names)]
}

// TestVerifyTail: of the log after the newest point, the default reads nothing, and --all everything.
func TestVerifyTail(t *testing.T) {
	h := newHouse(t, someEntities()...)
	for range 4 {
		h.take(t)
		h.source.Put(backuptest.Entity(gateway.Route, "a", fmt.Sprint(time.Now())))
	}
	for range 2 {
		newest := h.object(t, "/points/", -1)
		for _, m := range h.memories {
			m.Set(newest, nil)
		}
	}
	if v := h.verifyWith(t, backup.VerifyOptions{All: true}); !v.Sound() || v.Logs[0].Last != 4 || v.Opened != 4 { // a pack, 3 segments
		t.Errorf("whole: %+v", v)
	}
	flip(t, h.memories[1], h.object(t, "/log/", -1), 3000)
	if v := h.verifyWith(t, backup.VerifyOptions{}); !v.Sound() {
		t.Errorf("newest: %+v", v)
	}
	v := h.verifyWith(t, backup.VerifyOptions{All: true})
	if !v.Restorable() || len(v.Locations[1].Problems) != 1 || gocmp.Diff([]string{"local", "offsite"}, v.Locations[1].Problems[0].Whole) != "" {
		t.Errorf("one damaged: %+v", v)
	}
	hole := h.object(t, "/log/", 2)
	for _, m := range h.memories {
		m.Set(hole, nil)
	}
	v = h.verifyWith(t, backup.VerifyOptions{All: true})
	if v.Restorable() || len(v.Lost) != 1 || !strings.Contains(v.Lost[0], "no location has segment 3 of the log") || v.Decrypted != 2 {
		t.Errorf("a hole: %+v", v)
	}
}

// fork lets another writer continue the lineage at the last location, for longer than we do at the others; ours is what we
// took there.
func (h *house) fork(t *testing.T) (ours *backup.Result) {
	t.Helper()
	h.take(t)
	mine := h.job.Spool
	h.memories[0].Break(backuptest.Dead)
	h.memories[1].Break(backuptest.Dead)
	h.job.Spool = t.TempDir()
	for range 3 {
		h.take(t)
	}
	h.memories[0].Break(nil)
	h.memories[1].Break(nil)
	h.job.Spool = mine
	h.source.Put(backuptest.Entity(gateway.Route, "a", "mine"))
	ours = h.take(t)
	if !ours.Committed {
		t.Fatalf("backup beside a fork: %+v", ours)
	}
	return ours
}

// TestAttestFork: beside another writer's longer branch, what is attested is the newest point of the log that most have.
func TestAttestFork(t *testing.T) {
	for _, options := range []backup.VerifyOptions{{Attest: true}, {Attest: true, All: true}} {
		h := newHouse(t, someEntities()...)
		ours := h.fork(t)
		if f, _ := backup.Find(t.Context(), h.job.Copies, h.job.Keys.Trusted); f[0].Name == ours.Point {
			t.Fatal("the other writer's is not the newest")
		}
		if v := h.verifyWith(t, options); v.Attested == nil || !strings.Contains(v.Attested.Object, strings.TrimPrefix(ours.Point, "points/")) {
			t.Errorf("attested %+v, not %s", v.Attested, ours.Point)
		}
	}
}

// TestVerifyFork: a location with another writer's segments is named, and what it has is not spread, nor replaced.
func TestVerifyFork(t *testing.T) {
	h := newHouse(t, someEntities()...)
	h.fork(t)
	log := map[int]int{}
	for i, m := range h.memories {
		for name := range m.Objects() {
			log[i] += strings.Count(name, "/log/")
		}
	}
	v := h.verifyWith(t, backup.VerifyOptions{All: true, Repair: true})
	if v.Sound() || !v.Restorable() || gocmp.Diff([]int64{2, 3, 4}, v.Logs[0].Forks) != "" {
		t.Errorf("verification: %+v", v)
	}
	forks := 0
	for _, p := range v.Locations[2].Problems {
		forks += strings.Count(p.Text, "fork: ")
	}
	if forks != 3 {
		t.Errorf("offsite: %+v", v.Locations[2].Problems)
	}
	for _, r := range v.Repairs {
		if strings.Contains(r.Object, "/log/") && r.Healed {
			t.Errorf("a segment was put beside the other writer's: %+v", r)
		}
	}
	for i, m := range h.memories {
		n := 0
		for name := range m.Objects() {
			n += strings.Count(name, "/log/")
		}
		if n != log[i] {
			t.Errorf("location %d has %d segments, had %d", i, n, log[i])
		}
	}
}

// TestVerifySample: whoever knows the seed can say what is in the sample, with no more than sha256sum.
func TestVerifySample(t *testing.T) {
	h := longHouse(t)
	all := slices.Sorted(maps.Keys(h.memories[0].Objects()))
	sampled := slices.DeleteFunc(slices.Clone(all), func(name string) bool {
		return strings.Contains(name, "/points/") || strings.HasSuffix(name, "repo.tar")
	})
	slices.SortFunc(sampled, func(a, b string) int {
		return bytes.Compare(rank(7, a), rank(7, b))
	})
	want := sampled[:3]
	r := countReads(h)
	h.job.Keys.Identities = nil
	v := h.verifyWith(t, backup.VerifyOptions{Sample: &backup.Sample{Count: 3, Seed: 7}})
	if !v.Sound() || *v.Sample != (backup.SampleResult{Objects: 3, Of: len(sampled), Seed: 7}) {
		t.Errorf("verification: %+v", v)
	}
	for _, name := range sampled {
		if read := r.reads[1][name] > 0; read != slices.Contains(want, name) {
			t.Errorf("%s was read: %v", name, read)
		}
	}
	unread := h.object(t, "/packs/", 0)
	seed := uint64(0)
	for seed = range uint64(1000) { // in which the pack is not
		if worst := slices.MaxFunc(sampled, func(a, b string) int { return bytes.Compare(rank(int(seed), a), rank(int(seed), b)) }); worst == unread {
			break
		}
	}
	h.memories[1].Set(unread, nil) // a listing shows that
	v = h.verifyWith(t, backup.VerifyOptions{Sample: &backup.Sample{Percent: 10, Seed: seed}})
	if v.Sound() || !v.Restorable() || len(v.Locations[1].Problems) != 1 || v.Locations[1].Problems[0].Object != unread {
		t.Errorf("one is missing: %+v", v)
	}
	if _, err := backup.Verify(t.Context(), h.job.Copies, h.job.Keys, backup.VerifyOptions{Sample: &backup.Sample{}}); err == nil {
		t.Error("an empty sample verified")
	}
}

func rank(seed int, name string) []byte {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s", seed, name))
	return sum[:]
}

// TestVerifySampleFindsDamage: with a sample of everything, nothing is overlooked; with an identity each object is opened.
func TestVerifySampleFindsDamage(t *testing.T) {
	h := longHouse(t)
	v := h.verifyWith(t, backup.VerifyOptions{Sample: &backup.Sample{Percent: 100}})
	if !v.Sound() || v.Points != 5 || v.Opened != 5 { // 2 packs, 3 segments with changes
		t.Errorf("whole: %+v", v)
	}
	pack := h.object(t, "/packs/", 0)
	flip(t, h.memories[2], pack, 100)
	v = h.verifyWith(t, backup.VerifyOptions{Sample: &backup.Sample{Percent: 100}})
	if v.Sound() || !v.Restorable() || len(v.Locations[2].Problems) != 1 {
		t.Errorf("damaged at one: %+v", v)
	}
	for _, m := range h.memories[:2] {
		m.Set(pack, nil)
	}
	v = h.verifyWith(t, backup.VerifyOptions{Sample: &backup.Sample{Percent: 100}})
	if v.Restorable() || len(v.Lost) == 0 {
		t.Errorf("lost: %+v", v)
	}
}

// TestVerifyAnswersLate: a location that does not answer costs its own result, and no more than its patience.
func TestVerifyAnswersLate(t *testing.T) {
	h := longHouse(t)
	for name, fault := range map[string]func(context.Context, string, string) error{
		"never": backuptest.Hang,
		"never, from the first pack on": func(_ context.Context, _, name string) error {
			if strings.Contains(name, "/packs/") {
				select {}
			}
			return nil
		},
		"refuses, from the first segment on": func(_ context.Context, _, name string) error {
			if strings.Contains(name, "/log/0") || strings.Contains(name, "/packs/") {
				return errors.New("connection refused")
			}
			return nil
		},
	} {
		h.memories[1].Break(fault)
		v := h.verifyWith(t, backup.VerifyOptions{All: true, Repair: true, Patience: 2 * time.Second})
		if v.Sound() || !v.Restorable() || v.Decrypted != 5 || len(v.Locations[0].Problems)+len(v.Locations[2].Problems) > 0 {
			t.Errorf("%s: %+v", name, v)
		}
		if p := v.Locations[1].Problems; len(p) != 1 || p[0].Object != "" || len(v.Repairs) > 0 {
			t.Errorf("%s: problems %+v, repairs %+v", name, p, v.Repairs)
		}
	}
}

// TestVerifyEndsWithItsContext: what was interrupted says so.
func TestVerifyEndsWithItsContext(t *testing.T) {
	h := longHouse(t)
	ctx, cancel := context.WithCancel(t.Context())
	h.memories[2].Break(func(_ context.Context, _, name string) error {
		if strings.Contains(name, "/packs/") {
			cancel()
		}
		return nil
	})
	if _, err := backup.Verify(ctx, h.job.Copies, h.job.Keys, backup.VerifyOptions{All: true}); !errors.Is(err, context.Canceled) {
		t.Errorf("Verify = %v", err)
	}
}

// forge returns the object with its JSON changed, signed again.
func forge(t testing.TB, h *house, object []byte, member, namespace string, change func([]byte) []byte) (forged, content []byte) {
	t.Helper()
	content = change(tarMember(t, object, member))
	return tarOf(t, member, content, member+".sig", h.job.Keys.Signer.Sign(namespace, content)), content
}

// TestVerifyDigest: a point whose packs and log are whole, and whose state is not the one that was signed, is lost.
func TestVerifyDigest(t *testing.T) {
	h := longHouse(t)
	name := h.object(t, "/points/", 2)
	forged, content := forge(t, h, h.memories[0].Objects()[name], "point.json", backup.PointNamespace, func(b []byte) []byte {
		i := bytes.LastIndex(b, []byte(`"state_digest": "`)) + len(`"state_digest": "`)
		b[i] = cmp.Or(map[byte]byte{'0': '1'}[b[i]], '0')
		return b
	})
	sum := sha256.Sum256(content)
	renamed := fmt.Sprintf("%s-%x.tar", name[:strings.LastIndexByte(name, '-')], sum[:4])
	for _, m := range h.memories {
		m.Set(name, nil)
		m.Set(renamed, forged)
	}
	v := h.verifyWith(t, backup.VerifyOptions{All: true})
	if v.Points != 5 || v.Decrypted != 4 || len(v.Lost) != 1 || !strings.Contains(v.Lost[0], "state has the digest") {
		t.Errorf("verification: %+v", v)
	}
}

// TestVerifyBadSegment: a segment that is what was signed and cannot be read takes only the points after it away.
func TestVerifyBadSegment(t *testing.T) {
	h := longHouse(t)
	other := backuptest.NewKeys(t)
	for range 2 {
		h.source.Put(backuptest.Entity(gateway.Route, "a", fmt.Sprint(time.Now())))
		h.take(t)
	}
	h.job.Keys.Recipients = other.Recipients // but the points say otherwise
	h.source.Put(backuptest.Entity(gateway.Route, "a", "last"))
	h.take(t)
	v := h.verifyWith(t, backup.VerifyOptions{All: true})
	if v.Points != 8 || v.Decrypted != 7 || len(v.Sealed) != 1 || len(v.Lost) > 0 {
		t.Errorf("verification: %+v", v)
	}
}

// TestVerifyManyPoints: more points on the same packs than are computed at a time.
func TestVerifyManyPoints(t *testing.T) {
	h := newHouse(t, someEntities()...)
	for i := range 70 {
		h.source.Put(backuptest.Entity(gateway.Route, fmt.Sprint(i%9), fmt.Sprint(i)))
		h.take(t)
	}
	if v := h.verifyWith(t, backup.VerifyOptions{All: true}); !v.Sound() || v.Decrypted != 70 {
		t.Errorf("%d of %d decrypted, lost %v", v.Decrypted, v.Points, v.Lost)
	}
}

// TestVerifyStranger: a huge object in the place of a small one costs no memory, and is damage.
func TestVerifyStranger(t *testing.T) {
	h := longHouse(t)
	name := h.object(t, "/points/", -1)
	h.job.Copies[1].Location = endless{h.job.Copies[1].Location, name}
	before := allocated()
	v := h.verifyWith(t, backup.VerifyOptions{})
	if p := v.Locations[1].Problems; len(p) != 1 || !errors.Is(p[0].Err, backup.ErrIntegrity) || !v.Restorable() {
		t.Errorf("verification: %+v", v)
	}
	if spent := allocated() - before; spent > 1<<30 {
		t.Errorf("it cost %d MiB", spent>>20)
	}
}

// endless is a location where one object has no end.
type endless struct {
	backup.Location
	name string
}

func (e endless) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	if name == e.name {
		return io.NopCloser(zeros{}), nil
	}
	return e.Location.Get(ctx, name)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// TestVerifyStrangersLog: a log that no location has from a trusted signer is lost, even where a point names its segments; if one
// location still has it, it is that which heals the others.
func TestVerifyStrangersLog(t *testing.T) {
	h := newHouse(t, someEntities()...)
	for i := range 3 {
		h.source.Put(backuptest.Entity(gateway.Setting, "n", fmt.Sprint(i)))
		h.take(t)
	}
	mine, stranger := h.job.Keys, backuptest.NewKeys(t).Signer
	for i, m := range h.memories {
		for name, object := range m.Objects() {
			if strings.Contains(name, "/log/") {
				m.Set(name, resigned(t, object, stranger.Sign(backup.SegmentNamespace, tarMember(t, object, "seg.json"))))
			}
		}
		for _, all := range []bool{false, true} {
			v, err := backup.Verify(t.Context(), h.job.Copies, mine, backup.VerifyOptions{All: all})
			lost := i == len(h.memories)-1
			if err != nil || v.Restorable() == lost || v.Sound() || v.Decrypted == 0 {
				t.Errorf("at %d locations, all %v: %v, restorable %v, lost %v", i+1, all, err, v.Restorable(), v.Lost)
			}
			if lost && (len(v.Lost) != 1 || !strings.Contains(v.Lost[0], "to 3 of the log as a trusted signer signed it")) {
				t.Errorf("lost: %q", v.Lost)
			}
		}
	}
}
