package process

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gwdr/fleet"
)

// newLocation makes a location of the lab with three backups, of which each has a pack of its own and one that all share.
func newLocation(t testing.TB, lab *Lab, name string) place {
	t.Helper()
	p := lab.dir.place(name, "test")
	put(t, p, placeID, []byte(name+"\n"))
	for i := range 3 {
		putPoint(t, p, i)
	}
	return p
}

const lineageOfTests = "gwdr1/0123456789abcdef0123456789abcdef"

// putPoint puts the backup of the day with that number.
func putPoint(t testing.TB, p place, i int) {
	t.Helper()
	putNamed(t, p, i, packName(99), packName(i))
}

func packName(n int) string { return strings.Repeat(fmt.Sprintf("%02d", n), 32) }

// putNamed puts a backup with the packs that it names.
func putNamed(t testing.TB, p place, i int, packs ...string) {
	t.Helper()
	var content pointFile
	content.Base.Seq, content.Log.Seq = uint64(i), uint64(i+1)
	for _, sha := range packs {
		content.Packs = append(content.Packs, struct {
			SHA256 string `json:"sha256"`
		}{sha})
		if path := fmt.Sprintf("%s/packs/%.2s/%s.tar.zst.age", lineageOfTests, sha, sha); !exists(filepath.Join(p.dir, path)) {
			put(t, p, path, bytes.Repeat([]byte(sha), 100))
		}
	}
	put(t, p, fmt.Sprintf("%s/log/%016x.tar", lineageOfTests, i+1), bytes.Repeat([]byte{'s', byte(i)}, 3000))
	text, err := json.Marshal(content)
	if err != nil {
		t.Fatal(err)
	}
	put(t, p, fmt.Sprintf("%s/points/2026010%dT000000Z-%016x-00000000.tar", lineageOfTests, i+1, i), pointOf(t, string(text)))
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// put puts an object as the driver does: never over another, read-only, with a time of its own.
func put(t testing.TB, p place, name string, content []byte) {
	t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o444); err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

// object is what of a file must come back.
type object struct {
	Content string
	Mode    fs.FileMode
	Time    time.Time
}

// inventory reads everything below the directory for locations, what is set aside too.
func inventory(t testing.TB, lab *Lab) map[string]object {
	t.Helper()
	all := map[string]object{}
	err := eachFile(lab.dir.locations(), func(name string) error {
		path := filepath.Join(lab.dir.locations(), name)
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := os.Stat(path)
		all[name] = object{string(content), info.Mode(), info.ModTime()}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func locationKinds() map[fleet.FaultKind]func(place, fleet.Fault) error {
	return map[fleet.FaultKind]func(place, fleet.Fault) error{
		fleet.LocationDeny: place.deny, fleet.LocationCorrupt: place.corrupt, fleet.LocationDelete: place.remove,
	}
}

func same(t *testing.T, lab *Lab, before map[string]object) {
	t.Helper()
	if diff := cmp.Diff(before, inventory(t, lab)); diff != "" {
		t.Errorf("locations are not what they were (-before +after):\n%.2000s", diff)
	}
}

// TestLocationsComeBackExactly: bytes, modes and times, and nothing is left beside them.
func TestLocationsComeBackExactly(t *testing.T) {
	lab := up(t, newOptions(t))
	newLocation(t, lab, "local")
	newLocation(t, lab, "nas")
	before := inventory(t, lab)
	for kind := range locationKinds() {
		u := injected(t, lab, "test", kind, fleet.Params{}, "nas")
		if cmp.Equal(before, inventory(t, lab)) {
			t.Errorf("%s changes nothing", kind)
		}
		if err := lab.Revert(t.Context(), u); err != nil {
			t.Fatal(err)
		}
		same(t, lab, before)
	}
}

// TestLocationsAreInstances only if somebody prepared them, and run if they can be listed.
func TestLocationsAreInstances(t *testing.T) {
	lab := up(t, newOptions(t))
	newLocation(t, lab, "nas")
	if err := os.MkdirAll(filepath.Join(lab.LocationsDir(), "unmounted"), 0o755); err != nil {
		t.Fatal(err)
	}
	locations := func() []fleet.Instance {
		all, err := lab.Instances(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return fleet.Selector{Role: fleet.Location}.Select(all)
	}
	want := []fleet.Instance{{ID: "nas", Role: fleet.Location, Running: true}}
	if diff := cmp.Diff(want, locations()); diff != "" {
		t.Errorf("locations (-want +got):\n%s", diff)
	}
	injected(t, lab, "test", fleet.LocationDeny, fleet.Params{}, "nas")
	want[0].Running = false
	if diff := cmp.Diff(want, locations()); diff != "" {
		t.Errorf("locations while one is denied (-want +got):\n%s", diff)
	}
	_, err := lab.Prepare(t.Context(), fleet.Fault{ID: "b", Kind: fleet.LocationDelete, Lease: time.Hour}, locations())
	if err == nil || !strings.Contains(err.Error(), "nas is down already, by fault test") {
		t.Errorf("another fault of a denied location: %v", err)
	}
	_, err = lab.Prepare(t.Context(), fleet.Fault{ID: "b", Kind: fleet.Kill, Lease: time.Hour}, locations())
	if !errors.Is(err, fleet.ErrUnsupported) {
		t.Errorf("a location can be killed: %v", err)
	}
}

// TestSupervisorDies leaves the fault: revert from the record alone mends it, and so does the next lab.
func TestSupervisorDies(t *testing.T) {
	for kind := range locationKinds() {
		t.Run(string(kind), func(t *testing.T) {
			o := newOptions(t)
			lab := up(t, o)
			newLocation(t, lab, "nas")
			before := inventory(t, lab)
			for _, next := range []bool{false, true} {
				u := injected(t, lab, "test", kind, fleet.Params{}, "nas")
				dead := lab.file.identity
				if err := syscall.Kill(dead.PID, syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
				until(t, "the end of the supervisor", func() bool { return !dead.Alive() })
				other := reopen(t, u)
				if next {
					lab = up(t, o)
				} else if left, err := other.Leftovers(t.Context()); err != nil || len(left) != 1 || left[0] != "test" {
					t.Errorf("leftovers %v, %v", left, err)
				}
				if err := other.Revert(t.Context(), u); err != nil {
					t.Fatal(err)
				}
				same(t, lab, before)
				if left, err := other.Leftovers(t.Context()); err != nil || len(left) > 0 {
					t.Errorf("leftovers %v, %v", left, err)
				}
				if !next {
					lab = up(t, o)
				}
			}
		})
	}
}

// TestOldRecordLeavesTheNextLabAlone: a fault of another lab has the same id.
func TestOldRecordLeavesTheNextLabAlone(t *testing.T) {
	o := newOptions(t)
	lab := up(t, o)
	newLocation(t, lab, "nas")
	old := injected(t, lab, "test", fleet.LocationDeny, fleet.Params{}, "nas")
	if err := lab.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
	next := up(t, o)
	u := injected(t, next, "test", fleet.LocationDelete, fleet.Params{}, "nas")
	other := reopen(t, old)
	if left, err := other.Leftovers(t.Context()); err != nil || len(left) > 0 {
		t.Errorf("leftovers %v, %v", left, err)
	}
	if err := other.Revert(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	if seen, err := next.Verify(t.Context(), u); err != nil {
		t.Errorf("the fault of the next lab is gone: %q, %v", seen, err)
	}
}

// TestWhatIsPutMeanwhileStays: a backup that is taken during the fault, a repair, and something in the way.
func TestWhatIsPutMeanwhileStays(t *testing.T) {
	packOf := func(n int) string {
		return fmt.Sprintf("%s/packs/%02d/%s.tar.zst.age", lineageOfTests, n, packName(n))
	}
	for _, kind := range []fleet.FaultKind{fleet.LocationCorrupt, fleet.LocationDelete} {
		lab := up(t, newOptions(t))
		p := newLocation(t, lab, "nas")
		whole, err := os.ReadFile(filepath.Join(p.dir, packOf(2)))
		if err != nil {
			t.Fatal(err)
		}
		u := injected(t, lab, "test", kind, fleet.Params{}, "nas")
		for _, name := range []string{packOf(2), packOf(99)} { // the first is healed, the second is replaced by who knows what
			if err := os.Remove(filepath.Join(p.dir, name)); err != nil && kind == fleet.LocationCorrupt {
				t.Fatal(err)
			}
		}
		putPoint(t, p, 7)
		if err := os.Remove(filepath.Join(p.dir, packOf(99))); err != nil {
			t.Fatal(err)
		}
		put(t, p, packOf(2), whole)
		put(t, p, packOf(99), []byte("newer"))
		during := inventory(t, lab)
		if err := lab.Revert(t.Context(), u); err != nil {
			t.Fatal(err)
		}
		after := inventory(t, lab)
		for _, name := range []string{packOf(7), packOf(99), packOf(2), fmt.Sprintf("%s/points/20260108T000000Z-%016x-00000000.tar", lineageOfTests, 7)} {
			if diff := cmp.Diff(during["nas/"+name], after["nas/"+name]); diff != "" || during["nas/"+name].Content == "" {
				t.Errorf("%s: %s, put during the fault, is not what it was:\n%.300s", kind, name, diff)
			}
		}
		if aside := after["nas/"+quarantine+"/"+packOf(99)+".before-test"]; !strings.HasPrefix(aside.Content, "9999") {
			t.Errorf("%s: what was in the way is lost: %.20q", kind, aside.Content)
		}
	}
}

// TestDeniedWriterLosesNothing: what is in the middle of a write is not finished, and is not in the location afterwards.
func TestDeniedWriterLosesNothing(t *testing.T) {
	lab := up(t, newOptions(t))
	p := newLocation(t, lab, "nas")
	temp := filepath.Join(p.dir, ".gwdr-temp", "x")
	put(t, p, ".gwdr-temp/x", nil)
	out, err := os.OpenFile(temp, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	u := injected(t, lab, "test", fleet.LocationDeny, fleet.Params{}, "nas")
	if _, err := out.WriteString("half"); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"link":  os.Link(temp, filepath.Join(p.dir, "gwdr1", "new")),
		"mkdir": os.MkdirAll(filepath.Join(p.dir, "gwdr1", "x"), 0o755),
		"init":  os.WriteFile(filepath.Join(p.dir, placeID), nil, 0o600),
	} {
		if !errors.Is(err, syscall.ENOTDIR) {
			t.Errorf("%s in a denied location: %v", what, err)
		}
	}
	if err := lab.Revert(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(p.dir, "gwdr1", "new")); err == nil {
		t.Error("what was never put is there")
	}
}
