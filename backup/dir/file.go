package dir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// mkdirSync makes the directory and those above it, each durable in its parent.
func mkdirSync(dir string) error {
	err := os.Mkdir(dir, 0o755)
	if errors.Is(err, os.ErrNotExist) {
		if err := mkdirSync(filepath.Dir(dir)); err != nil {
			return err
		}
		err = os.Mkdir(dir, 0o755)
	}
	if errors.Is(err, os.ErrExist) {
		return present(dir)
	}
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(dir))
}

// present wants something there, and not only a link that leads nowhere, such as one to a disk that is not mounted. What is
// no directory fails at its first use.
func present(dir string) error {
	_, err := os.Stat(dir)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s is a link that leads nowhere: is its disk mounted?", dir)
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
