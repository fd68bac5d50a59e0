package process

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"gwdr/fleet"
)

// place is one location of the lab's backups, a directory that outlives the lab, with what a fault has set aside of it.
type place struct {
	dir   string // the location
	aside string // a directory beside it; there is none if there is no fault
}

// beforeFault stands between the name of a location and the id of a fault in the name of what is set aside.
const beforeFault = ".before-"

// placeID is the file at the top of a location that tells it from an empty directory.
const placeID = ".gwdr-location"

func (d layout) place(name, fault string) place {
	dir := filepath.Join(d.locations(), name)
	return place{dir: dir, aside: dir + beforeFault + fault}
}

// kept is what the location had before the fault: the whole of it, or files by their names in it.
func (p place) kept() string { return filepath.Join(p.aside, "kept") }

// damaged is what a fault put in the place of files that are kept.
func (p place) damaged() string { return filepath.Join(p.aside, "damaged") }

// next is a file on its way to its name in the location, so that nobody sees half of it.
func (p place) next() string { return filepath.Join(p.aside, "next") }

func (p place) name() string { return filepath.Base(p.dir) }

// listable says why nobody can list the location.
func (p place) listable() error {
	if _, err := os.Stat(filepath.Join(p.dir, placeID)); err != nil {
		return err
	}
	_, err := os.ReadDir(p.dir)
	return err
}

// openAside makes the directory for what is set aside, durably.
func (p place) openAside() error {
	return errors.Join(os.Mkdir(p.aside, 0o700), syncDir(filepath.Dir(p.aside)))
}

// places lists the locations as instances: one runs if it can be listed.
func (d layout) places() ([]Process, error) {
	held, names, err := d.readPlaces()
	if err != nil {
		return nil, err
	}
	var all []Process
	for _, name := range names {
		err := d.place(name, "").listable()
		if errors.Is(err, fs.ErrNotExist) && held[name] == "" {
			continue // somebody's directory; no location
		}
		p := Process{Instance: fleet.Instance{ID: name, Role: fleet.Location, Running: err == nil}, Ports: []string{}}
		if !p.Running {
			p.Fault = held[name]
		}
		all = append(all, p)
	}
	return all, nil
}

// readPlaces returns what may be locations, by name, and the fault that has set something aside, by the name of its location.
func (d layout) readPlaces() (held map[string]string, names []string, err error) {
	entries, err := os.ReadDir(d.locations())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("list locations: %w", err)
	}
	held, all := map[string]string{}, map[string]bool{}
	for _, e := range entries {
		name, fault, aside := strings.Cut(e.Name(), beforeFault)
		if aside {
			held[name] = fault
		}
		all[name] = !strings.HasPrefix(name, ".")
	}
	maps.DeleteFunc(all, func(_ string, visible bool) bool { return !visible })
	return held, slices.Sorted(maps.Keys(all)), nil
}

// mendPlaces ends every fault of a location, whoever injected it: no lab is running, or none has begun. It reports whether there
// was any.
func (d layout) mendPlaces() (found bool, err error) {
	held, _, err := d.readPlaces()
	for name, fault := range held {
		err = errors.Join(err, d.mendPlace(d.place(name, fault)))
	}
	return len(held) > 0, err
}

// mendPlace makes a location as it was. Several processes may come to that at once: the guard of a drill, somebody who reverts by
// hand, another lab in the directory.
func (d layout) mendPlace(p place) error {
	lock, err := os.Open(d.locations())
	if errors.Is(err, fs.ErrNotExist) {
		return nil // nothing is left, neither of the fault nor of what it broke
	}
	if err != nil {
		return fmt.Errorf("mend location %s: %w", p.name(), err)
	}
	defer lock.Close()
	ctx, cancel := context.WithTimeout(context.Background(), mendWithin)
	defer cancel()
	err = poll(ctx, "wait until nobody else mends it", func() error {
		return syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	})
	if err == nil {
		err = p.mend()
	}
	if err != nil {
		return fmt.Errorf("mend location %s: %w", p.name(), err)
	}
	return nil
}

// mendWithin is how long another process may be at it: it may have been stopped.
const mendWithin = 20 * time.Second

// leftAlone says which of the locations no fault touches: where copies are left.
func (d layout) leftAlone() string {
	all, err := d.places()
	held, _, heldErr := d.readPlaces()
	if err := errors.Join(err, heldErr); err != nil {
		return err.Error()
	}
	var names []string
	for _, p := range all {
		if p.Running && held[p.ID] == "" {
			names = append(names, p.ID)
		}
	}
	if len(names) == 0 {
		return fmt.Sprintf("none of %d locations is left alone", len(all))
	}
	return fmt.Sprintf("%d of %d locations are left alone: %s", len(names), len(all), strings.Join(names, ", "))
}
