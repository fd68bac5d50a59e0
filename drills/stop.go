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

// StopAll puts a STOP file into the evidence directory: it aborts every drill there, and blocks new ones until Lift. It reports
// whether there was none before.
func StopAll(evidence string) (fresh bool, err error) {
	if err := os.MkdirAll(evidence, 0o700); err != nil {
		return false, fmt.Errorf("stop drills: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(evidence, stopFile), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	} else if err != nil {
		return false, fmt.Errorf("stop drills: %w", err)
	}
	return true, errors.Join(f.Close(), syncDir(evidence))
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

// stopped reports whether somebody put a STOP file into the evidence directory.
func stopped(evidence string) bool {
	_, err := os.Lstat(filepath.Join(evidence, stopFile))
	return err == nil
}
