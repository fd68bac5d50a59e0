package dir

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"gwdr/backup"
)

// canary is the object that Probe tries to overwrite and to delete.
const (
	canary        = "gwdr1/canary"
	canaryContent = "gwdr tries to overwrite and to delete this file, to learn whether it can\n"
)

// Probe tests the directory with an object of its own, and removes temporary files of writers that crashed.
func (l *Location) Probe(ctx context.Context) (backup.Capabilities, error) {
	var c backup.Capabilities
	if err := l.putCanary(ctx, canaryContent); err != nil {
		return c, fmt.Errorf("probe %s: %w", l.Dir, err)
	}
	err := l.putCanary(ctx, "other bytes\n")
	if err != nil && !errors.Is(err, backup.ErrExists) {
		return c, fmt.Errorf("probe %s: %w", l.Dir, err)
	}
	c.CreateOnly = err != nil
	c.Immutable = !l.canAlterCanary()
	l.removeStale(24 * time.Hour)
	return c, nil
}

func (l *Location) putCanary(ctx context.Context, content string) error {
	return l.Put(ctx, canary, strings.NewReader(content), int64(len(content)))
}

// canAlterCanary reports whether this process can delete or overwrite a file once it is there.
func (l *Location) canAlterCanary() bool {
	path := filepath.Join(l.Dir, canary)
	if os.Remove(path) == nil {
		return true
	}
	os.Chmod(path, 0o644)
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return false
	}
	f.Close()
	return true
}

// removeStale removes temporary files that no writer can still be at.
func (l *Location) removeStale(age time.Duration) {
	files, _ := os.ReadDir(filepath.Join(l.Dir, tempDir))
	for _, f := range files {
		file := filepath.Join(l.Dir, tempDir, f.Name())
		if info, err := os.Lstat(file); err == nil && time.Since(info.ModTime()) > age {
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
