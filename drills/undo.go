package drills

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"gwdr/fleet"
)

// undoLog keeps undo records safe before their faults are injected: undo.jsonl.
type undoLog struct {
	file *os.File
	mu   sync.Mutex
	torn error // of the record that could not be kept: what would follow it, on its line, nobody could read
}

func createUndoLog(dir string) (*undoLog, error) {
	f, err := os.OpenFile(filepath.Join(dir, UndoFile), os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create undo log: %w", err)
	}
	return &undoLog{file: f}, syncDir(dir)
}

// append returns when the record is safe on disk. After one that is not, there are no more.
func (l *undoLog) append(u fleet.Undo) error {
	line, err := json.Marshal(u)
	if err != nil {
		return fmt.Errorf("write undo record %s: %w", u.Fault.ID, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.torn != nil {
		return fmt.Errorf("write undo record %s: the record before it was not kept: %w", u.Fault.ID, l.torn)
	}
	if _, err = l.file.Write(append(line, '\n')); err == nil {
		err = l.file.Sync()
	}
	if err != nil {
		l.torn = err
		return fmt.Errorf("write undo record %s: %w", u.Fault.ID, err)
	}
	return nil
}

func (l *undoLog) close() error { return l.file.Close() }

// DamageError says that lines of a run's undo log cannot be read. What they would have undone nobody knows.
type DamageError struct {
	Dir   string // of the run
	Lines []int  // from 1
}

// Error names the lines.
func (e *DamageError) Error() string {
	return fmt.Sprintf("%s: damaged in line %s: what it would have undone is not known", filepath.Join(e.Dir, UndoFile),
		strings.Trim(fmt.Sprint(e.Lines), "[]"))
}

// readUndos returns a run's undo records, oldest first. A torn last line belongs to a fault that was not injected. With a
// DamageError the records that can be read are returned too.
func readUndos(dir string) ([]fleet.Undo, error) {
	b, err := os.ReadFile(filepath.Join(dir, UndoFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("read undo log: %w", err)
	}
	var undos []fleet.Undo
	var damaged []int
	number := 0
	for line := range bytes.Lines(b[:bytes.LastIndexByte(b, '\n')+1]) {
		number++
		var u fleet.Undo
		if err := json.Unmarshal(line, &u); err != nil || u.Fault.ID == "" {
			damaged = append(damaged, number)
			continue
		}
		undos = append(undos, u)
	}
	if len(damaged) > 0 {
		return undos, &DamageError{Dir: dir, Lines: damaged}
	}
	return undos, nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
