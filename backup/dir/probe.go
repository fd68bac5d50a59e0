package dir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"gwdr/backup"
	"gwdr/backup/tree"
)

// Probe tests the directory with an object of its own, and removes temporary files of writers that crashed.
func (l *Location) Probe(ctx context.Context) (backup.Capabilities, error) {
	defer l.alone()()
	var c backup.Capabilities
	err := l.putCanary(ctx, tree.CanaryContent)
	if err != nil && !errors.Is(err, backup.ErrExists) { // an earlier probe may have left other bytes
		return c, fmt.Errorf("probe %s: %w", l.Dir, err)
	}
	if c.CreateOnly, err = l.refuses(ctx); err != nil {
		return c, fmt.Errorf("probe %s: %w", l.Dir, err)
	}
	path := filepath.Join(l.Dir, filepath.FromSlash(tree.Canary))
	overwrite, remove := attempt("overwrite", openForWriting(path)), attempt("delete", os.Remove(path))
	c.Tests = []backup.Test{overwrite, remove}
	c.Immutable = overwrite.Denied && remove.Denied
	l.removeStale()
	return c, nil
}

// alone lets one process of this machine probe at a time, as far as files can be locked there, and returns how to let the next.
func (l *Location) alone() (leave func()) {
	f, err := os.OpenFile(filepath.Join(l.Dir, tree.TempDir, "probe"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return func() {}
	}
	_ = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
	return func() { f.Close() }
}

// refuses reports whether other bytes are refused where the canary is. Where they are taken, or it is not there, it tries
// again: a probe of another machine may just have deleted the canary.
func (l *Location) refuses(ctx context.Context) (bool, error) {
	var err error
	for range 3 {
		switch err = l.putCanary(ctx, "other bytes\n"); {
		case errors.Is(err, backup.ErrExists):
			return true, nil
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return false, err
		}
	}
	return false, err
}

func (l *Location) putCanary(ctx context.Context, content string) error {
	return l.Put(ctx, tree.Canary, strings.NewReader(content), int64(len(content)))
}

// attempt is the test that came to err. A canary that is gone was deleted by another probe, so it can be.
func attempt(what string, err error) backup.Test {
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return backup.Test{What: what}
	}
	if path := (*fs.PathError)(nil); errors.As(err, &path) {
		err = path.Err
	}
	return backup.Test{What: what, Denied: true, Detail: err.Error()}
}

// openForWriting opens the file as whoever wants to write other bytes into it would. It writes none.
func openForWriting(path string) error {
	os.Chmod(path, 0o644)
	defer os.Chmod(path, 0o444)
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return f.Close()
}

// removeStale removes temporary files that no writer can still be at.
func (l *Location) removeStale() {
	files, _ := os.ReadDir(filepath.Join(l.Dir, tree.TempDir))
	for _, f := range files {
		file := filepath.Join(l.Dir, tree.TempDir, f.Name())
		if info, err := os.Lstat(file); err == nil && time.Since(info.ModTime()) > tree.StaleAge {
			os.Remove(file)
		}
	}
}

// Domain names the device that the directory is on.
func (l *Location) Domain(context.Context) (string, error) {
	var stat syscall.Stat_t
	if err := syscall.Stat(l.Dir, &stat); err != nil {
		return "", fmt.Errorf("find device of %s: %w", l.Dir, err)
	}
	return fmt.Sprintf("device %d", stat.Dev), nil
}
