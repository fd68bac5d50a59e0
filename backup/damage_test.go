package backup_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gwdr/backup"
	"gwdr/backup/backuptest"
	"gwdr/gateway"
)

// flip flips one bit of every object at m whose name holds part, at the offset (from the end if negative).
func flip(t testing.TB, m *backuptest.Memory, part string, offset int) {
	t.Helper()
	n := 0
	for name, content := range m.Objects() {
		if strings.Contains(name, part) {
			content[(offset+len(content))%len(content)] ^= 1
			m.Set(name, content)
			n++
		}
	}
	if n == 0 {
		t.Fatalf("no object named %s", part)
	}
}

func remove(m *backuptest.Memory, part string) {
	for name := range m.Objects() {
		if strings.Contains(name, part) {
			m.Set(name, nil)
		}
	}
}

// bigEntities makes a pack of several blocks.
func bigEntities(t testing.TB) []gateway.Entity {
	t.Helper()
	var entities []gateway.Entity
	for i := range 7 {
		body := make([]byte, 500<<10)
		rand.Read(body)
		entities = append(entities, backuptest.Entity(gateway.Spec, fmt.Sprint(i), string(body)))
	}
	return entities
}

func verify(t testing.TB, h *house, all bool) *backup.Verification {
	t.Helper()
	v, err := backup.Verify(t.Context(), h.job.Copies, h.job.Keys, backup.VerifyOptions{All: all})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestVerifySound(t *testing.T) {
	h := newHouse(t, someEntities()...)
	h.take(t)
	h.take(t)
	if v := verify(t, h, true); !v.Sound() || v.Points != 2 || v.Decrypted != 2 {
		t.Errorf("verification of a sound house: %+v", v)
	}
	if v := verify(t, h, false); !v.Sound() || v.Points != 1 {
		t.Errorf("verification of the newest point: %+v", v)
	}
	h.job.Keys.Identities = nil // a writer
	if v := verify(t, h, true); !v.Sound() || v.Decrypted != 0 {
		t.Errorf("verification without an identity: %+v", v)
	}
}

// TestTamperedPoint: each byte of a point counts.
func TestTamperedPoint(t *testing.T) {
	h := newHouse(t, someEntities()...)
	h.take(t)
	whole := h.memories[1].Objects()
	for offset := 0; offset < 6<<10; offset += 97 {
		flip(t, h.memories[1], "/points/", offset)
		found, problems := backup.Find(t.Context(), h.job.Copies, h.job.Keys.Trusted)
		if len(found) != 1 || cmp.Diff([]string{"local", "offsite"}, found[0].Copies) != "" {
			t.Fatalf("offset %d: found %+v, want the point at local and offsite only", offset, found)
		}
		if len(problems) != 1 || problems[0].Copy != "nas" || !errors.Is(problems[0].Err, backup.ErrIntegrity) {
			t.Fatalf("offset %d: problems %+v, want one of integrity at nas", offset, problems)
		}
		for name, content := range whole {
			h.memories[1].Set(name, content)
		}
	}
	for _, m := range h.memories {
		flip(t, m, "/points/", 600)
	}
	if found, problems := backup.Find(t.Context(), h.job.Copies, h.job.Keys.Trusted); len(found) != 0 || len(problems) != 3 {
		t.Errorf("all tampered: found %v, problems %v", found, problems)
	}
	if v := verify(t, h, false); v.Restorable() || len(v.Lost) != 1 {
		t.Errorf("all tampered: %+v", v)
	}
}

func TestPointUnderAnotherName(t *testing.T) {
	h := newHouse(t)
	h.take(t)
	for name, content := range h.memories[0].Objects() {
		if strings.Contains(name, "/points/") {
			h.memories[0].Set(strings.Replace(name, "/points/2", "/points/3", 1), content) // a thousand years younger
			h.memories[0].Set(strings.Replace(name, "gwdr1/", "gwdr1/0", 1)[:len(name)], content)
		}
	}
	found, problems := backup.Find(t.Context(), h.job.Copies, h.job.Keys.Trusted)
	if len(found) != 1 || len(problems) == 0 {
		t.Errorf("found %d points with %d problems, want 1 point and a problem", len(found), len(problems))
	}
}

func TestForeignSigner(t *testing.T) {
	h := newHouse(t, someEntities()...)
	h.take(t)
	trusted := backuptest.NewKeys(t).Trusted
	found, problems := backup.Find(t.Context(), h.job.Copies, trusted)
	if len(found) != 0 || len(problems) != 3 || !strings.Contains(problems[0].Text, "is not trusted") {
		t.Errorf("foreign points: found %v, problems %v", found, problems)
	}
}

// TestTamperedScript: what somebody is going to run at a location is signed as well, and a writer that finds it tampered
// with does not spread it.
func TestTamperedScript(t *testing.T) {
	for _, name := range []string{"restore.sh", "README.txt", "repo.tar"} {
		h := newHouse(t, someEntities()...)
		h.take(t)
		flip(t, h.memories[0], name, 100)
		v := verify(t, h, false)
		if problems := v.Locations[0].Problems; len(problems) != 1 || !errors.Is(problems[0].Err, backup.ErrIntegrity) ||
			!strings.Contains(problems[0].Text, name) || !v.Restorable() || len(v.Locations[1].Problems) > 0 {
			t.Errorf("%s: %+v", name, v)
		}
		remove(h.memories[2], name)
		h.job.Spool = t.TempDir()
		h.take(t)
		for object, content := range h.memories[1].Objects() {
			if strings.HasSuffix(object, name) && !bytes.Equal(h.memories[2].Objects()[object], content) {
				t.Errorf("%s was put to a location in another form", object)
			}
		}
	}
}

func TestTamperedPack(t *testing.T) {
	h := newHouse(t, someEntities()...)
	h.take(t)
	flip(t, h.memories[0], "/packs/", -3)
	found := h.find(t)[0]
	state, provenance, err := backup.Load(t.Context(), found, h.job.Copies, h.job.Keys.Identities)
	if err != nil || state.Len() != len(someEntities()) || provenance.ByCopy()["nas"] != state.Len() {
		t.Errorf("Load = %v, %v; want all from nas", provenance, err)
	}
	v := verify(t, h, false)
	if v.Sound() || !v.Restorable() || len(v.Locations[0].Problems) != 1 || len(v.Locations[1].Problems) != 0 {
		t.Errorf("verification: %+v", v)
	}
	remove(h.memories[1], "/packs/")
	h.memories[2].Break(backuptest.Dead)
	_, _, err = backup.Load(t.Context(), found, h.job.Copies, h.job.Keys.Identities)
	if !errors.Is(err, backup.ErrIntegrity) || !strings.Contains(err.Error(), "local") || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("Load = %v, want ErrIntegrity that tells of each location", err)
	}
	if v := verify(t, h, false); v.Restorable() || len(v.Locations[2].Problems) != 1 {
		t.Errorf("verification of a lost point: %+v", v)
	}
}

// TestHealFromBlocks: two damaged copies make a whole one, as long as no block is damaged in both.
func TestHealFromBlocks(t *testing.T) {
	h := newHouse(t, bigEntities(t)...)
	h.take(t)
	flip(t, h.memories[0], "/packs/", 100)
	flip(t, h.memories[1], "/packs/", 1<<20+100)
	remove(h.memories[2], "/packs/")
	found := h.find(t)[0]
	state, provenance, err := backup.Load(t.Context(), found, h.job.Copies, h.job.Keys.Identities)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]int{"local+nas": state.Len()}, provenance.ByCopy()); diff != "" {
		t.Error(diff)
	}
	if v := verify(t, h, true); !v.Restorable() || v.Sound() {
		t.Errorf("verification: %+v", v)
	}
	flip(t, h.memories[1], "/packs/", 100)
	if _, _, err := backup.Load(t.Context(), found, h.job.Copies, h.job.Keys.Identities); !errors.Is(err, backup.ErrIntegrity) {
		t.Errorf("Load = %v, want ErrIntegrity", err)
	}
}

func TestTruncatedAndLongerPack(t *testing.T) {
	for name, spoil := range map[string]func([]byte) []byte{
		"truncated": func(b []byte) []byte { return b[:len(b)-1] },
		"longer":    func(b []byte) []byte { return append(b, 0) },
		"empty":     func([]byte) []byte { return []byte{} },
	} {
		h := newHouse(t, someEntities()...)
		h.take(t)
		for object, content := range h.memories[0].Objects() {
			if strings.Contains(object, "/packs/") {
				h.memories[0].Set(object, spoil(bytes.Clone(content)))
			}
		}
		if v := verify(t, h, false); v.Sound() || !v.Restorable() || len(v.Locations[0].Problems) != 1 {
			t.Errorf("%s pack: %+v", name, v)
		}
		h.load(t, h.find(t)[0])
	}
}

func TestWrongIdentity(t *testing.T) {
	h := newHouse(t, someEntities()...)
	h.take(t)
	found := h.find(t)[0]
	if _, _, err := backup.Load(t.Context(), found, h.job.Copies, backuptest.NewKeys(t).Identities); !errors.Is(err, backup.ErrIntegrity) {
		t.Errorf("Load with a foreign identity = %v, want ErrIntegrity", err)
	}
	if _, _, err := backup.Load(t.Context(), found, h.job.Copies, nil); !errors.Is(err, backup.ErrIntegrity) {
		t.Errorf("Load without an identity = %v, want ErrIntegrity", err)
	}
	h.job.Keys.Identities = backuptest.NewKeys(t).Identities
	if v := verify(t, h, false); v.Restorable() || v.Decrypted != 0 {
		t.Errorf("verification with a foreign identity: %+v", v)
	}
}

// TestUnreachable: locations that cannot be reached say nothing of integrity.
func TestUnreachable(t *testing.T) {
	h := newHouse(t, someEntities()...)
	h.take(t)
	found := h.find(t)[0]
	for _, m := range h.memories {
		m.Break(backuptest.Dead)
	}
	if _, _, err := backup.Load(t.Context(), found, h.job.Copies, h.job.Keys.Identities); err == nil || errors.Is(err, backup.ErrIntegrity) {
		t.Errorf("Load = %v, want an error that is not of integrity", err)
	}
	if found, problems := backup.Find(t.Context(), h.job.Copies, h.job.Keys.Trusted); len(found) != 0 || len(problems) != 3 {
		t.Errorf("found %v, problems %v", found, problems)
	}
	h.memories[2].Break(nil)
	if len(h.load(t, found).Refs()) != len(someEntities()) {
		t.Error("the one location left does not give all")
	}
}

func TestMissingPoint(t *testing.T) {
	h := newHouse(t, someEntities()...)
	h.take(t)
	remove(h.memories[2], "gwdr1/")
	h.find(t) // no problem to a restore
	v := verify(t, h, false)
	if v.Sound() || !v.Restorable() || len(v.Locations[2].Problems) != 6 { // point, pack, segment, repo.tar, README.txt, restore.sh
		t.Errorf("verification: %+v", v)
	}
}
