package backup

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"gwdr/gateway"
)

// snapshot is a point that was just made, and how.
type snapshot struct {
	Found
	full    bool
	changes int   // in the segments that were appended to the log
	bytes   int64 // of the packs and segments that are new
}

// snapshot makes a point of what the source shows now, in the spool: from the changes since the last one if that is
// cheaper, and possible, or else from everything.
func (j *Job) snapshot(ctx context.Context) (snapshot, error) {
	j.Progress(Progress{Phase: "export"})
	if j.Undo {
		return j.fromAll(ctx)
	}
	made, err := j.fromChanges(ctx)
	if errors.Is(err, errFull) {
		j.Log.Debug("everything is read", "reason", err)
		made, err = j.fromAll(ctx)
	}
	return made, err
}

// errFull is wrapped when a point cannot, or should not, be made of changes alone.
var errFull = errors.New("a full backup is due")

const (
	// maxBaseAge is how old the packs of a point may be: once a day everything is read anew, so that an error of what
	// keeps track of changes does not live for long, and a restore has not much to replay.
	maxBaseAge = 24 * time.Hour
	// minSince is what the log after the packs may have in any case, in bytes, before they are renewed; from there on it
	// is a half of the packs' size.
	minSince = 4 << 20
)

// fullIsDue says why the lineage's next point should not be made of changes.
func (j *Job) fullIsDue(l lineageEntry, now time.Time) error {
	last := l.Last.Point
	switch {
	case j.Full:
		return fmt.Errorf("%w: it was asked for", errFull)
	case l.Last.SHA256 == "":
		return fmt.Errorf("%w: there is no point yet", errFull)
	case !slices.Equal(last.Recipients, j.Keys.RecipientIDs):
		return fmt.Errorf("%w: the recipients have changed", errFull)
	case len(last.Unreachable) > 0:
		return fmt.Errorf("%w: the last point lacks %v", errFull, last.Unreachable)
	case now.Sub(last.Base.Time) > maxBaseAge || now.Before(last.Base.Time):
		return fmt.Errorf("%w: the packs are of %s", errFull, last.Base.Time.Format(time.RFC3339))
	case l.Since > max(minSince, last.Size()/2):
		return fmt.Errorf("%w: the log after the packs has %d bytes", errFull, l.Since)
	}
	return nil
}

// fromChanges makes a point of the last one's packs and the log since. The error wraps errFull if that does not do.
func (j *Job) fromChanges(ctx context.Context) (snapshot, error) {
	tracker, ok := j.Source.(gateway.Tracker)
	if !ok {
		return snapshot{}, fmt.Errorf("%w: the gateway keeps no track of changes", errFull)
	}
	s := spool{j.Spool}
	l, ok, err := s.current(j.Gateway)
	if err != nil {
		return snapshot{}, err
	}
	if !ok {
		return snapshot{}, fmt.Errorf("%w: the spool has no lineage", errFull)
	}
	if err := j.fullIsDue(l, time.Now()); err != nil {
		return snapshot{}, err
	}
	log, err := j.logWriter(l.Lineage)
	if err != nil {
		return snapshot{}, err
	}
	last := l.Last.Point
	if gap, err := log.queue.lastGap(); err != nil || gap > last.Log.Seq {
		return snapshot{}, cmp.Or(err, fmt.Errorf("%w: the log has a gap after the last point", errFull))
	}
	changed := map[gateway.Ref]*fingerprint{}
	header, err := tracker.Changes(ctx, last.Store, last.Revision, func(b gateway.Batch) error {
		for _, c := range b.Changes {
			changed[c.Entity.Ref] = fingerprintOf(c)
		}
		return log.add(b)
	})
	if errors.Is(err, gateway.ErrCompacted) || err == nil && header.Revision < log.tail.To {
		return snapshot{}, fmt.Errorf("%w: the gateway does not know what has changed: %w", errFull, err)
	}
	if err != nil {
		return snapshot{}, fmt.Errorf("read changes: %w", err)
	}
	return j.relisted(l, log, header, changed)
}

// relisted makes the point of the last one, its listing, and what has changed.
func (j *Job) relisted(l lineageEntry, log *logWriter, header gateway.Header, changed map[gateway.Ref]*fingerprint) (snapshot, error) {
	s := spool{j.Spool}
	var ended error
	ending := make(chan struct{})
	go func() {
		defer close(ending)
		ended = log.end(header.Revision, header.Time, false)
	}()
	list, err := s.relist(l, changed)
	<-ending
	if list.file != "" {
		defer os.Remove(list.file)
	}
	if err := cmp.Or(ended, err); errors.Is(err, errListing) {
		return snapshot{}, fmt.Errorf("%w: %w", errFull, err)
	} else if err != nil {
		return snapshot{}, err
	}
	p := l.Last.Point
	p.Revision, p.Time, p.Previous = header.Revision, header.Time.UTC(), l.Last.SHA256
	p.Digest, p.Counts, p.Log, p.Tool = list.digest, list.counts, log.tail.position(), j.Tool
	l.Since += log.written
	temp, err := os.MkdirTemp(s.lineageDir(l.Lineage), tempPrefix+"*")
	if err != nil {
		return snapshot{}, fmt.Errorf("spool point: %w", err)
	}
	defer os.RemoveAll(temp)
	found, err := j.commit(l, p, temp, list.file)
	return snapshot{Found: found, changes: log.changes, bytes: log.written}, err
}

// commit signs the point and makes it the newest of its lineage in the spool. temp holds its new packs, listing what it
// holds.
func (j *Job) commit(l lineageEntry, p Point, temp, listing string) (Found, error) {
	s := spool{j.Spool}
	if err := s.keepListing(l.Lineage, p.Digest, listing); err != nil {
		return Found{}, err
	}
	object, found := signPoint(p, j.Keys.Signer)
	if len(object) > maxPoint { // nobody would read it
		return Found{}, fmt.Errorf("sign point: it names %d packs, which are too many", len(p.Packs))
	}
	if _, err := readPoint(object, found.Lineage, found.Name, j.Keys.Trusted); err != nil {
		return Found{}, fmt.Errorf("sign point: %w", notTrusted(err, p.Time))
	}
	if _, err := s.addPending(temp, object, found); err != nil {
		return Found{}, err
	}
	if err := s.setLast(l, found); err != nil {
		return Found{}, err
	}
	return found, s.dropListings(l.Lineage, p.Digest)
}

// notTrusted says why nobody would believe what was just signed: a signer may be trusted for a time, or for some things only.
func notTrusted(err error, at time.Time) error {
	return fmt.Errorf("nobody would trust it, as the gateway's clock says %s: %w", at.UTC().Format(time.RFC3339), err)
}

// fingerprintOf is nil for a deletion.
func fingerprintOf(c gateway.Change) *fingerprint {
	if c.Op == gateway.Delete {
		return nil
	}
	sum := sha256.Sum256(c.Entity.Body)
	return &sum
}

// errListing is wrapped when the spool has no listing of the last point, or a damaged one.
var errListing = errors.New("the spool has no listing of the last point")

func (s spool) listingFile(lineage, digest string) string {
	return filepath.Join(s.lineageDir(lineage), listingPrefix+digest)
}

const listingPrefix = "listing-"

// listing is a listing in a temporary file.
type listing struct {
	file   string
	digest string
	counts map[gateway.Kind]int
}

// relist writes the listing that the last point's becomes by the changes.
func (s spool) relist(l lineageEntry, changed map[gateway.Ref]*fingerprint) (list listing, err error) {
	old, err := os.ReadFile(s.listingFile(l.Lineage, l.Last.Point.Digest))
	if errors.Is(err, fs.ErrNotExist) {
		return list, errListing
	}
	if err != nil {
		return list, err
	}
	damaged := make(chan bool, 1)
	go func() { damaged <- hexSum(old) != l.Last.Point.Digest }()
	f, err := os.CreateTemp(s.lineageDir(l.Lineage), tempPrefix+"listing-*")
	if err != nil {
		return list, err
	}
	list.file = f.Name()
	lister := newLister(f)
	if err = relist(lister, old, changed); err == nil {
		list.digest, list.counts, err = lister.finish()
	}
	if <-damaged {
		err = errListing
	}
	return list, errors.Join(err, f.Close()) // not synced: the point's digest tells whether it is whole
}

// keepListing moves a listing to its place.
func (s spool) keepListing(lineage, digest, file string) error {
	if err := os.Rename(file, s.listingFile(lineage, digest)); err != nil {
		return fmt.Errorf("spool listing: %w", err)
	}
	return syncDir(s.lineageDir(lineage))
}

// dropListings removes the listings of older points.
func (s spool) dropListings(lineage, digest string) error {
	files, err := s.glob("lineages/" + lineage + "/" + listingPrefix + "*")
	for _, file := range files {
		if filepath.Base(file) != listingPrefix+digest {
			err = errors.Join(err, os.Remove(file))
		}
	}
	return err
}
