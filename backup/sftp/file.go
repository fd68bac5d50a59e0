package sftp

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"

	"github.com/pkg/sftp"

	"gwdr/backup/tree"
)

// Extensions of OpenSSH's server.
const (
	hardlink = "hardlink@openssh.com"
	fsync    = "fsync@openssh.com"
	statvfs  = "statvfs@openssh.com"
)

func (s *session) has(extension string) bool {
	_, ok := s.files.HasExtension(extension)
	return ok
}

// writeTemp writes size bytes of body to a new temporary file below top, as durably as the server can, and returns its
// path.
func (s *session) writeTemp(ctx context.Context, top string, body io.ReadSeeker, size int64) (string, error) {
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	temp := path.Join(top, tree.TempDir, rand.Text())
	f, err := s.create(temp)
	if err != nil {
		return "", err
	}
	err = s.fill(f, tree.Body(ctx, body, size), size)
	if err = errors.Join(err, f.Close()); err != nil {
		s.files.Remove(temp) // with the connection lost it stays, until it is stale
		return "", s.explain(err, top, size)
	}
	return temp, nil
}

func (s *session) create(temp string) (*sftp.File, error) {
	const flags = os.O_WRONLY | os.O_CREATE | os.O_EXCL
	f, err := s.files.OpenFile(temp, flags)
	if !errors.Is(err, fs.ErrNotExist) {
		return f, err
	}
	if err := s.mkdir(path.Dir(temp)); err != nil {
		return nil, err
	}
	return s.files.OpenFile(temp, flags)
}

// fill writes the body and makes sure that the server has all of it.
func (s *session) fill(f *sftp.File, body io.Reader, size int64) error {
	// As many writes are on their way at once as the library allows, 64. Those after one that failed leave a hole before
	// them, which does not matter: the file goes.
	n, err := f.ReadFromWithConcurrency(body, 0)
	if err != nil {
		return err
	}
	f.Chmod(0o444) // ciphertext, never rewritten; not every server has modes
	if s.has(fsync) {
		if err := f.Sync(); err != nil {
			return fmt.Errorf("sync: %w", err)
		}
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if n != size || info.Size() != size {
		return fmt.Errorf("server has %d of %d bytes", info.Size(), size)
	}
	return nil
}

// explain adds what the protocol has no code for: that there is no room.
func (s *session) explain(err error, top string, size int64) error {
	failure := (*sftp.StatusError)(nil)
	if !errors.As(err, &failure) || !s.has(statvfs) {
		return err
	}
	if stat, statErr := s.files.StatVFS(top); statErr == nil && int64(stat.Bavail*stat.Frsize) < size {
		return fmt.Errorf("no space left at the server, which has %d bytes free and was to take %d: %w", stat.Bavail*stat.Frsize, size, err)
	}
	return err
}

// publish gives the temporary file its name, in one step that fails if the name is taken: the error is fs.ErrExist then.
func (s *session) publish(temp, target string) error {
	err := s.place(temp, target)
	if errors.Is(err, fs.ErrNotExist) {
		if err := s.mkdir(path.Dir(target)); err != nil {
			return err
		}
		err = s.place(temp, target)
	}
	if err != nil { // the protocol has no code for a name that is taken
		if _, statErr := s.files.Lstat(target); statErr == nil {
			return fs.ErrExist
		}
		return err
	}
	s.syncDir(path.Dir(target))
	return nil
}

// place links the file to its name, or renames it where there are no hard links: not at the server, or not in its file
// system. In version 3 of the protocol a rename does not replace what is there; Probe finds out about servers that do.
func (s *session) place(temp, target string) error {
	if s.has(hardlink) && !s.noLinks.Load() {
		err := s.files.Link(temp, target)
		if err == nil {
			s.files.Remove(temp) // done all the same: what stays goes when it is stale
			return nil
		}
		if _, statErr := s.files.Lstat(target); statErr == nil || errors.Is(err, fs.ErrNotExist) || s.lost(err) {
			return err
		}
	}
	err := s.files.Rename(temp, target)
	if err == nil && s.has(hardlink) {
		s.noLinks.Store(true)
	}
	return err
}

// mkdir makes the directory and those above it, each as durable in its parent as the server can.
func (s *session) mkdir(dir string) error {
	err := s.files.Mkdir(dir)
	if errors.Is(err, fs.ErrNotExist) && dir != path.Dir(dir) {
		if err := s.mkdir(path.Dir(dir)); err != nil {
			return err
		}
		err = s.files.Mkdir(dir)
	}
	if err == nil {
		s.syncDir(path.Dir(dir))
		return nil
	}
	if info, statErr := s.files.Stat(dir); statErr == nil && info.IsDir() {
		return nil
	}
	return fmt.Errorf("make directory %s: %w", dir, err)
}

// syncDir makes names in dir durable at a server that lets a directory be opened like a file, as OpenSSH's does. Others
// see to it themselves, or not.
func (s *session) syncDir(dir string) {
	if !s.has(fsync) {
		return
	}
	if d, err := s.files.Open(dir); err == nil {
		d.Sync()
		d.Close()
	}
}
