package process

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gwdr/fleet"
)

// newStore makes a directory with files as databases have them: mostly empty.
func newStore(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	log := make([]byte, 20*block+100)
	for i := range 5000 {
		log[i] = byte(i)
	}
	log[len(log)-1] = 1
	for name, content := range map[string][]byte{"a/log": log, "a/b/db": bytes.Repeat([]byte("content"), 3000), "reserved": make([]byte, 3*block), "empty": nil} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func files(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	for _, name := range []string{"a/log", "a/b/db", "reserved", "empty"} {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		all[name] = content
	}
	return all
}

func TestCopyTreeIsExact(t *testing.T) {
	from, to := newStore(t), filepath.Join(t.TempDir(), "copy")
	if err := copyTree(from, to); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(files(t, from), files(t, to)); diff != "" {
		t.Errorf("copy differs (-from +to):\n%s", diff)
	}
	if err := copyTree(from, to); err == nil {
		t.Error("a copy was written over")
	}
	if err := os.Symlink("reserved", filepath.Join(from, "link")); err != nil {
		t.Fatal(err)
	}
	if err := copyTree(from, to+"2"); err == nil {
		t.Error("a link was copied as if it were a file")
	}
}

func TestDamageFollowsFromCopyAndSeed(t *testing.T) {
	copied, store := newStore(t), newStore(t)
	plan := func(with fleet.Params) damage {
		d, err := planDamage(copied, fleet.Fault{With: with})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	d, again, other := plan(fleet.Params{Seed: 7}), plan(fleet.Params{Seed: 7}), plan(fleet.Params{Seed: 8})
	if len(d.flips) != bitFlips || len(d.cuts) != 0 || d.left(store) != 0 {
		t.Fatalf("%d flips, %d cuts, %d in a store that is whole", len(d.flips), len(d.cuts), d.left(store))
	}
	if err := d.apply(store); err != nil {
		t.Fatal(err)
	}
	if n := again.left(store); n != bitFlips {
		t.Errorf("who knows copy and seed sees %d of %d flips", n, bitFlips)
	}
	if n := other.left(store); n == bitFlips {
		t.Error("the seed makes no difference")
	}
	before, after := files(t, copied), files(t, store)
	bits := 0
	for name := range before {
		for i, b := range before[name] {
			if x := b ^ after[name][i]; x != 0 {
				bits++
				if b == 0 || x&(x-1) != 0 {
					t.Errorf("%s: byte %d is %#x, was %#x", name, i, after[name][i], b)
				}
			}
		}
	}
	if bits != bitFlips {
		t.Errorf("%d bytes differ, want %d", bits, bitFlips)
	}
}

func TestTruncateCutsWhatIsWritten(t *testing.T) {
	copied, store := newStore(t), newStore(t)
	d, err := planDamage(copied, fleet.Fault{With: fleet.Params{Mode: modeTruncate}})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.apply(store); err != nil {
		t.Fatal(err)
	}
	if n := d.left(store); n != 2 || d.left(copied) != 0 {
		t.Errorf("%d files are cut, want 2: those that hold anything", n)
	}
	if got := files(t, store); len(got["a/b/db"]) != 3*block || len(got["reserved"]) != 3*block {
		t.Errorf("db has %d bytes, reserved %d", len(got["a/b/db"]), len(got["reserved"]))
	}
}

func TestCorruptedStoreComesBack(t *testing.T) {
	for _, mode := range []string{"flip", modeTruncate} {
		t.Run(mode, func(t *testing.T) {
			lab := up(t, newOptions(t))
			before := content(t, lab)
			u := injected(t, lab, "test", fleet.StoreCorrupt, fleet.Params{Mode: mode, Seed: 1}, "us-east-control")
			if damaged := content(t, lab); damaged == before {
				t.Error("the store is as it was")
			}
			if err := lab.Revert(t.Context(), u); err != nil {
				t.Fatal(err)
			}
			if after := content(t, lab); after != before {
				t.Errorf("store is another one after the revert: %q, not %q", after, before)
			}
			nothingAside(t, lab)
		})
	}
}

func TestStoreRestoredWhileCorruptedStays(t *testing.T) {
	lab := up(t, newOptions(t))
	u := injected(t, lab, "test", fleet.StoreCorrupt, fleet.Params{}, "us-east-control")
	resp, err := http.Post(lab.ControlURL("us-east")+"/v1/apply", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	restored := content(t, lab)
	if err := lab.Revert(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	if after := content(t, lab); after != restored {
		t.Errorf("store holds %q after the revert, not %q", after, restored)
	}
	nothingAside(t, lab)
}
