package cmd

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A file without a directory is told of by its flag, before there is a store or a socket.
func TestServeRefusesFilesWithoutADirectory(t *testing.T) {
	for _, flag := range []string{"--ready-file", "--access-log", "--audit-log", "--token-file"} {
		data, dir := t.TempDir(), filepath.Join(t.TempDir(), "none")
		file := filepath.Join(dir, "file")
		said := serveFails(t, exitError, "serve", "--data", data, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", flag, file)
		if !strings.Contains(said, flag+" "+file+": no such file") || !strings.Contains(said, "mkdir -p "+dir) || strings.Contains(said, "serving on") {
			t.Errorf("%s: %s", flag, said)
		}
		if _, err := os.Stat(filepath.Join(data, "store")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: a store was made", flag)
		}
	}
}

// Where no store would fit, none is begun; one that is there is opened nevertheless.
func TestRoomForAStore(t *testing.T) {
	dir := t.TempDir()
	if err := checkRoom(dir, math.MaxInt64); !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "--data "+dir) {
		t.Errorf("no room: %v", err)
	}
	if err := checkRoom(dir, 1); err != nil {
		t.Errorf("room: %v", err)
	}
	if err := os.Mkdir(filepath.Join(dir, "store"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := checkRoom(dir, math.MaxInt64); err != nil {
		t.Errorf("a store that is there: %v", err)
	}
}
