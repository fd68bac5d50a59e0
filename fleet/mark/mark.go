// Package mark keeps the marks of a fleet: files that say which faults are in effect, for drivers whose far end cannot say so. A
// mark is safe on disk before the injection, and goes after the revert.
package mark

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gwdr/fleet"
)

// Mark says that a fault is in effect, or about to be.
type Mark struct {
	Undo     fleet.Undo      `json:"undo"`
	Injected bool            `json:"injected"`       // the injection is over, for better or worse
	Note     json.RawMessage `json:"note,omitempty"` // what the driver learned by the injection
}

// Dir holds the marks of one fleet: FAULT.json.
type Dir struct {
	Path  string                    // absolute; made when it is needed
	Nonce func(u fleet.Undo) string // of the preparation that u is from: ids of faults are used again; "" if nobody prepared it
}

// ErrTaken says that a fault of that id is in effect.
var ErrTaken = errors.New("it is already in effect")

// ErrGone says that the fault has no mark: it is not in effect any more, or was never injected.
var ErrGone = errors.New("the fault is not in effect any more")

const suffix = ".json"

// File is where the mark of a fault is.
func (d Dir) File(fault string) string { return filepath.Join(d.Path, fault+suffix) }

// Put says that the fault is about to be in effect. The error wraps ErrTaken if one of its id is.
func (d Dir) Put(u fleet.Undo) error {
	if err := os.MkdirAll(d.Path, 0o700); err != nil {
		return fmt.Errorf("mark: %w", err)
	}
	path := d.File(u.Fault.ID)
	fresh, err := write(path, Mark{Undo: u})
	if err != nil {
		return fmt.Errorf("mark: %w", err)
	}
	defer os.Remove(fresh)
	if err := os.Link(fresh, path); errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: %s says so", ErrTaken, path)
	} else if err != nil {
		return fmt.Errorf("mark: %w", err)
	}
	return syncDir(d.Path)
}

// Injected says that the injection is over, and what was learned by it.
func (d Dir) Injected(u fleet.Undo, note json.RawMessage) error {
	m, err := d.Get(u)
	if err != nil {
		return err
	}
	m.Injected, m.Note = true, note
	path := d.File(u.Fault.ID)
	fresh, err := write(path, m)
	if err == nil {
		err = os.Rename(fresh, path)
	}
	if err != nil {
		return fmt.Errorf("mark: %w", err)
	}
	return syncDir(d.Path)
}

// write writes a file beside path.
func write(path string, m Mark) (string, error) {
	text, err := json.Marshal(m)
	if err != nil {
		return "", err
	}
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return "", err
	}
	_, err = file.Write(append(text, '\n'))
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		os.Remove(file.Name())
	}
	return file.Name(), err
}

// Get returns the fault's mark. The error is ErrGone if it is not there, or of another preparation.
func (d Dir) Get(u fleet.Undo) (Mark, error) {
	m, err := read(d.File(u.Fault.ID))
	if errors.Is(err, fs.ErrNotExist) || err == nil && d.Nonce(m.Undo) != d.Nonce(u) {
		return Mark{}, ErrGone
	}
	return m, err
}

func read(path string) (m Mark, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return m, fmt.Errorf("read %s: %w", path, err)
	}
	return m, nil
}

// Remove takes the fault's mark away, unless it is that of another preparation.
func (d Dir) Remove(u fleet.Undo) error {
	path := d.File(u.Fault.ID)
	_, err := d.Get(u)
	if errors.Is(err, ErrGone) {
		return nil
	}
	if err == nil {
		err = os.Remove(path)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("fault %s is reverted, but %s still says that it is in effect: %w", u.Fault.ID, path, err)
	}
	return syncDir(d.Path)
}

// List returns the faults that are marked, by id. One that cannot be read counts, too.
func (d Dir) List() ([]string, error) {
	entries, err := os.ReadDir(d.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var ids []string
	for _, e := range entries {
		if id, ok := strings.CutSuffix(e.Name(), suffix); ok && fleet.IsFaultID(id) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids, err
}

// All returns the marks that can be read.
func (d Dir) All() ([]Mark, error) {
	ids, err := d.List()
	var all []Mark
	for _, id := range ids {
		m, err := read(d.File(id))
		if errors.Is(err, fs.ErrNotExist) { // it went meanwhile
			continue
		} else if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	return all, err
}

// Has reports whether there is a mark of the fault, of whatever preparation.
func (d Dir) Has(fault string) bool {
	_, err := os.Lstat(d.File(fault))
	return err == nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
