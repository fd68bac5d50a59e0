package backup

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// pendingPoint is a sealed point in the spool, with those of its packs that were new.
type pendingPoint struct {
	Found
	dir    string
	object []byte // the point's object
}

// pendingFile is the object of a point in its directory. Without it there is no point.
const pendingFile = "point.tar"

// addPending moves a point to the spool whose new packs are in temp, a directory of the lineage. After a crash the point is
// there whole, or not at all.
func (s spool) addPending(temp string, object []byte, found Found) (*pendingPoint, error) {
	if err := os.MkdirAll(s.pendingDir(found.Lineage), 0o700); err != nil {
		return nil, fmt.Errorf("spool point: %w", err)
	}
	p := &pendingPoint{Found: found, object: object, dir: filepath.Join(s.pendingDir(found.Lineage), strings.TrimPrefix(found.Name, pointsDir))}
	if err := errors.Join(writeFileSync(filepath.Join(temp, pendingFile), object), syncDir(temp)); err != nil {
		return nil, fmt.Errorf("spool point: %w", err)
	}
	if err := os.Rename(temp, p.dir); err != nil {
		return nil, fmt.Errorf("spool point: %w", err)
	}
	return p, syncDir(s.pendingDir(found.Lineage))
}

// pending returns the points of the lineage that are not yet at every location, newest first.
func (s spool) pending(lineage string) ([]*pendingPoint, error) {
	files, err := s.glob("lineages/" + lineage + "/pending/*/" + pendingFile)
	if err != nil {
		return nil, err
	}
	var points []*pendingPoint
	for _, file := range files {
		p, err := readPending(filepath.Dir(file))
		if err != nil {
			return nil, fmt.Errorf("read spool %s: %w", filepath.Dir(file), err)
		}
		points = append(points, p)
	}
	slices.SortFunc(points, func(a, b *pendingPoint) int {
		return cmp.Or(cmp.Compare(b.Log.Seq, a.Log.Seq), b.Time.Compare(a.Time), cmp.Compare(b.Name, a.Name))
	})
	return points, nil
}

// readPending reads what addPending wrote. The directory is this user's own: signatures are for the locations.
func readPending(dir string) (*pendingPoint, error) {
	object, err := os.ReadFile(filepath.Join(dir, pendingFile))
	if err != nil {
		return nil, err
	}
	contents, err := unpackTar(object, "point.json", "point.json.sig")
	if err != nil {
		return nil, err
	}
	p := &pendingPoint{dir: dir, object: object}
	if err := json.Unmarshal(contents[0], &p.Point); err != nil {
		return nil, err
	}
	p.SHA256 = hexSum(contents[0])
	p.Name = pointName(p.Point, p.SHA256)
	return p, p.Point.validate()
}

// marker is the file that says that a location has the point.
func (p *pendingPoint) marker(c Copy) string { return filepath.Join(p.dir, "at-"+c.id()) }

func (p *pendingPoint) delivered(c Copy) bool {
	_, err := os.Stat(p.marker(c))
	return err == nil
}

// deliveredAnywhere reports whether some location has the point.
func (p *pendingPoint) deliveredAnywhere() bool {
	markers, _ := fs.Glob(os.DirFS(p.dir), "at-*")
	return len(markers) > 0
}

// pack returns the file with one of the point's packs, and whether it is here.
func (p *pendingPoint) pack(pack Pack) (path string, ok bool) {
	path = filepath.Join(p.dir, pack.SHA256)
	_, err := os.Stat(path)
	return path, err == nil
}

// giveUp notes that nobody can complete the point any more where it is missing.
func (p *pendingPoint) giveUp() {
	_ = os.WriteFile(p.lostFile(), nil, 0o600) // or it is tried again
}

func (p *pendingPoint) lostFile() string { return filepath.Join(p.dir, "lost") }

func (p *pendingPoint) givenUp() bool {
	_, err := os.Stat(p.lostFile())
	return err == nil
}

// fresh reports whether all packs that the point needs are here.
func (p *pendingPoint) fresh() bool {
	for _, pack := range p.Packs {
		if _, ok := p.pack(pack); !ok {
			return false
		}
	}
	return true
}

func (p *pendingPoint) drop() error {
	// The point goes first: what is left after a crash is no point.
	return errors.Join(os.Remove(filepath.Join(p.dir, pendingFile)), os.RemoveAll(p.dir))
}

// maxPending bounds the points that wait in the spool for a location that is gone.
const maxPending = 32

// tidyPending drops the points that every location has, those that were given up, and the oldest of those that some location
// has if there are many.
func tidyPending(newestFirst []*pendingPoint, copies []Copy) error {
	var errs []error
	for i, p := range newestFirst {
		everywhere := true
		for _, c := range copies {
			everywhere = everywhere && p.delivered(c)
		}
		if everywhere || i > 0 && p.givenUp() || i >= maxPending && p.deliveredAnywhere() {
			errs = append(errs, p.drop())
		}
	}
	return errors.Join(errs...)
}
