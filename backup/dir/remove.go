package dir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"gwdr/backup"
	"gwdr/backup/tree"
)

// Remove deletes the object, durably.
func (l *Location) Remove(ctx context.Context, name string) error {
	path, err := l.path(name)
	if err != nil {
		return err
	}
	if err := errors.Join(ctx.Err(), l.check()); err != nil {
		return err
	}
	err = os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	return nil
}

// Quarantine moves the object, durably, into a directory beside gwdr1/ that holds the moved objects of the location.
func (l *Location) Quarantine(ctx context.Context, name string) (string, error) {
	path, err := l.path(name)
	if err != nil {
		return "", err
	}
	if err := errors.Join(ctx.Err(), l.check()); err != nil {
		return "", err
	}
	to := tree.QuarantineName(name, time.Now())
	err = l.move(path, filepath.Join(l.Dir, filepath.FromSlash(to)))
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("quarantine %s: %w", name, backup.ErrNotExist)
	}
	if err != nil {
		return "", fmt.Errorf("quarantine %s: %w", name, err)
	}
	return to, nil
}

func (l *Location) move(from, to string) error {
	if _, err := os.Lstat(from); err != nil { // before directories are made for it
		return err
	}
	if err := mkdirSync(filepath.Dir(to)); err != nil {
		return err
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return errors.Join(syncDir(filepath.Dir(to)), syncDir(filepath.Dir(from)))
}
