package drills

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// StopError says that somebody put a STOP file there: it blocks all drills.
type StopError struct{ Path string }

// Error names the file.
func (e *StopError) Error() string { return e.Path + " blocks all drills" }

// The modes of a STOP file: one that whoever made it means to remove, which no umask makes of a file that was touched by hand, and
// one that stays.
const (
	passingStop = fs.FileMode(0o400)
	stayingStop = fs.FileMode(0o644)
)

// StopAll puts a STOP file into the evidence directory: it aborts every drill there, and blocks new ones. One that does not stay,
// LiftPassing removes; one that is there becomes one that stays, if it is to.
func StopAll(evidence string, stay bool) error {
	if err := os.MkdirAll(evidence, 0o700); err != nil {
		return fmt.Errorf("stop drills: %w", err)
	}
	mode, path := passingStop, filepath.Join(evidence, stopFile)
	if stay {
		mode = stayingStop
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	switch {
	case errors.Is(err, fs.ErrExist) && stay:
		err = os.Chmod(path, stayingStop)
		if errors.Is(err, fs.ErrNotExist) { // lifted by whoever made it
			return StopAll(evidence, stay)
		}
	case errors.Is(err, fs.ErrExist):
		return nil
	case err == nil:
		err = errors.Join(f.Close(), syncDir(evidence))
	}
	if err != nil {
		return fmt.Errorf("stop drills: %w", err)
	}
	return nil
}

// LiftPassing removes a STOP file that was not to stay, and reports whether there is one that stays.
func LiftPassing(evidence string) (blocked bool, err error) {
	info, err := os.Lstat(filepath.Join(evidence, stopFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return true, fmt.Errorf("lift stop: %w", err)
	case info.Mode() != passingStop:
		return true, nil
	}
	_, err = Lift(evidence)
	return err != nil, err
}

// Lift removes the STOP file, and reports whether there was one.
func Lift(evidence string) (there bool, err error) {
	err = os.Remove(filepath.Join(evidence, stopFile))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	} else if err != nil {
		return false, fmt.Errorf("lift stop: %w", err)
	}
	return true, nil
}

// stopped reports whether somebody put a STOP file into the evidence directory. Where nobody can tell, there is one.
func stopped(evidence string) bool {
	_, err := os.Lstat(filepath.Join(evidence, stopFile))
	return !errors.Is(err, fs.ErrNotExist)
}
