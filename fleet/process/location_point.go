package process

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
)

// pointFile is what the fault needs of point.json, the first member of a point: see docs/snapshot-format.md.
type pointFile struct {
	Packs []struct {
		SHA256 string `json:"sha256"`
	} `json:"packs"`
	Base struct {
		Seq uint64 `json:"seq"`
	} `json:"base"`
	Log struct {
		Seq uint64 `json:"seq"`
	} `json:"log"`
}

// The bounds of what a point may name; more is no point of a lab.
const (
	pointLimit   = 8 << 20
	segmentLimit = 100_000
)

var packPattern = regexp.MustCompile(`^[0-9a-f]{64}$`)

// namedBy returns the packs and the segments of the log that the point needs, as far as they are beside it.
func namedBy(point string) ([]string, error) {
	in, err := os.Open(point)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	p, err := readPoint(in)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", filepath.Base(point), err)
	}
	lineage := filepath.Dir(filepath.Dir(point))
	var all []string
	for _, pack := range p.Packs {
		all = append(all, filepath.Join(lineage, "packs", pack.SHA256[:2], pack.SHA256+".tar.zst.age"))
	}
	for i := range p.Log.Seq - p.Base.Seq {
		all = append(all, filepath.Join(lineage, "log", fmt.Sprintf("%016x.tar", p.Base.Seq+1+i)))
	}
	var there []string
	for _, path := range all {
		switch info, err := os.Lstat(path); {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return nil, err
		case info.Mode().IsRegular():
			there = append(there, path)
		}
	}
	if len(there) == 0 {
		return nil, fmt.Errorf("nothing that %s names is there", filepath.Base(point))
	}
	return there, nil
}

// readPoint reads what a point names, and refuses what is no name.
func readPoint(r io.Reader) (p pointFile, err error) {
	archive := tar.NewReader(io.LimitReader(r, pointLimit))
	header, err := archive.Next()
	if err != nil {
		return p, err
	}
	if header.Name != "point.json" {
		return p, fmt.Errorf("its first member is %q, not point.json", header.Name)
	}
	if err := json.NewDecoder(archive).Decode(&p); err != nil {
		return p, err
	}
	for _, pack := range p.Packs {
		if !packPattern.MatchString(pack.SHA256) {
			return p, fmt.Errorf("%q is no name of a pack", pack.SHA256)
		}
	}
	if p.Log.Seq < p.Base.Seq || p.Log.Seq-p.Base.Seq > segmentLimit {
		return p, fmt.Errorf("it stands at %d of a log that begins at %d", p.Log.Seq, p.Base.Seq)
	}
	return p, nil
}
