// Package dir keeps snapshots in a directory: a disk, a mounted NAS, a removable drive.
package dir

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gwdr/backup"
	"gwdr/backup/tree"
)

// Location is a directory that Init prepared. Its id file tells it from the empty directory that an unmounted disk
// leaves behind. The file system must have hard links.
type Location struct {
	Dir string // absolute
}

var (
	_ backup.Location    = (*Location)(nil)
	_ backup.Prober      = (*Location)(nil)
	_ backup.Remover     = (*Location)(nil)
	_ backup.Quarantiner = (*Location)(nil)
)

// Init makes the directory if need be and writes its id file. A directory that has one stays as it is.
func (l *Location) Init(ctx context.Context) error {
	if err := mkdirSync(l.Dir); err != nil {
		return fmt.Errorf("initialise %s: %w", l.Dir, err)
	}
	if err := l.check(); !errors.Is(err, tree.ErrNotPrepared) {
		return err
	}
	id := tree.NewID()
	temp, err := l.writeTemp(ctx, strings.NewReader(id), int64(len(id)))
	if err != nil {
		return fmt.Errorf("initialise %s: %w", l.Dir, err)
	}
	defer os.Remove(temp)
	err = os.Link(temp, filepath.Join(l.Dir, tree.IDFile))
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("initialise %s: %w", l.Dir, err)
	}
	return syncDir(l.Dir)
}

// check makes sure that the directory is the one that was initialised.
func (l *Location) check() error {
	_, err := os.Stat(filepath.Join(l.Dir, tree.IDFile))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("open location %s: %w", l.Dir, tree.ErrNotPrepared)
	}
	if err != nil {
		return fmt.Errorf("open location: %w", err)
	}
	return nil
}

// Put writes the object to a temporary file, syncs it, and links it under its name, which is one step that fails if the
// name is taken.
func (l *Location) Put(ctx context.Context, name string, body io.ReadSeeker, size int64) error {
	path, err := l.path(name)
	if err != nil {
		return err
	}
	if err := l.check(); err != nil {
		return err
	}
	if _, err := os.Lstat(path); err != nil {
		if err := l.link(ctx, path, body, size); !errors.Is(err, fs.ErrExist) {
			if err != nil {
				return fmt.Errorf("put %s: %w", name, err)
			}
			return nil
		}
	}
	if err := compare(ctx, name, path, body, size); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path)) // whoever gave it its name may not have come so far
}

func (l *Location) link(ctx context.Context, path string, body io.ReadSeeker, size int64) error {
	temp, err := l.writeTemp(ctx, body, size)
	if err != nil {
		return err
	}
	defer os.Remove(temp)
	if err := mkdirSync(filepath.Dir(path)); err != nil {
		return err
	}
	if err := os.Link(temp, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// writeTemp writes the body to a new temporary file, durably, and returns its path.
func (l *Location) writeTemp(ctx context.Context, body io.Reader, size int64) (path string, err error) {
	dir := filepath.Join(l.Dir, tree.TempDir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	f, err := os.CreateTemp(dir, "*")
	if err != nil {
		return "", err
	}
	_, err = io.Copy(f, tree.Body(ctx, body, size))
	if err == nil {
		err = f.Chmod(0o444) // ciphertext, never rewritten
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}

// compare is done if the file at path holds the body, and fails with ErrExists if it does not.
func compare(ctx context.Context, name, path string, body io.ReadSeeker, size int64) error {
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("put %s: %w", name, err)
	}
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("put %s: %w", name, err)
	}
	defer f.Close()
	same, err := tree.Same(f, tree.Body(ctx, body, size))
	if err != nil {
		return fmt.Errorf("put %s: %w", name, err)
	}
	if !same {
		return fmt.Errorf("put %s: %w", name, backup.ErrExists)
	}
	return nil
}

// Get opens the object.
func (l *Location) Get(_ context.Context, name string) (io.ReadCloser, error) {
	path, err := l.path(name)
	if err != nil {
		return nil, err
	}
	if err := l.check(); err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("get %s: %w", name, backup.ErrNotExist)
	}
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", name, err)
	}
	return f, nil
}

// List returns the objects, by name.
func (l *Location) List(ctx context.Context, prefix string) ([]backup.Object, error) {
	if err := l.check(); err != nil {
		return nil, err
	}
	var objects []backup.Object
	err := fs.WalkDir(os.DirFS(l.Dir), ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return unlessGone(err)
		case entry.IsDir() && !tree.Related(name, prefix):
			return fs.SkipDir
		case !entry.Type().IsRegular() || !strings.HasPrefix(name, prefix) || strings.HasPrefix(name, "."):
			return nil
		}
		info, err := entry.Info()
		if err != nil {
			return unlessGone(err)
		}
		objects = append(objects, backup.Object{Name: name, Size: info.Size(), Created: info.ModTime()})
		return nil
	})
	if err := errors.Join(err, l.check()); err != nil { // a disk that is gone by now takes everything along
		return nil, fmt.Errorf("list %s: %w", l.Dir, err)
	}
	slices.SortFunc(objects, func(a, b backup.Object) int { return cmp.Compare(a.Name, b.Name) })
	return objects, nil
}

// unlessGone is nil if the error says no more than that something has gone since its name was read.
func unlessGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// path returns the file of an object, and refuses names that lead elsewhere.
func (l *Location) path(name string) (string, error) {
	if err := backup.CheckName(name); err != nil {
		return "", err
	}
	return filepath.Join(l.Dir, filepath.FromSlash(name)), nil
}
