package sftp

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"gwdr/backup"
	"gwdr/backup/tree"
)

// Probe tests the directory with an object of its own, and removes temporary files of writers that crashed.
func (l *Location) Probe(ctx context.Context) (backup.Capabilities, error) {
	var c backup.Capabilities
	err := l.Put(ctx, tree.Canary, strings.NewReader(tree.CanaryContent), int64(len(tree.CanaryContent)))
	if err == nil || errors.Is(err, backup.ErrExists) { // an earlier probe may have left other bytes
		err = l.do(ctx, func(s *session) (err error) {
			c, err = l.probe(ctx, s)
			return err
		})
	}
	if err != nil {
		return c, fmt.Errorf("probe %s: %w", l.options.Dir, err)
	}
	return c, nil
}

func (l *Location) probe(ctx context.Context, s *session) (c backup.Capabilities, err error) {
	canary := path.Join(l.options.Dir, tree.Canary)
	if c.CreateOnly, err = l.refuses(ctx, s, canary); err != nil {
		return c, err
	}
	temp, err := l.writeOther(ctx, s)
	if err != nil {
		return c, err
	}
	defer s.files.Remove(temp)
	overwrite, err := s.attempt("overwrite", s.overwrite(temp, canary))
	if err != nil {
		return c, err
	}
	remove, err := s.attempt("delete", s.takeAway(canary, path.Join(l.options.Dir, tree.TempDir, rand.Text())))
	if err != nil {
		return c, err
	}
	if s.noLinks.Load() {
		overwrite.Detail = strings.TrimPrefix(overwrite.Detail+"; no hard links: two writers at once can overwrite each other", "; ")
	}
	c.Tests = []backup.Test{overwrite, remove}
	c.Immutable = overwrite.Denied && remove.Denied
	l.removeStale(s)
	return c, nil
}

// writeOther writes a temporary file with other bytes than the canary's.
func (l *Location) writeOther(ctx context.Context, s *session) (string, error) {
	const other = "other bytes\n"
	return s.writeTemp(ctx, l.options.Dir, strings.NewReader(other), int64(len(other)))
}

// refuses reports whether other bytes are refused where the canary is, by the step that gives objects their names. Where
// they are taken it tries again: another probe may just have deleted the canary.
func (l *Location) refuses(ctx context.Context, s *session, canary string) (bool, error) {
	for range 2 {
		temp, err := l.writeOther(ctx, s)
		if err != nil {
			return false, err
		}
		if err = s.tryLink(temp); err == nil {
			err = s.publish(temp, canary)
		}
		if err == nil {
			continue
		}
		s.files.Remove(temp)
		if !errors.Is(err, fs.ErrExist) {
			return false, err
		}
		// Without hard links in the file system OpenSSH's server looks first and renames then, which lets a writer at the
		// same moment through.
		return !s.noLinks.Load(), nil
	}
	return false, nil
}

// tryLink finds out whether the file system has the hard links that the server offers.
func (s *session) tryLink(temp string) error {
	if !s.has(hardlink) {
		return nil
	}
	link := temp + "-link"
	err := s.files.Link(temp, link)
	if err != nil && s.lost(err) {
		return err
	}
	s.noLinks.Store(err != nil)
	s.files.Remove(link)
	return nil
}

// overwrite tries to open the canary for writing, and to rename the other file over it.
func (s *session) overwrite(other, canary string) error {
	s.setMode(canary, 0o644)
	defer s.setMode(canary, 0o444)
	f, err := s.files.OpenFile(canary, os.O_WRONLY)
	if err == nil {
		return f.Close()
	}
	if s.lost(err) {
		return err
	}
	return s.files.PosixRename(other, canary)
}

// setMode tries both ways to set the mode of a file: servers can forbid one alone.
func (s *session) setMode(file string, mode fs.FileMode) {
	if s.files.Chmod(file, mode) == nil {
		return
	}
	if f, err := s.files.Open(file); err == nil {
		f.Chmod(mode)
		f.Close()
	}
}

// takeAway tries to delete the canary, and to move it away.
func (s *session) takeAway(canary, to string) error {
	err := s.files.Remove(canary)
	if err == nil || errors.Is(err, fs.ErrNotExist) || s.lost(err) {
		return err
	}
	return s.files.Rename(canary, to)
}

// attempt is the test that came to denied. A canary that is gone was deleted by another probe, so it can be. It is an error
// if the server did not say.
func (s *session) attempt(what string, denied error) (backup.Test, error) {
	switch {
	case denied == nil || errors.Is(denied, fs.ErrNotExist):
		return backup.Test{What: what}, nil
	case s.lost(denied):
		return backup.Test{}, denied
	}
	return backup.Test{What: what, Denied: true, Detail: denied.Error()}, nil
}

// removeStale removes temporary files that no writer can still be at.
func (l *Location) removeStale(s *session) {
	dir := path.Join(l.options.Dir, tree.TempDir)
	files, _ := s.files.ReadDir(dir)
	for _, f := range files {
		if time.Since(f.ModTime()) > tree.StaleAge {
			s.files.Remove(path.Join(dir, f.Name()))
		}
	}
}

// Domain names the host by its key. Two directories, two file systems, two names of one host fail together, as do two
// addresses: only what another host keeps is another copy.
func (l *Location) Domain(ctx context.Context) (string, error) {
	var domain string
	err := l.do(ctx, func(s *session) error {
		domain = "sftp host " + fingerprint(s.key)
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("find host: %w", err)
	}
	return domain, nil
}
