package backuptest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"gwdr/backup"
)

// checkTests checks that Probe tried what it must, and calls nothing immutable of which every attempt got through.
func checkTests(t *testing.T, c backup.Capabilities) {
	t.Helper()
	if len(c.Tests) == 0 {
		return
	}
	tried := map[string]bool{}
	denied, allowed := 0, 0
	for _, test := range c.Tests {
		tried[test.What] = true
		switch {
		case test.What == "lock":
		case test.Denied:
			denied++
		default:
			allowed++
		}
	}
	if !tried["overwrite"] || !tried["delete"] && !tried["delete-version"] {
		t.Errorf("Probe tried %v, want overwrite and a deletion", c.Tests)
	}
	if c.Immutable && denied == 0 || !c.Immutable && allowed == 0 {
		t.Errorf("Probe says immutable %v after %v", c.Immutable, c.Tests)
	}
}

// remover returns the location as one that can delete. Where the store does not let it, all has to stay as it is, and there
// is no more to test.
func remover(t *testing.T, l backup.Location) (backup.Remover, bool) {
	remover, ok := l.(backup.Remover)
	if !ok {
		return nil, false
	}
	mustPut(t, l, "gwdr1/trial", "content")
	if remover.Remove(t.Context(), "gwdr1/trial") == nil {
		return remover, true
	}
	wantContent(t, l, "gwdr1/trial", "content")
	return nil, false
}

// remove checks a location that can delete: nothing is left of the object, and all is left of the others.
func remove(t *testing.T, l backup.Location) {
	remover, ok := remover(t, l)
	if !ok {
		return
	}
	mustPut(t, l, "gwdr1/a/one", "content")
	mustPut(t, l, "gwdr1/a/one and more", "other")
	for range 2 { // the second finds nothing, and is done
		if err := remover.Remove(t.Context(), "gwdr1/a/one"); err != nil {
			t.Fatalf("Remove: %v", err)
		}
	}
	if names := mustList(t, l, ""); len(names) != 1 {
		t.Errorf("List() = %v, want the other object alone", names)
	}
	wantContent(t, l, "gwdr1/a/one and more", "other")
	if err := remover.Remove(t.Context(), "gwdr1/a/one and more"); err != nil {
		t.Fatalf("Remove: %v", err)
	}
	wantNothing(t, l, "gwdr1/a/one and more")
	if err := remover.Remove(t.Context(), "gwdr1/none/none"); err != nil {
		t.Errorf("Remove where there was never anything: %v", err)
	}
	mustPut(t, l, "gwdr1/a/one", "new")
	wantContent(t, l, "gwdr1/a/one", "new")
	for _, name := range []string{"", ".", "gwdr1/../x", ".gwdr-location"} {
		if err := remover.Remove(t.Context(), name); err == nil {
			t.Errorf("Remove(%q) succeeded", name)
		}
	}
}

// listChanging checks that what comes and goes, as a canary does, does not keep anybody from seeing what stays.
func listChanging(t *testing.T, l backup.Location) {
	remover, ok := remover(t, l)
	if !ok {
		return
	}
	mustPut(t, l, "gwdr1/stays", "content")
	ctx, stop := context.WithCancel(t.Context())
	var flicker sync.WaitGroup
	defer flicker.Wait()
	defer stop()
	for i := range 4 {
		name := fmt.Sprint("gwdr1/", i, "/goes")
		flicker.Go(func() {
			for ctx.Err() == nil {
				if err := errors.Join(put(t.Context(), l, name, "content"), remover.Remove(t.Context(), name)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 100 {
		if names := mustList(t, l, "gwdr1/"); !slices.Contains(names, "gwdr1/stays 7") {
			t.Errorf("List() = %v, want what stays", names)
		}
	}
}

// quarantine checks a location that can move objects out of the way: their names are free again, as often as need be. Where
// it cannot, or must not, all stays as it is.
func quarantine(t *testing.T, l backup.Location) {
	quarantiner, ok := l.(backup.Quarantiner)
	if !ok {
		return
	}
	moved := map[string]bool{}
	for i := range 3 {
		mustPut(t, l, "gwdr1/a", fmt.Sprint("damaged ", i))
		to, err := quarantiner.Quarantine(t.Context(), "gwdr1/a")
		if err != nil {
			wantContent(t, l, "gwdr1/a", "damaged 0")
			if _, removes := remover(t, l); removes && !errors.Is(err, errors.ErrUnsupported) {
				t.Fatalf("Quarantine: %v", err)
			}
			return
		}
		if moved[to] || to == "" || strings.HasPrefix(to, "gwdr1/") {
			t.Errorf("Quarantine moved it to %q, want a new name outside of gwdr1/", to)
		}
		moved[to] = true
		wantNothing(t, l, "gwdr1/a")
	}
	mustPut(t, l, "gwdr1/a", "content")
	wantContent(t, l, "gwdr1/a", "content")
	if _, err := quarantiner.Quarantine(t.Context(), "gwdr1/none"); !errors.Is(err, backup.ErrNotExist) {
		t.Errorf("Quarantine of nothing = %v, want ErrNotExist", err)
	}
}
