package backup

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"gwdr/internal/sshsig"
)

// lineageEntry is lineage.json in the spool.
type lineageEntry struct {
	Lineage string    `json:"lineage"`
	Parent  string    `json:"parent,omitempty"`
	Store   string    `json:"store"`
	Last    lastPoint `json:"last,omitzero"`
}

// lastPoint is the newest point of a lineage.
type lastPoint struct {
	SHA256   string    `json:"sha256"` // of point.json
	Revision int64     `json:"revision"`
	Time     time.Time `json:"time"`
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

// lineage returns the lineage that the store's next point belongs to: the one that the spool knows, or else the one that
// the locations know, or else a new one.
func (j *Job) lineage(ctx context.Context, store string) (lineageEntry, error) {
	s := spool{j.Spool}
	entry, known, err := s.store(store)
	if err != nil {
		return lineageEntry{}, err
	}
	if entry.Lineage != "" {
		return s.readLineage(entry.Lineage)
	}
	l := lineageEntry{Lineage: newID(), Store: store, Parent: entry.Parent}
	if !known {
		if adopted, ok := j.adopt(ctx, store); ok {
			l = adopted
		} else if l.Parent, err = s.ancestor(j.Gateway); err != nil {
			return lineageEntry{}, err
		}
	}
	if err := j.begin(ctx, l); err != nil {
		return lineageEntry{}, fmt.Errorf("begin lineage: %w", err)
	}
	return l, s.setStore(storeEntry{Store: store, Gateway: j.Gateway, Lineage: l.Lineage, Parent: l.Parent})
}

// readLineage returns the lineage with its newest point, which may be one that a crash kept out of lineage.json.
func (s spool) readLineage(id string) (lineageEntry, error) {
	var l lineageEntry
	if err := readJSON(filepath.Join(s.lineageDir(id), "lineage.json"), &l); err != nil {
		return lineageEntry{}, fmt.Errorf("read lineage: %w", err)
	}
	pending, err := s.pending()
	if err != nil {
		return lineageEntry{}, err
	}
	for _, p := range pending {
		if p.Lineage == id && p.Time.After(l.Last.Time) {
			l.Last = lastOf(p.Found)
		}
	}
	return l, nil
}

func lastOf(f Found) lastPoint {
	return lastPoint{SHA256: f.SHA256, Revision: f.Revision, Time: f.Time}
}

// setLast makes the point the newest of its lineage.
func (s spool) setLast(l lineageEntry, f Found) error {
	l.Last = lastOf(f)
	return replaceFile(filepath.Join(s.lineageDir(l.Lineage), "lineage.json"), indentedJSON(l))
}

// ancestor returns lineage@revision of the newest point that another store of the same gateway came to: the gateway's
// store started anew.
func (s spool) ancestor(gatewayName string) (string, error) {
	entries, err := s.stores()
	if err != nil {
		return "", err
	}
	var newest lineageEntry
	for _, entry := range entries {
		if entry.Gateway != gatewayName || entry.Lineage == "" {
			continue
		}
		l, err := s.readLineage(entry.Lineage)
		if err != nil {
			return "", err
		}
		if l.Last.Time.After(newest.Last.Time) {
			newest = l
		}
	}
	if newest.Lineage == "" {
		return "", nil
	}
	return fmt.Sprintf("%s@%d", newest.Lineage, newest.Last.Revision), nil
}

// adopt returns the lineage of the store's newest point at the locations: the spool was lost, or the writer moved.
func (j *Job) adopt(ctx context.Context, store string) (lineageEntry, bool) {
	found, problems := findWithin(ctx, j.Copies, j.Keys.Trusted, j.Patience)
	for _, p := range problems {
		j.Log.Warn("location was not read for an earlier lineage", "location", p.Copy, "object", p.Object, "error", p.Err)
	}
	for _, f := range found {
		if f.Store == store {
			j.Log.Warn("spool knows no lineage of the store; going on with that of the locations", "lineage", f.Lineage)
			return lineageEntry{Lineage: f.Lineage, Parent: f.Parent, Store: store, Last: lastOf(f)}, true
		}
	}
	return lineageEntry{}, false
}

// begin makes the lineage's directory in the spool, whole or not at all.
func (j *Job) begin(ctx context.Context, l lineageEntry) error {
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
	if l.Last.SHA256 == "" {
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
