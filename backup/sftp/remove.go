package sftp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"time"

	"gwdr/backup"
	"gwdr/backup/tree"
)

// Remove deletes the object.
func (l *Location) Remove(ctx context.Context, name string) error {
	file, err := l.path(name)
	if err == nil {
		err = l.do(ctx, func(s *session) error { return l.remove(s, file) })
	}
	if err != nil {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	return nil
}

func (l *Location) remove(s *session, file string) error {
	if err := l.check(s); err != nil {
		return err
	}
	err := s.files.Remove(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		s.syncDir(path.Dir(file))
	}
	return err
}

// Quarantine moves the object into a directory beside gwdr1/ that holds the moved objects of the location.
func (l *Location) Quarantine(ctx context.Context, name string) (string, error) {
	file, err := l.path(name)
	to := tree.QuarantineName(name, time.Now())
	if err == nil {
		err = l.do(ctx, func(s *session) error { return l.quarantine(s, file, path.Join(l.options.Dir, to)) })
	}
	if err != nil {
		return "", fmt.Errorf("quarantine %s: %w", name, err)
	}
	return to, nil
}

func (l *Location) quarantine(s *session, from, to string) error {
	if err := l.check(s); err != nil {
		return err
	}
	_, err := s.files.Lstat(from)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := s.files.Lstat(to); err == nil {
			return nil // moved before the connection ended
		}
		return backup.ErrNotExist
	}
	if err != nil {
		return err
	}
	if err := s.mkdir(path.Dir(to)); err != nil {
		return err
	}
	if err := s.files.Rename(from, to); err != nil {
		return err
	}
	s.syncDir(path.Dir(to))
	s.syncDir(path.Dir(from))
	return nil
}
