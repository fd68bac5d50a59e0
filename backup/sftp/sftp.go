// Package sftp keeps snapshots in a directory of a server that is reached over SSH: a NAS, a storage box, another host.
package sftp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"gwdr/backup"
	"gwdr/backup/tree"
)

// Location is a directory at a server that Init prepared. Its id file tells it from the empty directory that an unmounted
// disk leaves behind. All operations share one connection. Use Open.
type Location struct {
	options Options

	mu     sync.Mutex
	latest *attempt // to connect
}

var (
	_ backup.Location    = (*Location)(nil)
	_ backup.Prober      = (*Location)(nil)
	_ backup.Remover     = (*Location)(nil)
	_ backup.Quarantiner = (*Location)(nil)
)

// Init makes the directory if need be and writes its id file. A directory that has one stays as it is.
func (l *Location) Init(ctx context.Context) error {
	if err := l.do(ctx, func(s *session) error { return l.prepare(ctx, s) }); err != nil {
		return fmt.Errorf("initialise %s: %w", l.options.Dir, err)
	}
	return nil
}

func (l *Location) prepare(ctx context.Context, s *session) error {
	if err := s.mkdir(l.options.Dir); err != nil {
		return err
	}
	if err := l.check(s); !errors.Is(err, tree.ErrNotPrepared) {
		return err
	}
	id := tree.NewID()
	temp, err := s.writeTemp(ctx, l.options.Dir, strings.NewReader(id), int64(len(id)))
	if err != nil {
		return err
	}
	err = s.publish(temp, path.Join(l.options.Dir, tree.IDFile))
	if err != nil {
		s.files.Remove(temp)
	}
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// check makes sure that the directory is the one that was initialised.
func (l *Location) check(s *session) error {
	_, err := s.files.Stat(path.Join(l.options.Dir, tree.IDFile))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("open location %s: %w", l.options.Dir, tree.ErrNotPrepared)
	}
	if err != nil {
		return fmt.Errorf("open location %s: %w", l.options.Dir, err)
	}
	return nil
}

// Put writes the object to a temporary file, syncs it, and links it under its name, which is one step that fails if the
// name is taken.
func (l *Location) Put(ctx context.Context, name string, body io.ReadSeeker, size int64) error {
	target, err := l.path(name)
	if err == nil {
		err = l.do(ctx, func(s *session) error { return l.put(ctx, s, target, body, size) })
	}
	if errors.Is(err, fs.ErrExist) {
		err = l.compare(ctx, name, target, body, size)
	}
	if err != nil {
		return fmt.Errorf("put %s: %w", name, err)
	}
	return nil
}

// put fails with fs.ErrExist if the name is taken.
func (l *Location) put(ctx context.Context, s *session, target string, body io.ReadSeeker, size int64) error {
	if err := l.check(s); err != nil {
		return err
	}
	if _, err := s.files.Lstat(target); err == nil {
		return fs.ErrExist
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	temp, err := s.writeTemp(ctx, l.options.Dir, body, size)
	if err != nil {
		return err
	}
	if err := s.publish(temp, target); err != nil {
		s.files.Remove(temp)
		return err
	}
	return nil
}

// compare is done if the file holds the body, and fails with ErrExists if it does not.
func (l *Location) compare(ctx context.Context, name, file string, body io.ReadSeeker, size int64) error {
	o := &object{location: l, ctx: ctx, name: name, path: file}
	if err := l.do(ctx, o.open); err != nil {
		return err
	}
	defer o.Close()
	if o.size != size {
		return backup.ErrExists
	}
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return err
	}
	same, err := tree.Same(o, tree.Body(ctx, body, size))
	if err == nil && !same {
		err = backup.ErrExists
	}
	return err
}

// Get opens the object. Reading it is bound by the context as well.
func (l *Location) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	file, err := l.path(name)
	o := &object{location: l, ctx: ctx, name: name, path: file}
	if err == nil {
		err = l.do(ctx, o.open)
	}
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", name, err)
	}
	return o, nil
}

// List returns the objects, by name.
func (l *Location) List(ctx context.Context, prefix string) ([]backup.Object, error) {
	var objects []backup.Object
	err := l.do(ctx, func(s *session) (err error) {
		if err := l.check(s); err != nil {
			return err
		}
		if objects, err = l.walk(ctx, s, prefix); err != nil {
			return err
		}
		return l.check(s) // a disk that is gone by now takes everything along
	})
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", l.options.Dir, err)
	}
	slices.SortFunc(objects, func(a, b backup.Object) int { return cmp.Compare(a.Name, b.Name) })
	return objects, nil
}

// walkers is how many directories are read at once: each takes some ways to the server and back.
const walkers = 16

// walk reads the directories that can hold such objects, one level after the other.
func (l *Location) walk(ctx context.Context, s *session, prefix string) ([]backup.Object, error) {
	var objects []backup.Object
	for level := []string{top(prefix)}; len(level) > 0; {
		found, err := l.readDirs(ctx, s, level)
		if errors.Is(err, fs.ErrNotExist) && level[0] == top(prefix) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		var next []string
		for name, info := range found {
			switch {
			case info.IsDir() && tree.Related(name, prefix):
				next = append(next, name)
			case info.Mode().IsRegular() && strings.HasPrefix(name, prefix):
				objects = append(objects, backup.Object{Name: name, Size: info.Size(), Created: info.ModTime()})
			}
		}
		level = next
	}
	return objects, nil
}

// top returns the lowest directory that all such objects are in.
func top(prefix string) string {
	dir := path.Dir(prefix + "x")
	if backup.CheckName(dir) != nil {
		return "."
	}
	return dir
}

// readDirs reads all the directories, and returns what is in them under names that objects can have.
func (l *Location) readDirs(ctx context.Context, s *session, dirs []string) (map[string]fs.FileInfo, error) {
	var mu sync.Mutex
	found := map[string]fs.FileInfo{}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(walkers)
	for _, dir := range dirs {
		g.Go(func() error {
			entries, err := s.files.ReadDirContext(ctx, path.Join(l.options.Dir, dir))
			mu.Lock()
			defer mu.Unlock()
			for _, info := range entries {
				name := strings.TrimPrefix(dir+"/"+info.Name(), "./") // as it is: what a server says could lead out of here
				if backup.CheckName(name) == nil {
					found[name] = info
				}
			}
			return err
		})
	}
	return found, g.Wait()
}

// path returns the file of an object, and refuses names that lead elsewhere.
func (l *Location) path(name string) (string, error) {
	if err := backup.CheckName(name); err != nil {
		return "", err
	}
	return path.Join(l.options.Dir, name), nil
}
