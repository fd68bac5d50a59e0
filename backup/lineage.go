package backup

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"gwdr/internal/sshsig"
)

// lineageEntry is lineage.json in the spool.
type lineageEntry struct {
	Lineage string    `json:"lineage"`
	Parent  string    `json:"parent,omitempty"`
	Store   string    `json:"store"`
	Last    lastPoint `json:"last,omitzero"`
	// Since is the size, in bytes, of the log's segments after the base of Last.
	Since int64 `json:"since_base,omitempty"`
}

// lastPoint is the newest point of a lineage.
type lastPoint struct {
	SHA256 string `json:"sha256"` // of point.json
	Point  Point  `json:"point"`
}

// The objects that a lineage has once, in the order in which they are put.
const (
	readmeFile  = "README.txt"
	restoreFile = "restore.sh"
	repoFile    = "repo.tar"
)

var (
	//go:embed README.txt
	readmeText []byte
	//go:embed restore.sh
	restoreScript []byte
)

func baseFiles() []string { return []string{readmeFile, restoreFile, repoFile} }

// lineage returns the lineage that the store's next point, at the revision, belongs to: the one that the spool knows, or
// else the one that the locations know, or else a new one.
func (j *Job) lineage(ctx context.Context, store string, revision int64) (lineageEntry, error) {
	s := spool{j.Spool}
	if j.Undo {
		l := lineageEntry{Lineage: newID(), Store: store}
		return l, j.begin(ctx, l, nil)
	}
	entry, known, err := s.store(store)
	if err != nil {
		return lineageEntry{}, err
	}
	if entry.Lineage != "" {
		if entry, err = j.unlessBehind(entry, revision); err != nil || entry.Lineage != "" {
			return s.readLineage(entry.Lineage)
		}
	}
	l := lineageEntry{Lineage: newID(), Store: store, Parent: entry.Parent}
	var tail *sealedSegment
	if !known {
		if adopted, newest, ok := j.adopt(ctx, store, revision); ok {
			l, tail = adopted, newest
		} else if l.Parent, err = s.ancestor(j.Gateway); err != nil {
			return lineageEntry{}, err
		}
	}
	if err := j.begin(ctx, l, tail); err != nil {
		return lineageEntry{}, fmt.Errorf("begin lineage: %w", err)
	}
	return l, s.setStore(storeEntry{Store: store, Gateway: j.Gateway, Lineage: l.Lineage, Parent: l.Parent})
}

// unlessBehind returns the entry, without its lineage if the store is behind the lineage's log: somebody put an older
// copy of the store in its place, and its revisions mean other things from here on.
func (j *Job) unlessBehind(entry storeEntry, revision int64) (storeEntry, error) {
	tail, ok, err := spool{j.Spool}.queue(entry.Lineage).newest()
	if err != nil || !ok || tail.To <= revision {
		return entry, err
	}
	j.Log.Warn("the store is behind its own backups; a new lineage begins", "store_revision", revision, "log_revision", tail.To)
	return storeEntry{Store: entry.Store, Gateway: entry.Gateway, Parent: fmt.Sprintf("%s@%d", entry.Lineage, tail.To)}, nil
}

// readLineage returns the lineage with its newest point, which may be one that a crash kept out of lineage.json.
func (s spool) readLineage(id string) (lineageEntry, error) {
	var l lineageEntry
	if err := readJSON(filepath.Join(s.lineageDir(id), "lineage.json"), &l); err != nil {
		return lineageEntry{}, fmt.Errorf("read lineage: %w", err)
	}
	pending, err := s.pending(id)
	if err != nil {
		return lineageEntry{}, err
	}
	if len(pending) > 0 && pending[0].Log.Seq > l.Last.Point.Log.Seq {
		l.Last = lastOf(pending[0].Found)
	}
	return l, nil
}

func lastOf(f Found) lastPoint { return lastPoint{SHA256: f.SHA256, Point: f.Point} }

// setLast makes the point the newest of its lineage.
func (s spool) setLast(l lineageEntry, f Found) error {
	l.Last = lastOf(f)
	return replaceFile(filepath.Join(s.lineageDir(l.Lineage), "lineage.json"), indentedJSON(l))
}

// current returns the lineage of the gateway that the spool has the newest point of. ok is false if there is none.
func (s spool) current(gatewayName string) (newest lineageEntry, ok bool, err error) {
	entries, err := s.stores()
	if err != nil {
		return lineageEntry{}, false, err
	}
	for _, entry := range entries {
		if entry.Gateway != gatewayName || entry.Lineage == "" {
			continue
		}
		l, err := s.readLineage(entry.Lineage)
		if err != nil {
			return lineageEntry{}, false, err
		}
		if l.Last.Point.Time.After(newest.Last.Point.Time) {
			newest = l
		}
	}
	return newest, newest.Lineage != "", nil
}

// ancestor returns lineage@revision of the newest point that another store of the same gateway came to: the gateway's
// store started anew.
func (s spool) ancestor(gatewayName string) (string, error) {
	newest, ok, err := s.current(gatewayName)
	if err != nil || !ok {
		return "", err
	}
	return fmt.Sprintf("%s@%d", newest.Lineage, newest.Last.Point.Revision), nil
}

// NewLineage makes the gateway's next backup begin a lineage, which descends from the last one: what is left to do after a
// split brain. What was not delivered is kept aside in the spool.
func NewLineage(spoolDir, gatewayName string, now time.Time) error {
	s := spool{spoolDir}
	unlock, err := s.lock()
	if err != nil {
		return fmt.Errorf("begin a new lineage: %w", err)
	}
	defer unlock()
	newest, ok, err := s.current(gatewayName)
	if err != nil || !ok {
		return err
	}
	return s.leave(newest, gatewayName, now)
}

// leaveStrangers begins a new lineage where the log in the spool is not of a trusted signer: another configuration, with keys
// of its own, uses the same spool, or the signer is not trusted any more. Nobody could read on from there.
func (j *Job) leaveStrangers() error {
	s := spool{j.Spool}
	newest, ok, err := s.current(j.Gateway)
	if err != nil || !ok {
		return err
	}
	tail, ok, err := s.queue(newest.Lineage).newest()
	if err != nil || !ok {
		return err
	}
	if _, err = readSegment(tail.object, newest.Lineage, tail.Seq, j.Keys.Trusted); err == nil {
		return nil
	}
	j.Log.Warn("the log in the spool was signed by somebody else: is another configuration using the same state directory? A new lineage begins",
		"spool", j.Spool, "lineage", newest.Lineage, "error", err)
	return s.leave(newest, j.Gateway, time.Now())
}

// leave makes the gateway's next backup begin a lineage that descends from this one.
func (s spool) leave(newest lineageEntry, gatewayName string, now time.Time) error {
	parent := fmt.Sprintf("%s@%d", newest.Lineage, newest.Last.Point.Revision)
	if err := s.setStore(storeEntry{Store: newest.Store, Gateway: gatewayName, Parent: parent}); err != nil {
		return err
	}
	aside := filepath.Join(s.dir, "abandoned", newest.Lineage+now.UTC().Format("-20060102T150405Z"))
	if err := os.MkdirAll(filepath.Dir(aside), 0o700); err != nil {
		return fmt.Errorf("begin a new lineage: %w", err)
	}
	return os.Rename(s.lineageDir(newest.Lineage), aside)
}

// adopt returns the lineage of the store's newest point at the locations, and the newest segment of its log: the spool
// was lost, or the writer moved.
func (j *Job) adopt(ctx context.Context, store string, revision int64) (lineageEntry, *sealedSegment, bool) {
	found, problems := findWithin(ctx, j.Copies, j.Keys.Trusted, j.Patience)
	heard := slices.Clone(j.Copies)
	for _, p := range problems {
		j.Log.Warn("location was not read for an earlier lineage", "location", p.Copy, "object", p.Object, "error", p.Err)
		heard = slices.DeleteFunc(heard, func(c Copy) bool { return p.Object == "" && c.Name == p.Copy })
	}
	forks := NewForks(heard, j.Keys.Trusted)
	for _, f := range found {
		if f.Store != store || f.Undo {
			continue
		}
		if stray, against := forks.Stray(ctx, f); stray {
			j.Log.Warn("point is passed over: two writers continued the lineage, and most locations have the other one's log",
				"lineage", f.Lineage, "point", f.Name, "locations", against)
			continue
		}
		tail, err := newestSegment(ctx, j.Copies, f.Lineage, j.Keys.Trusted, forks, j.Patience)
		if err != nil || tail.To > revision || tail.Seq < f.Log.Seq {
			j.Log.Warn("the log at the locations cannot be taken up; a new lineage begins", "lineage", f.Lineage, "error", err)
			return lineageEntry{}, nil, false
		}
		j.Log.Warn("spool knows no lineage of the store; going on with that of the locations", "lineage", f.Lineage)
		return lineageEntry{Lineage: f.Lineage, Parent: f.Parent, Store: store, Last: lastOf(f)}, &tail, true
	}
	return lineageEntry{}, nil, false
}

// begin makes the lineage's directory in the spool, whole or not at all. tail is where its log stands, if it has one.
func (j *Job) begin(ctx context.Context, l lineageEntry, tail *sealedSegment) error {
	s := spool{j.Spool}
	dir := s.lineageDir(l.Lineage)
	if _, err := os.Stat(dir); err == nil {
		return nil // adopted again after a crash before setStore
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return err
	}
	temp, err := os.MkdirTemp(filepath.Dir(dir), tempPrefix+"*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	var errs []error
	for name, content := range j.baseObjects(ctx, l) {
		errs = append(errs, writeFileSync(filepath.Join(temp, name), content))
	}
	if tail != nil {
		errs = append(errs, queue{filepath.Join(temp, "log"), l.Lineage}.add(*tail))
	}
	errs = append(errs, writeFileSync(filepath.Join(temp, "lineage.json"), indentedJSON(l)), syncDir(temp))
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := os.Rename(temp, dir); err != nil {
		return err
	}
	return syncDir(filepath.Dir(dir))
}

// baseObjects returns the lineage's objects by name: those that a location has already and that are what was signed, so
// that an adopted lineage stays the same everywhere, or else new ones.
func (j *Job) baseObjects(ctx context.Context, l lineageEntry) map[string][]byte {
	objects := map[string][]byte{readmeFile: readmeText, restoreFile: restoreScript, repoFile: signRepo(repo{
		Schema: repoSchema, Lineage: l.Lineage, Parent: l.Parent, Store: l.Store, Recipients: j.Keys.RecipientIDs,
		Signers: []string{j.Keys.Signer.Public().String()}, Tool: j.Tool,
		Files: map[string]string{readmeFile: hexSum(readmeText), restoreFile: hexSum(restoreScript)},
	}, j.Keys.Signer)}
	if l.Last.SHA256 == "" { // new
		return objects
	}
	for _, a := range onEach(ctx, j.Copies, j.Patience, func(ctx context.Context, c Copy) (map[string][]byte, error) {
		return readBase(ctx, c, l.Lineage, j.Keys.Trusted)
	}) {
		if a.err == nil {
			return a.value
		}
	}
	return objects
}

// readBase returns the lineage's own objects as the copy has them. The error wraps ErrIntegrity if they are not what was
// signed.
func readBase(ctx context.Context, c Copy, lineage string, trusted sshsig.Trusted) (map[string][]byte, error) {
	objects := map[string][]byte{}
	for _, name := range baseFiles() {
		content, err := readObject(ctx, c.Location, lineageRoot(lineage)+name, maxPoint)
		if err != nil {
			return nil, err
		}
		objects[name] = content
	}
	r, err := readRepo(objects[repoFile], lineage, trusted)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrIntegrity, repoFile, err)
	}
	for name, sum := range r.Files {
		if hexSum(objects[name]) != sum {
			return nil, fmt.Errorf("%w: %s is not what %s says: do not run anything from here", ErrIntegrity, name, repoFile)
		}
	}
	return objects, nil
}
