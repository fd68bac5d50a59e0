package backup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// writeFileSync writes a file, 0600, that is on disk when it returns. A crash may leave a part of it.
func writeFileSync(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return closeSync(f, err)
}

// closeSync syncs f, unless err says that it is worthless, and closes it.
func closeSync(f *os.File, err error) error {
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// replaceFile writes a file, 0600: after a crash it has its old content or the new one.
func replaceFile(path string, content []byte) error {
	temp := path + ".new"
	if err := writeFileSync(temp, content); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(temp, path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes new and renamed names in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
