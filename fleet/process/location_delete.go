package process

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"gwdr/fleet"
)

// remove deletes every object that can be deleted, and keeps it aside. What the file system protects stays, as it would stay from
// others who have the writer's credentials. What is put there afterwards is not touched.
func (p place) remove(fleet.Fault) error {
	touched, taken := map[string]bool{}, 0
	err := p.eachObject(func(name string) error {
		live, kept := filepath.Join(p.dir, name), filepath.Join(p.kept(), name)
		if err := os.MkdirAll(filepath.Dir(kept), 0o700); err != nil {
			return err
		}
		err := os.Rename(live, kept)
		switch {
		case errors.Is(err, fs.ErrPermission), errors.Is(err, fs.ErrNotExist): // protected; or gone before we came to it
			return nil
		case err != nil:
			return err
		}
		taken++
		for _, moved := range []string{live, kept} {
			for dir := filepath.Dir(moved); dir != p.dir && dir != p.aside; dir = filepath.Dir(dir) {
				touched[dir] = true
			}
		}
		return nil
	})
	if err == nil && taken == 0 {
		err = errors.New("nothing in it can be deleted")
	}
	return errors.Join(err, syncDirs(touched), syncDir(p.aside))
}

// eachObject calls do with the name of each object of the location. What begins with a dot is the location's own.
func (p place) eachObject(do func(name string) error) error {
	return filepath.WalkDir(p.dir, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && path != p.dir {
			return nil
		}
		if err != nil || path == p.dir {
			return err
		}
		name, err := filepath.Rel(p.dir, path)
		switch {
		case err != nil:
			return err
		case strings.HasPrefix(name, ".") && entry.IsDir():
			return fs.SkipDir
		case strings.HasPrefix(name, ".") || !entry.Type().IsRegular():
			return nil
		}
		return do(name)
	})
}

// lookDeleted asks the location for every object that it had.
func (l *Lab) lookDeleted(_ context.Context, _ fleet.Fault, t targetID) (string, error) {
	p, _ := t.place()
	gone, back, left := 0, 0, 0
	err := eachFile(p.kept(), func(name string) error {
		_, err := os.Lstat(filepath.Join(p.dir, name))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			gone++
		case err == nil:
			back++
		default:
			return err
		}
		return nil
	})
	if err == nil {
		err = p.eachObject(func(string) error { left++; return nil })
	}
	if err == nil && gone == 0 {
		err = errors.New("no object is gone")
	}
	if err != nil {
		return "", fmt.Errorf("location %s: %w", t.ID, err)
	}
	seen := fmt.Sprintf("%d objects are gone, %d are there", gone, left)
	if back > 0 {
		seen += fmt.Sprintf(", %d of them put again", back)
	}
	return seen + "; " + l.dir.leftAlone(), nil
}

// eachFile calls do with the name of each file below dir. None is no error.
func eachFile(dir string, do func(name string) error) error {
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		return do(name)
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
