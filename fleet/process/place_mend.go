package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// mend makes the location as it was before the fault, from what lies beside it and nothing else: it needs to know neither the kind
// of the fault nor how far its injection came. It may be called again after an error. What was put there meanwhile stays.
func (p place) mend() error {
	if _, err := os.Lstat(p.aside); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := p.letIn(); err != nil {
		return err
	}
	if info, err := os.Lstat(p.kept()); err == nil && info.IsDir() {
		if err := p.putBack(); err != nil {
			return err
		}
	}
	// What is kept goes first: as long as something is, it is all there.
	for _, path := range []string{p.kept(), p.aside} {
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	return syncDir(filepath.Dir(p.aside))
}

// letIn puts the directory back where deny has put a file in its place, in one step.
func (p place) letIn() error {
	kept, err := os.Lstat(filepath.Join(p.kept(), placeID))
	if err != nil || !kept.Mode().IsRegular() {
		return nil // the location itself is not what is kept
	}
	live, err := os.Lstat(p.dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = os.Rename(p.kept(), p.dir)
	case err == nil && !live.IsDir():
		err = exchange(p.dir, p.kept())
	}
	if err != nil {
		return fmt.Errorf("let in again: %w", err)
	}
	return errors.Join(syncDir(p.aside), syncDir(filepath.Dir(p.dir)))
}

// putBack gives back what is kept, file by file.
func (p place) putBack() error {
	if err := os.MkdirAll(p.dir, 0o755); err != nil { // somebody may have removed it
		return err
	}
	touched := map[string]bool{}
	err := filepath.WalkDir(p.kept(), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(p.kept(), path)
		if err != nil {
			return err
		}
		touched[filepath.Dir(filepath.Join(p.dir, name))] = true
		return p.putBackOne(name)
	})
	return errors.Join(err, syncDirs(touched))
}

// putBackOne gives one file its name back, unless something else has it by now: names of backups are never taken twice, so that this
// is somebody's repair, or nothing that anybody could have foreseen. Then neither is lost.
func (p place) putBackOne(name string) error {
	kept, live := filepath.Join(p.kept(), name), filepath.Join(p.dir, name)
	now, err := os.Lstat(live)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return p.linkBack(name)
	case err != nil:
		return err
	}
	if made, err := os.Lstat(filepath.Join(p.damaged(), name)); err == nil && os.SameFile(made, now) {
		return os.Rename(kept, live)
	}
	if same, err := sameContent(kept, live); err != nil || same || name == placeID {
		return err // it goes with all that is set aside
	}
	spare := filepath.Join(p.dir, quarantine, name+filepath.Base(p.aside)[len(p.name()):])
	if err := os.MkdirAll(filepath.Dir(spare), 0o755); err != nil {
		return err
	}
	return errors.Join(os.Rename(kept, spare), syncDir(filepath.Dir(spare)))
}

// linkBack gives one file back its name, which is free, unless somebody takes it at this moment: a rename would end that.
func (p place) linkBack(name string) error {
	kept, live := filepath.Join(p.kept(), name), filepath.Join(p.dir, name)
	if err := os.MkdirAll(filepath.Dir(live), 0o755); err != nil {
		return err
	}
	err := os.Link(kept, live)
	if errors.Is(err, fs.ErrExist) {
		return p.putBackOne(name)
	}
	if err != nil {
		return err
	}
	return os.Remove(kept)
}

// quarantine is where locations keep what is in the way.
const quarantine = ".gwdr-quarantine"

// sameContent reports whether both files have the same bytes, or are the same file.
func sameContent(a, b string) (bool, error) {
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	if err := errors.Join(errA, errB); err != nil || infoA.Size() != infoB.Size() {
		return false, err
	}
	if os.SameFile(infoA, infoB) {
		return true, nil
	}
	in, err := os.Open(a)
	if err != nil {
		return false, err
	}
	defer in.Close()
	same := true
	err = eachBlock(in, func(at int64, block []byte) error {
		other, err := readBlock(b, at)
		same = same && slices.Equal(block, other)
		return err
	})
	return same, err
}

// syncDirs makes names in the directories durable.
func syncDirs(dirs map[string]bool) (err error) {
	for dir := range dirs {
		err = errors.Join(err, syncDir(dir))
	}
	return err
}
