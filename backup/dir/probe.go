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
	var c backup.Capabilities
	if err := l.putCanary(ctx, tree.CanaryContent); err != nil {
		return c, fmt.Errorf("probe %s: %w", l.Dir, err)
	}
	err := l.putCanary(ctx, "other bytes\n")
	if err != nil && !errors.Is(err, backup.ErrExists) {
		return c, fmt.Errorf("probe %s: %w", l.Dir, err)
	}
	c.CreateOnly = err != nil
	path := filepath.Join(l.Dir, filepath.FromSlash(tree.Canary))
	overwrite, remove := attempt("overwrite", openForWriting(path)), attempt("delete", os.Remove(path))
	c.Tests = []backup.Test{overwrite, remove}
	c.Immutable = overwrite.Denied && remove.Denied
	l.removeStale()
	return c, nil
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
