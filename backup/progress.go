package backup

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// progressAt is what the spool knows of a copy: how far it has a lineage. It is only ever behind the truth, as puts can be
// repeated.
type progressAt struct {
	Files bool  `json:"files"` // it has the objects that a lineage has once
	Seq   int64 `json:"seq"`   // and the segments up to here, as far back as they were to be had
}

func (s spool) progressFile(lineage string, c Copy) string {
	return filepath.Join(s.lineageDir(lineage), "copies", c.id()+".json")
}

// progress returns how far the copy is. What cannot be read counts for nothing.
func (s spool) progress(lineage string, c Copy) progressAt {
	var p progressAt
	if readJSON(s.progressFile(lineage, c), &p) != nil {
		return progressAt{}
	}
	return p
}

// setProgress remembers how far the copy is, until a crash.
func (s spool) setProgress(lineage string, c Copy, p progressAt) error {
	path := s.progressFile(lineage, c)
	temp := path + ".new"
	err := os.WriteFile(temp, indentedJSON(p), 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(filepath.Dir(path), 0o700); err == nil {
			err = os.WriteFile(temp, indentedJSON(p), 0o600)
		}
	}
	if err != nil {
		return err
	}
	return os.Rename(temp, path)
}

// takenPoint is the newest point of a lineage that a copy took.
type takenPoint struct {
	Name string `json:"name"` // Found.Name
	Seq  int64  `json:"seq"`  // where it stands in the log
}

func (s spool) takenFile(lineage string, c Copy) string {
	return filepath.Join(s.lineageDir(lineage), "copies", c.id()+"-point.json")
}

// taken returns the newest point that the copy took, as far as it is known.
func (s spool) taken(lineage string, c Copy) (p takenPoint) {
	if readJSON(s.takenFile(lineage, c), &p) != nil {
		return takenPoint{}
	}
	return p
}

// setTaken remembers that the copy took the point.
func (s spool) setTaken(c Copy, p Found) error {
	if s.taken(p.Lineage, c).Seq > p.Log.Seq {
		return nil
	}
	return replaceFile(s.takenFile(p.Lineage, c), indentedJSON(takenPoint{p.Name, p.Log.Seq}))
}

// reached returns up to which segment every copy has the log, and up to which a majority has.
func (s spool) reached(lineage string, copies []Copy) (everywhere, majority int64) {
	var all []int64
	for _, c := range copies {
		all = append(all, s.progress(lineage, c).Seq)
	}
	slices.Sort(all)
	return all[0], all[(len(all)-1)/2]
}
