package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// shipment is what the spool has of one lineage that some location may lack.
type shipment struct {
	lineage  string
	queue    queue
	tail     sealedSegment   // where the log stands
	points   []*pendingPoint // newest first
	anchor   int64           // the log's segments after this one are needed to load the newest point
	ballot   *ballot
	existing func(seq int64) (sealedSegment, bool) // segments in the spool
}

// shipments returns what is to be delivered, that of the lineage first; it may be empty: seal failed.
func (j *Job) shipments(first string) ([]*shipment, error) {
	s := spool{j.Spool}
	dirs, err := s.glob("lineages/*/lineage.json")
	if err != nil {
		return nil, err
	}
	var all []*shipment
	for _, file := range dirs {
		ship, err := j.shipment(filepath.Base(filepath.Dir(file)))
		if err != nil {
			return nil, err
		}
		if ship.lineage == first {
			all = slices.Insert(all, 0, ship)
		} else if len(ship.points) > 0 {
			all = append(all, ship)
		}
	}
	return all, nil
}

func (j *Job) shipment(lineage string) (*shipment, error) {
	s := spool{j.Spool}
	ship := &shipment{lineage: lineage, queue: s.queue(lineage), ballot: newBallot(j.Copies)}
	ship.existing = ship.queue.existing
	entry, err := s.readLineage(lineage)
	if err != nil {
		return nil, err
	}
	if ship.points, err = s.pending(lineage); err != nil {
		return nil, err
	}
	ship.anchor = max(0, entry.Last.Point.Base.Seq-1)
	ship.tail, _, err = ship.queue.newest()
	return ship, err
}

// oldestBase returns where the log begins that the points need which the copy has not got yet.
func (ship *shipment) oldestBase(c Copy) int64 {
	oldest := ship.tail.Seq
	for _, p := range ship.points {
		if !p.delivered(c) {
			oldest = min(oldest, p.Base.Seq)
		}
	}
	return oldest
}

// putBase puts the objects that a lineage has once.
func (j *Job) putBase(ctx context.Context, c Copy, lineage string) error {
	for _, name := range baseFiles() {
		content, err := os.ReadFile(filepath.Join(spool{j.Spool}.lineageDir(lineage), name))
		if err != nil {
			return err
		}
		err = c.Location.Put(ctx, lineageRoot(lineage)+name, bytes.NewReader(content), int64(len(content)))
		if errors.Is(err, ErrExists) { // from another writer of this lineage; no snapshot depends on it
			j.Log.Warn("location has another version", "location", c.Name, "object", name)
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// maxOlder is how many segments that the newest point does not need are looked for at other copies: a log can be years long.
const maxOlder = 1000

// putLog puts the segments that the copy lacks, in order and a portion at a time, and returns how many bytes that took. How far
// it came is kept, also after an error. The error wraps ErrSplitBrain if another writer's segment is there. held may be nil: then what the spool
// knows of the copy is believed.
func (j *Job) putLog(ctx context.Context, c Copy, ship *shipment, held *stock) (sent int64, err error) {
	s := spool{j.Spool}
	had := s.progress(ship.lineage, c)
	have, put := had, false
	defer func() {
		if put && have != had { // or status could not tell any more what is missing
			err = errors.Join(err, s.setProgress(ship.lineage, c, have))
		}
	}()
	if held != nil {
		if have, err = held.revise(had, ship.lineage, ship.anchor); err != nil {
			return 0, err
		}
	}
	if !have.Files {
		if err := j.putBase(ctx, c, ship.lineage); err != nil {
			return 0, err
		}
		have.Files, put = true, true
	}
	need := max(have.Seq, ship.anchor)
	for at := max(have.Seq, min(need-maxOlder, ship.oldestBase(c))); at < ship.tail.Seq; {
		upTo, _, err := ship.queue.portion(at, ship.tail)
		if err != nil {
			return sent, err
		}
		segments, _, err := readLog(ctx, j.others(c), ship.lineage, at, max(at, need), upTo.position(), ship.existing)
		if err != nil {
			return sent, fmt.Errorf("segments of the log: %w: %w", errLost, err)
		}
		for _, segment := range segments {
			n, err := j.putSegment(ctx, c, segment)
			if err != nil {
				return sent, err
			}
			sent += n
			have.Seq, put = segment.Seq, true
			held.add(segment.Object(), n)
		}
		at = upTo.Seq
	}
	return sent, nil
}

// putSegment returns the size of the segment.
func (j *Job) putSegment(ctx context.Context, c Copy, s sealedSegment) (int64, error) {
	n := int64(len(s.object))
	err := c.Location.Put(ctx, s.Object(), bytes.NewReader(s.object), n)
	if errors.Is(err, ErrExists) {
		return 0, fmt.Errorf("%w: %s is not ours", ErrSplitBrain, s.Object())
	}
	return n, err
}

// others returns the other copies.
func (j *Job) others(c Copy) []Copy {
	return slices.DeleteFunc(slices.Clone(j.Copies), func(o Copy) bool { return o.Name == c.Name })
}

// putPoint puts the packs that the copy lacks, and returns how many bytes that took; and then the point, which commits
// them, once commit allows it.
func (j *Job) putPoint(ctx context.Context, c Copy, p *pendingPoint, held *stock, commit func() error) (sent int64, err error) {
	var stored map[string]int64
	if !p.fresh() {
		if stored, err = held.list(); err != nil {
			return 0, err
		}
	}
	for _, pack := range p.Packs {
		n, err := j.putPack(ctx, c, p, pack, stored)
		sent += n
		if err != nil {
			return sent, err
		}
	}
	if err := held.hasLog(p.Point); err != nil {
		return sent, err
	}
	if err := commit(); err != nil {
		return sent, err
	}
	n := int64(len(p.object))
	if err := c.Location.Put(ctx, p.Object(), bytes.NewReader(p.object), n); err != nil {
		return sent, err
	}
	if err := writeFileSync(p.marker(c), nil); err != nil {
		return sent, fmt.Errorf("mark point in spool: %w", err)
	}
	return sent + n, spool{j.Spool}.setTaken(c, p.Found)
}

// putPack puts a pack that the copy lacks: from the spool, or as another copy has it.
func (j *Job) putPack(ctx context.Context, c Copy, p *pendingPoint, pack Pack, stored map[string]int64) (sent int64, err error) {
	object := p.PackObject(pack)
	if size, ok := stored[object]; ok && size == pack.Size {
		if r, ok := c.Location.(Renewer); ok {
			return 0, r.Renew(ctx, object)
		}
		return 0, nil
	}
	path, ok := j.spooledPack(p, pack)
	if ok {
		return pack.Size, j.putFile(ctx, c, object, path, pack.Size)
	}
	temp, err := os.CreateTemp(spool{j.Spool}.lineageDir(p.Lineage), tempPrefix+"*")
	if err != nil {
		return 0, err
	}
	defer os.Remove(temp.Name())
	defer temp.Close()
	if _, err := fetchPack(ctx, p.Found, pack, j.others(c), temp); err != nil {
		return 0, fmt.Errorf("%w: %w", errLost, err)
	}
	return pack.Size, j.putFile(ctx, c, object, temp.Name(), pack.Size)
}

// spooledPack returns the file with the pack, in whichever point's directory it still is.
func (j *Job) spooledPack(p *pendingPoint, pack Pack) (path string, ok bool) {
	if path, ok := p.pack(pack); ok {
		return path, true
	}
	files, err := spool{j.Spool}.glob(strings.Join([]string{"lineages", p.Lineage, "pending", "*", pack.SHA256}, "/"))
	if err != nil || len(files) == 0 {
		return "", false
	}
	return files[0], true
}
