package cmd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// newStore is what etcd sets aside on the disk for its log when a store is made, in bytes.
const newStore = 64_000_000

// checkPlaces makes --data, and refuses to begin where files that are needed later would have no place.
func (o *serveOptions) checkPlaces() error {
	if err := o.makeData(); err != nil {
		return withHint(fmt.Errorf("--data %s must be a directory that can be written: %w", o.data, err), "choose another --data")
	}
	for _, f := range []struct{ flag, name string }{
		{"--ready-file", o.readyFile}, {"--access-log", o.accessLog}, {"--audit-log", o.auditLog}, {"--token-file", o.tokenFile},
	} {
		dir := filepath.Dir(f.name) // of none, and of -, this one
		if _, err := os.Stat(dir + "/."); err != nil {
			return withHint(fmt.Errorf("%s %s: %w", f.flag, f.name, errors.Unwrap(err)), "make the directory first: mkdir -p %s", shellWord(dir))
		}
	}
	if o.controls() && len(o.place.etcd)+len(o.backup.from) == 0 {
		return checkRoom(o.data, newStore)
	}
	return nil
}

func (o *serveOptions) makeData() error {
	if err := os.MkdirAll(o.data, 0o700); err != nil {
		return err
	}
	return unix.Access(o.data, unix.W_OK)
}

// checkRoom refuses a directory without room for a store that is still to be made: etcd panics where there is none.
func checkRoom(data string, want uint64) error {
	if _, err := os.Stat(filepath.Join(data, "store")); !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var disk unix.Statfs_t
	if err := unix.Statfs(data, &disk); err != nil {
		return fmt.Errorf("--data %s: %w", data, err)
	}
	free := disk.Bavail * uint64(disk.Bsize)
	if disk.Blocks == 0 || free >= want { // or nobody knows
		return nil
	}
	return withHint(fmt.Errorf("--data %s: a new store takes %s, and %s are free there: %w", data, size(int64(want)), size(int64(free)), unix.ENOSPC),
		"make room, or choose another --data")
}
