package process

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"

	"gwdr/fleet"
)

// flipsPerObject is how many bits are flipped in each object, so that none is whole.
const flipsPerObject = 8

// modePoint damages the signed points themselves. Otherwise what they name is damaged, which only a reader of everything finds.
const modePoint = "point"

// corrupt puts damaged copies in the place of the newest backups' objects, each in one step, and keeps the objects aside: the same
// files, with their times. Nobody sees one that is damaged in half, and each keeps its size.
func (p place) corrupt(f fleet.Fault) error {
	objects, err := p.newest(int(max(f.With.Count, 1)), f.With.Mode)
	if err != nil {
		return err
	}
	for _, name := range objects {
		kept := filepath.Join(p.kept(), name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(kept), 0o700), os.Link(filepath.Join(p.dir, name), kept)); err != nil {
			return err
		}
	}
	if err := syncTree(p.kept()); err != nil {
		return err
	}
	if err := copyTree(p.kept(), p.damaged()); err != nil {
		return err
	}
	touched := map[string]bool{}
	for i, name := range objects {
		if err := p.flipBits(name, rand.New(rand.NewPCG(f.With.Seed, uint64(i)))); err != nil {
			return err
		}
		if err := p.replaceByDamaged(name); err != nil {
			return err
		}
		touched[filepath.Dir(filepath.Join(p.dir, name))] = true
	}
	return syncDirs(touched)
}

// flipBits flips bits of the copy of an object.
func (p place) flipBits(name string, random *rand.Rand) error {
	blocks, err := writtenBlocks(filepath.Join(p.kept(), name))
	if err == nil && len(blocks) == 0 {
		err = errors.New("nothing is written in it")
	}
	if err != nil {
		return fmt.Errorf("damage %s: %w", name, err)
	}
	var written []flip
	for _, at := range blocks {
		written = append(written, flip{file: name, at: at})
	}
	var d damage
	if d.flips, err = chooseFlips(p.kept(), written, flipsPerObject, random); err != nil {
		return err
	}
	return d.apply(p.damaged())
}

// replaceByDamaged gives the damaged copy the name of the object, and the looks.
func (p place) replaceByDamaged(name string) error {
	damaged := filepath.Join(p.damaged(), name)
	info, err := os.Stat(filepath.Join(p.kept(), name))
	if err != nil {
		return err
	}
	return errors.Join(os.Chmod(damaged, info.Mode().Perm()), os.Chtimes(damaged, info.ModTime(), info.ModTime()),
		os.Link(damaged, p.next()), os.Rename(p.next(), filepath.Join(p.dir, name)))
}

// syncTree makes all names below dir durable.
func syncTree(dir string) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		return syncDir(path)
	})
}

// lookDamaged reads every object that was damaged, and compares it with what it was.
func (l *Lab) lookDamaged(_ context.Context, _ fleet.Fault, t targetID) (string, error) {
	p, _ := t.place()
	differ, all := 0, 0
	err := eachFile(p.kept(), func(name string) error {
		same, err := sameContent(filepath.Join(p.kept(), name), filepath.Join(p.dir, name))
		if errors.Is(err, fs.ErrNotExist) { // somebody moved it out of the way: it is not what it was
			same, err = false, nil
		}
		all++
		if !same {
			differ++
		}
		return err
	})
	if err == nil && differ == 0 {
		err = errors.New("no object is damaged")
	}
	if err != nil {
		return "", fmt.Errorf("location %s: %w", t.ID, err)
	}
	return fmt.Sprintf("%d of %d objects of its newest backups are not what they were; %s", differ, all, l.dir.leftAlone()), nil
}

// newest returns the objects of the newest so many backups, sorted: their points, or all that these name.
func (p place) newest(count int, mode string) ([]string, error) {
	points, err := filepath.Glob(filepath.Join(p.dir, "gwdr1", "*", "points", "*.tar"))
	if err != nil {
		return nil, err
	}
	if len(points) == 0 {
		return nil, errors.New("there is no backup in it")
	}
	slices.SortFunc(points, func(a, b string) int { return compareIDs(filepath.Base(b), filepath.Base(a)) }) // names begin with the time
	var objects []string
	for _, point := range points[:min(count, len(points))] {
		named := []string{point}
		if mode != modePoint {
			if named, err = namedBy(point); err != nil {
				return nil, err
			}
		}
		for _, path := range named {
			name, err := filepath.Rel(p.dir, path)
			if err != nil {
				return nil, err
			}
			objects = append(objects, name)
		}
	}
	slices.Sort(objects)
	return slices.Compact(objects), nil
}
