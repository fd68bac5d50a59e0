package exec

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"gwdr/fleet"
)

// mark is a file that says a fault is in effect. It is safe on disk before the injection, and goes after the revert.
type mark struct {
	Undo     fleet.Undo `json:"undo"`
	Injected bool       `json:"injected"` // the command inject has ended
}

const markSuffix = ".json"

// errMarked says that the fault's id is taken.
var errMarked = errors.New("it is already in effect")

func markFile(state, fault string) string { return filepath.Join(state, fault+markSuffix) }

// mark says that the fault is about to be in effect.
func (f *Fleet) mark(u fleet.Undo, data undoData) error {
	if err := os.MkdirAll(data.State, 0o700); err != nil {
		return fmt.Errorf("mark: %w", err)
	}
	path := markFile(data.State, u.Fault.ID)
	fresh, err := writeMark(path, mark{Undo: u})
	if err != nil {
		return fmt.Errorf("mark: %w", err)
	}
	defer os.Remove(fresh)
	if err := os.Link(fresh, path); errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: %s says so", errMarked, path)
	} else if err != nil {
		return fmt.Errorf("mark: %w", err)
	}
	return syncDir(data.State)
}

// markInjected says that the injection is over, for better or worse.
func (f *Fleet) markInjected(u fleet.Undo, data undoData) error {
	m, err := f.marked(u.Fault.ID, data)
	if err != nil {
		return err
	}
	m.Injected = true
	path := markFile(data.State, u.Fault.ID)
	fresh, err := writeMark(path, m)
	if err == nil {
		err = os.Rename(fresh, path)
	}
	if err != nil {
		return fmt.Errorf("mark: %w", err)
	}
	return syncDir(data.State)
}

// writeMark writes a file beside path.
func writeMark(path string, m mark) (string, error) {
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

// marked returns the fault's mark, and an error unless it is there and of this preparation.
func (f *Fleet) marked(fault string, data undoData) (mark, error) {
	m, err := readMark(markFile(data.State, fault))
	if errors.Is(err, fs.ErrNotExist) || err == nil && m.nonce() != data.Nonce {
		return mark{}, errors.New("the fault is not in effect any more")
	}
	return m, err
}

func readMark(path string) (m mark, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return m, fmt.Errorf("read %s: %w", path, err)
	}
	return m, nil
}

func (m mark) nonce() string {
	data, err := decodeUndo(m.Undo)
	if err != nil {
		return ""
	}
	return data.Nonce
}

// unmark takes the fault's mark away, unless it is that of another.
func (f *Fleet) unmark(fault string, data undoData) error {
	path := markFile(data.State, fault)
	m, err := readMark(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && m.nonce() != data.Nonce {
		return nil
	}
	if err == nil {
		err = os.Remove(path)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("fault %s is reverted, but %s still says that it is in effect: %w", fault, path, err)
	}
	return syncDir(data.State)
}

// marks lists the faults that are marked, by id. One that cannot be read counts, too.
func (f *Fleet) marks() ([]string, error) {
	entries, err := os.ReadDir(f.options.State)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var ids []string
	for _, e := range entries {
		if id, ok := strings.CutSuffix(e.Name(), markSuffix); ok && faultPattern.MatchString(id) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids, err
}

// lock keeps two processes from breaking and mending at the same time: the drill and its guard. It is given up after a while:
// a drill that was stopped must not keep its guard from reverting.
func (f *Fleet) lock(ctx context.Context, data undoData) (unlock func(), err error) {
	file, err := os.OpenFile(filepath.Join(data.State, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrNotExist) { // no state: nobody else is there
		return func() {}, nil
	} else if err != nil {
		return nil, err
	}
	for until := time.Now().Add(data.Commands.Timeout); ; {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return func() { file.Close() }, nil
		case !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR):
			file.Close()
			return nil, fmt.Errorf("lock %s: %w", data.State, err)
		case time.Now().After(until):
			f.options.Log.Warn("another process has been at work on the fleet for long; not waited for it", "fleet", data.Fleet)
			return func() { file.Close() }, nil
		}
		select {
		case <-ctx.Done():
			file.Close()
			return nil, fmt.Errorf("another process is at work on fleet %s: %w", data.Fleet, context.Cause(ctx))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
