package backup_test

import (
	"bytes"
	"errors"
	"maps"
	"strings"
	"testing"

	"gwdr/backup"
	"gwdr/backup/backuptest"
	"gwdr/backup/tree"
	"gwdr/gateway"
)

// smallHouse has a repository with every kind of object: a point of packs, one by the log, an attestation.
func smallHouse(t testing.TB) (*house, *backup.Inspector) {
	t.Helper()
	h := newHouse(t, backuptest.Entity(gateway.Route, "orders", `{"path":"/orders/{id}"}`), backuptest.Entity(gateway.Key, "k1", `{"hash":"00"}`))
	h.take(t)
	h.source.Put(backuptest.Entity(gateway.Route, "parts", `{"path":"/parts"}`))
	h.source.Delete(gateway.Ref{Kind: gateway.Key, ID: "k1"})
	if r := h.take(t); r.Full {
		t.Fatal("the second point is not one by the log")
	}
	h.verifyWith(t, backup.VerifyOptions{All: true, Attest: true})
	inspector, err := backup.NewInspector(t.Context(), h.job.Copies, h.job.Keys)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(inspector.Objects()); n != 9 {
		t.Fatalf("%d objects, want 3 base files, a pack, 2 segments, 2 points, an attestation", n)
	}
	return h, inspector
}

func (h *house) verifyWith(t testing.TB, o backup.VerifyOptions) *backup.Verification {
	t.Helper()
	v, err := backup.Verify(t.Context(), h.job.Copies, h.job.Keys, o)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestEveryBit flips every bit of every object of a small repository at one location, one at a time, and then truncates
// every object to every length. It is read by the function by which Verify reads each object, and no other; TestEveryByte
// goes through the whole.
func TestEveryBit(t *testing.T) {
	t.Parallel()
	h, inspector := smallHouse(t)
	nas := h.memories[1]
	flips, cuts := 0, 0
	for _, object := range inspector.Objects() {
		whole := nas.Objects()[object]
		content := bytes.Clone(whole)
		nas.Set(object, content) // from here on the location has what is done to content
		for i := range content {
			for bit := range 8 {
				content[i] ^= 1 << bit
				if err := inspector.Inspect(t.Context(), nas, object); !errors.Is(err, backup.ErrIntegrity) {
					t.Errorf("%s: bit %d of byte %d: %v, want ErrIntegrity", object, bit, i, err)
				}
				content[i] ^= 1 << bit
				flips++
			}
		}
		for n := range whole {
			nas.Set(object, whole[:n])
			if err := inspector.Inspect(t.Context(), nas, object); !errors.Is(err, backup.ErrIntegrity) {
				t.Errorf("%s: of length %d: %v, want ErrIntegrity", object, n, err)
			}
			cuts++
		}
		nas.Set(object, whole)
		if err := inspector.Inspect(t.Context(), nas, object); err != nil {
			t.Errorf("%s: %v", object, err)
		}
	}
	t.Logf("%d bits flipped, %d truncations: all found", flips, cuts)
}

// TestEveryByte goes through the whole Verify with each byte of each object flipped, in one bit, at one location, and each
// object truncated to each length at another. To take less than an hour, a run has all objects damaged at once, at the same
// offset: each must be told of, each must be healed; and before that Load must give back the newest state, although it asks
// the damaged locations first.
func TestEveryByte(t *testing.T) {
	t.Parallel()
	h, inspector := smallHouse(t)
	whole, objects := h.memories[0].Objects(), inspector.Objects()
	longest := 0
	for _, object := range objects {
		longest = max(longest, len(whole[object]))
	}
	worst := []backup.Copy{h.job.Copies[1], h.job.Copies[2], h.job.Copies[0]}
	newest := h.find(t)[0]
	want := h.load(t, newest)
	identities := h.job.Keys.Identities
	h.job.Keys.Identities = nil // Load opens it
	flips, cuts := 0, 0
	for at := range longest {
		damaged := 0
		for _, object := range objects {
			if at < len(whole[object]) {
				content := bytes.Clone(whole[object])
				content[at] ^= 1 << (at % 8)
				h.memories[1].Set(object, content)
				h.memories[2].Set(object, whole[object][:at])
				damaged++
			}
		}
		state, _, err := backup.Load(t.Context(), newest, worst, identities)
		if err != nil || len(gateway.Diff(want, state)) > 0 {
			t.Fatalf("offset %d: Load = %v", at, err)
		}
		v := h.verifyWith(t, backup.VerifyOptions{All: true, Repair: true})
		if n := healed(v); !v.Sound() || n["nas"] != damaged || n["offsite"] != damaged || len(v.Repairs) != 2*damaged {
			t.Fatalf("offset %d: %d objects are damaged at 2 locations: %+v", at, damaged, v)
		}
		for i, m := range h.memories {
			if !maps.EqualFunc(whole, emptyQuarantine(m), bytes.Equal) {
				t.Fatalf("offset %d: location %d is not as it was", at, i)
			}
		}
		flips, cuts = flips+damaged, cuts+damaged
	}
	t.Logf("%d bytes flipped, %d truncations: all found, loaded around, healed, in %d runs", flips, cuts, longest)
}

// healed counts the objects that were healed at each location.
func healed(v *backup.Verification) map[string]int {
	n := map[string]int{}
	for _, r := range v.Repairs {
		if r.Healed {
			n[r.Copy]++
		}
	}
	return n
}

// emptyQuarantine removes what was moved out of the way, and returns the objects that are left.
func emptyQuarantine(m *backuptest.Memory) map[string][]byte {
	objects := m.Objects()
	for name := range objects {
		if strings.HasPrefix(name, tree.QuarantineDir) {
			m.Set(name, nil)
			delete(objects, name)
		}
	}
	return objects
}
