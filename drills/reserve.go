package drills

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// reserveFile takes up room on the disk while a drill runs. On a full disk it makes way for what must still be written: that
// the drill aborts, and that what it broke is reverted.
const (
	reserveFile = "reserve"
	reserveSize = 1 << 20 // journal, undo records, read-back and report take some 100 KiB
)

// takeReserve fails where a drill would soon run out of room. The bytes are random, for some file systems store no others.
func takeReserve(dir string) error {
	b := make([]byte, reserveSize)
	rand.Read(b)
	f, err := os.OpenFile(filepath.Join(dir, reserveFile), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("reserve room: %w", err)
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("reserve room: %w", errors.Join(err, freeReserve(dir)))
	}
	return nil
}

// freeReserve may be called again, and where there is no reserve.
func freeReserve(dir string) error {
	if err := os.Remove(filepath.Join(dir, reserveFile)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
