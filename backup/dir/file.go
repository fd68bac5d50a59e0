package dir

import (
	"errors"
	"os"
	"path/filepath"
)

// mkdirSync makes the directory and those above it, each durable in its parent.
func mkdirSync(dir string) error {
	err := os.Mkdir(dir, 0o755)
	switch {
	case err == nil:
		return syncDir(filepath.Dir(dir))
	case errors.Is(err, os.ErrExist):
		return nil // what is no directory fails at its first use
	case errors.Is(err, os.ErrNotExist):
		if err := mkdirSync(filepath.Dir(dir)); err != nil {
			return err
		}
		return mkdirSync(dir)
	}
	return err
}

// syncDir makes names in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
