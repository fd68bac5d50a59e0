package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
)

// spool is the directory where a writer keeps what must survive it:
//
//	lock
//	stores/<store>.json                    which lineage the store's snapshots go to
//	lineages/<lineage>/lineage.json        its last point
//	lineages/<lineage>/listing-<digest>    what that point holds
//	lineages/<lineage>/{README.txt,...}    the objects that the lineage has once
//	lineages/<lineage>/log/<seq>.tar       segments that are not yet at every location, and the newest
//	lineages/<lineage>/gap                 position of the log's last gap
//	lineages/<lineage>/copies/<copy>.json  how far a location has the log
//	lineages/<lineage>/pending/<point>/    points that are not yet at every location
//	abandoned/                             lineages that a writer gave up for what the locations hold
type spool struct{ dir string }

// ErrLocked is wrapped when another process takes a backup with the same spool.
var ErrLocked = errors.New("another backup is running")

// lock keeps other processes out until unlock is called, or until this process ends.
func (s spool) lock() (unlock func() error, err error) {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, fmt.Errorf("lock spool: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(s.dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock spool: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = ErrLocked
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock spool %s: %w", s.dir, err), f.Close())
	}
	return f.Close, nil
}

func (s spool) storePath(store string) string {
	return filepath.Join(s.dir, "stores", url.PathEscape(store)+".json")
}

func (s spool) lineageDir(lineage string) string { return filepath.Join(s.dir, "lineages", lineage) }

func (s spool) pendingDir(lineage string) string {
	return filepath.Join(s.lineageDir(lineage), "pending")
}

// storeEntry says where a store's snapshots go. Without a Lineage the next backup starts one.
type storeEntry struct {
	Store   string `json:"store"`
	Gateway string `json:"gateway"`
	Lineage string `json:"lineage,omitempty"`
	Parent  string `json:"parent,omitempty"`
}

// store returns the store's entry; ok is false if there is none.
func (s spool) store(id string) (entry storeEntry, ok bool, err error) {
	err = readJSON(s.storePath(id), &entry)
	if errors.Is(err, fs.ErrNotExist) {
		return storeEntry{}, false, nil
	}
	return entry, err == nil, err
}

func (s spool) setStore(entry storeEntry) error {
	if err := os.MkdirAll(filepath.Join(s.dir, "stores"), 0o700); err != nil {
		return fmt.Errorf("write spool: %w", err)
	}
	return replaceFile(s.storePath(entry.Store), indentedJSON(entry))
}

// glob returns the paths in the spool that match the pattern. The spool's own path may hold what a pattern gives a meaning.
func (s spool) glob(pattern string) ([]string, error) {
	paths, err := fs.Glob(os.DirFS(s.dir), pattern)
	for i := range paths {
		paths[i] = filepath.Join(s.dir, paths[i])
	}
	return paths, err
}

// stores returns the entries of all stores.
func (s spool) stores() ([]storeEntry, error) {
	files, err := s.glob("stores/*.json")
	if err != nil {
		return nil, err
	}
	var entries []storeEntry
	for _, file := range files {
		var entry storeEntry
		if err := readJSON(file, &entry); err != nil {
			return nil, err
		}
		entries = append(entries, entry)
	}
	return entries, nil
}

// RecordRestore tells the spool that the store was restored from parent (lineage@revision): its next backup starts a
// lineage that names the parent.
func RecordRestore(ctx context.Context, spoolDir, gatewayName, store, parent string) error {
	s := spool{spoolDir}
	unlock, err := s.lock()
	if err != nil {
		return fmt.Errorf("record restore: %w", err)
	}
	defer unlock()
	return s.setStore(storeEntry{Store: store, Gateway: gatewayName, Parent: parent})
}

func readJSON(path string, v any) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(content, v); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return nil
}

// sweep removes what crashed writers left half-done. The spool must be locked.
func (s spool) sweep() error {
	var errs []error
	for _, pattern := range []string{"lineages/" + tempPrefix + "*", "lineages/*/" + tempPrefix + "*", "lineages/*/log/" + tempPrefix + "*"} {
		left, err := s.glob(pattern)
		errs = append(errs, err)
		for _, path := range left {
			errs = append(errs, os.RemoveAll(path))
		}
	}
	dropped, err := s.glob("lineages/*/pending/*")
	errs = append(errs, err)
	for _, dir := range dropped {
		if _, err := os.Stat(filepath.Join(dir, pendingFile)); errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, os.RemoveAll(dir))
		}
	}
	return errors.Join(errs...)
}

const tempPrefix = ".tmp-"
