package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"gwdr/fleet"
)

// denial is what lies in the place of a location that nobody may enter.
const denial = "Fault %s of a drill keeps everybody out of this location. 'gwdr drill revert' ends it.\n"

// deny puts a file in the place of the location, in one step: permissions keep nobody out who is root. Whatever is asked for below
// a file fails, and nothing can be made there: who writes at that moment fails with what he has not finished, and is told so.
func (p place) deny(f fleet.Fault) error {
	if err := writeSynced(p.kept(), fmt.Appendf(nil, denial, f.ID)); err != nil {
		return err
	}
	if err := syncDir(p.aside); err != nil {
		return err
	}
	if err := exchange(p.dir, p.kept()); err != nil {
		return fmt.Errorf("exchange it for a file: %w", err)
	}
	return errors.Join(syncDir(p.aside), syncDir(filepath.Dir(p.dir)))
}

// writeSynced writes a file that is not there yet, durably.
func writeSynced(path string, content []byte) error {
	out, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = out.Write(content)
	return errors.Join(err, out.Sync(), out.Close())
}

// lookDenied lists the location, reads from it and writes to it, as whoever keeps backups there does.
func (l *Lab) lookDenied(_ context.Context, _ fleet.Fault, t targetID) (string, error) {
	p, _ := t.place()
	if _, err := os.ReadDir(p.dir); err == nil {
		return "", fmt.Errorf("location %s can still be listed", t.ID)
	}
	if _, err := os.ReadFile(filepath.Join(p.dir, placeID)); err == nil {
		return "", fmt.Errorf("location %s can still be read", t.ID)
	}
	probe := filepath.Join(p.dir, ".gwdr-looks-at-a-fault")
	cause := os.WriteFile(probe, nil, 0o600)
	if cause == nil {
		return "", errors.Join(fmt.Errorf("location %s can still be written to", t.ID), os.Remove(probe))
	}
	if errno := syscall.Errno(0); errors.As(cause, &errno) {
		cause = errno
	}
	return fmt.Sprintf("list, read and write are refused (%s); %s", cause, l.dir.leftAlone()), nil
}
