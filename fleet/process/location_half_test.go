package process

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"gwdr/fleet"
)

// newPlace is a location without a lab.
func newPlace(t testing.TB) (*Lab, place) {
	t.Helper()
	lab := &Lab{dir: layout(t.TempDir())}
	return lab, newLocation(t, lab, "nas")
}

// TestHalfAnInjectionIsMended: an injection that ended anywhere, and a mending that did.
func TestHalfAnInjectionIsMended(t *testing.T) {
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	corrupted := func(p place) { must(p.corrupt(fleet.Fault{ID: "test"})) }
	denied := func(p place) { must(p.deny(fleet.Fault{ID: "test"})) }
	points := lineageOfTests + "/points"
	for name, half := range map[string]func(place){
		"nothing was done":              func(place) {},
		"a denial that is not in place": func(p place) { must(writeSynced(p.kept(), []byte("denied"))) },
		"denied":                        denied,
		"let in, and not cleaned up": func(p place) {
			denied(p)
			must(exchange(p.dir, p.kept()))
		},
		"kept, and not damaged": func(p place) {
			corrupted(p)
			must(p.putBack())
			must(os.RemoveAll(p.kept()))
			must(os.MkdirAll(filepath.Join(p.kept(), points), 0o700))
			must(eachFile(filepath.Join(p.dir, points), func(name string) error {
				return os.Link(filepath.Join(p.dir, points, name), filepath.Join(p.kept(), points, name))
			}))
		},
		"a copy on its way": func(p place) {
			corrupted(p)
			must(os.WriteFile(p.next(), []byte("half"), 0o600))
		},
		"damaged in part": func(p place) {
			corrupted(p)
			first := true
			must(eachFile(p.kept(), func(name string) error {
				if first {
					first = false
					return p.putBackOne(name)
				}
				return nil
			}))
		},
		"deleted in part": func(p place) {
			must(p.remove(fleet.Fault{}))
			must(eachFile(filepath.Join(p.kept(), points), func(name string) error {
				return os.Rename(filepath.Join(p.kept(), points, name), filepath.Join(p.dir, points, name))
			}))
		},
		"put back, and not cleaned up": func(p place) {
			must(p.remove(fleet.Fault{}))
			must(p.putBack())
		},
	} {
		t.Run(name, func(t *testing.T) {
			lab, p := newPlace(t)
			before := inventory(t, lab)
			must(p.openAside())
			half(p)
			for range 2 {
				if found, err := lab.dir.mendPlaces(); err != nil {
					t.Fatal(found, err)
				}
				same(t, lab, before)
			}
		})
	}
}

// TestSupervisorDiesInTheMiddle kills it while it breaks a location of 1,000 objects.
func TestSupervisorDiesInTheMiddle(t *testing.T) {
	for kind := range locationKinds() {
		t.Run(string(kind), func(t *testing.T) {
			lab := up(t, newOptions(t))
			p := newLocation(t, lab, "nas")
			fillPlace(t, p, 1000)
			before := inventory(t, lab)
			u := prepared(t, lab, "test", kind, fleet.Params{}, "nas")
			over := make(chan error)
			go func() { over <- lab.Inject(context.Background(), u) }()
			until(t, "something is set aside", func() bool {
				_, err := os.Lstat(p.kept())
				return err == nil
			})
			if err := syscall.Kill(lab.file.PID, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			t.Logf("the injection came to: %v", <-over)
			until(t, "the end of the supervisor", func() bool { return !lab.file.Alive() })
			if err := reopen(t, u).Revert(t.Context(), u); err != nil {
				t.Fatal(err)
			}
			same(t, lab, before)
		})
	}
}

// fillPlace puts a backup of so many packs.
func fillPlace(t testing.TB, p place, packs int) {
	t.Helper()
	names := make([]string, packs)
	for i := range names {
		names[i] = fmt.Sprintf("%02d%062d", i%90, i)
	}
	putNamed(t, p, 8, names...)
}

// BenchmarkLocationOf1000 injects and mends each kind at a location of 1,000 objects.
func BenchmarkLocationOf1000(b *testing.B) {
	for kind, inject := range locationKinds() {
		b.Run(string(kind), func(b *testing.B) {
			lab, p := newPlace(b)
			fillPlace(b, p, 1000)
			for b.Loop() {
				if err := p.openAside(); err != nil {
					b.Fatal(err)
				}
				if err := inject(p, fleet.Fault{ID: "test"}); err != nil {
					b.Fatal(err)
				}
				if err := lab.dir.mendPlace(p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
