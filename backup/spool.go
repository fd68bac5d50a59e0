package backup

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// spool is the directory where a writer keeps what must survive it:
//
//	lock
//	stores/<store>.json                    which lineage the store's snapshots go to
//	lineages/<lineage>/lineage.json        its last point
//	lineages/<lineage>/{README.txt,...}    the objects that the lineage has once
//	lineages/<lineage>/pending/<point>/    sealed, but not yet at every location
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

// pendingPoint is a sealed point in the spool.
type pendingPoint struct {
	Found
	dir    string
	object []byte // the point's object
}

// newPending writes a point to the spool: its packs by seal, which gets a file and returns the pack, and then the point
// that finish makes of it. After a crash the point is there whole, or not at all.
func (s spool) newPending(lineage string, seal func(*os.File) (Pack, error), finish func(Pack) ([]byte, Found)) (*pendingPoint, error) {
	if err := os.MkdirAll(s.pendingDir(lineage), 0o700); err != nil {
		return nil, fmt.Errorf("spool point: %w", err)
	}
	temp, err := os.MkdirTemp(s.lineageDir(lineage), tempPrefix+"*")
	if err != nil {
		return nil, fmt.Errorf("spool point: %w", err)
	}
	defer os.RemoveAll(temp)
	pack, err := sealFile(filepath.Join(temp, "pack"), seal)
	if err != nil {
		return nil, fmt.Errorf("spool point: %w", err)
	}
	object, found := finish(pack)
	p := &pendingPoint{Found: found, object: object, dir: filepath.Join(s.pendingDir(lineage), strings.TrimPrefix(found.Name, pointsDir))}
	err = errors.Join(
		os.Rename(filepath.Join(temp, "pack"), filepath.Join(temp, pack.SHA256)),
		writeFileSync(filepath.Join(temp, "point.tar"), object),
		syncDir(temp),
	)
	if err != nil {
		return nil, fmt.Errorf("spool point: %w", err)
	}
	if err := os.Rename(temp, p.dir); err != nil {
		return nil, fmt.Errorf("spool point: %w", err)
	}
	return p, syncDir(s.pendingDir(lineage))
}

const tempPrefix = ".tmp-"

func sealFile(path string, seal func(*os.File) (Pack, error)) (Pack, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return Pack{}, err
	}
	pack, err := seal(f)
	return pack, closeSync(f, err)
}

// sweep removes what crashed writers left half-done. The spool must be locked.
func (s spool) sweep() error {
	left, err := s.glob("lineages/*/" + tempPrefix + "*")
	if err != nil {
		return err
	}
	more, err := s.glob("lineages/" + tempPrefix + "*")
	for _, dir := range append(left, more...) {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	return err
}

// pending returns the points of all lineages that are not yet at every location, newest first.
func (s spool) pending() ([]*pendingPoint, error) {
	files, err := s.glob("lineages/*/pending/*/point.tar")
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
		return cmp.Or(b.Time.Compare(a.Time), cmp.Compare(b.Name, a.Name))
	})
	return points, nil
}

// readPending reads what newPending wrote. The directory is this user's own: signatures are for the locations.
func readPending(dir string) (*pendingPoint, error) {
	object, err := os.ReadFile(filepath.Join(dir, "point.tar"))
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
func (p *pendingPoint) marker(c Copy) string {
	return filepath.Join(p.dir, "at-"+hexSum(c.Name + " " + c.URL)[:16])
}

func (p *pendingPoint) delivered(c Copy) bool {
	_, err := os.Stat(p.marker(c))
	return err == nil
}

// deliveredAnywhere reports whether some location has the point.
func (p *pendingPoint) deliveredAnywhere() bool {
	markers, _ := fs.Glob(os.DirFS(p.dir), "at-*")
	return len(markers) > 0
}

func (p *pendingPoint) drop() error {
	// The point goes first: what is left after a crash is no point.
	return errors.Join(os.Remove(filepath.Join(p.dir, "point.tar")), os.RemoveAll(p.dir))
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
