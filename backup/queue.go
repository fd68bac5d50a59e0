package backup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// queue holds a lineage's segments that are not yet at every location, and always the newest, which says where the log
// stands. Its files are named as in the log.
type queue struct {
	dir     string
	lineage string
}

func (s spool) queue(lineage string) queue {
	return queue{dir: filepath.Join(s.lineageDir(lineage), "log"), lineage: lineage}
}

func (q queue) path(seq int64) string { return filepath.Join(q.dir, filepath.Base(segmentName(seq))) }

// add makes the segment durable.
func (q queue) add(s sealedSegment) error {
	if err := os.MkdirAll(q.dir, 0o700); err != nil {
		return fmt.Errorf("spool segment: %w", err)
	}
	temp := filepath.Join(q.dir, tempPrefix+filepath.Base(segmentName(s.Seq)))
	if err := writeFileSync(temp, s.object); err != nil {
		return fmt.Errorf("spool segment: %w", err)
	}
	if err := os.Rename(temp, q.path(s.Seq)); err != nil {
		return fmt.Errorf("spool segment: %w", err)
	}
	return syncDir(q.dir)
}

// numbers returns the positions of the segments that are here, in order.
func (q queue) numbers() ([]int64, error) {
	files, err := os.ReadDir(q.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read spool: %w", err)
	}
	var numbers []int64
	for _, f := range files {
		if seq, ok := parseSegmentName(logDir + f.Name()); ok {
			numbers = append(numbers, seq)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// parseSegmentName returns the position in the name of a segment's object within its lineage.
func parseSegmentName(name string) (seq int64, ok bool) {
	digits, ok := strings.CutPrefix(strings.TrimSuffix(name, ".tar"), logDir)
	seq, err := strconv.ParseInt(digits, 16, 64)
	return seq, ok && err == nil && segmentName(seq) == name
}

// get returns a segment that is here. The error wraps fs.ErrNotExist if it is not.
func (q queue) get(seq int64) (sealedSegment, error) {
	object, err := os.ReadFile(q.path(seq))
	if err != nil {
		return sealedSegment{}, err
	}
	s, _, err := parseSegment(object, q.lineage, seq)
	if err != nil {
		return sealedSegment{}, fmt.Errorf("read spool %s: %w", q.path(seq), err)
	}
	return s, nil
}

// existing is get for who can do without.
func (q queue) existing(seq int64) (sealedSegment, bool) {
	s, err := q.get(seq)
	return s, err == nil
}

// newest returns the segment at which the log stands. ok is false if there is none yet.
func (q queue) newest() (s sealedSegment, ok bool, err error) {
	numbers, err := q.numbers()
	if err != nil || len(numbers) == 0 {
		return sealedSegment{}, false, err
	}
	s, err = q.get(numbers[len(numbers)-1])
	return s, err == nil, err
}

// A portion of the log is put at a time: so many segments, or so many bytes.
const (
	portionMost  = 256
	portionBytes = 16 << 20
)

// portion returns the segment up to which a copy that has the log up to after should be brought next, on its way to tail, and
// the size of what is here of that.
func (q queue) portion(after int64, tail sealedSegment) (upTo sealedSegment, size int64, err error) {
	numbers := []int64{tail.Seq}
	if tail.Seq > after+1 {
		if numbers, err = q.numbers(); err != nil {
			return tail, 0, err
		}
	}
	first, _ := slices.BinarySearch(numbers, after+1)
	for i, seq := range numbers[first:] {
		if info, err := os.Stat(q.path(seq)); err == nil {
			size += info.Size()
		}
		if i+1 >= portionMost || size >= portionBytes {
			if seq >= tail.Seq {
				break
			}
			upTo, err = q.get(seq)
			return upTo, size, err
		}
	}
	return tail, size, nil
}

// noteGap makes durable, before there is a gap in the log, that there will be one: no point may be made of the changes on
// both sides of it, even if a crash keeps the full one away that the gap is there for.
func (q queue) noteGap(seq int64) error {
	return replaceFile(q.gapFile(), strconv.AppendInt(nil, seq, 10))
}

// lastGap returns the position of the last gap, or 0.
func (q queue) lastGap() (int64, error) {
	content, err := os.ReadFile(q.gapFile())
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	seq, err := strconv.ParseInt(string(content), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read spool %s: %w", q.gapFile(), err)
	}
	return seq, nil
}

func (q queue) gapFile() string { return filepath.Join(filepath.Dir(q.dir), "gap") }

// Bounds on the segments that wait in the spool for a location that is gone: how many, and of how many bytes.
const (
	maxQueued      = 10_000
	maxQueuedBytes = 1 << 30
)

// tidy drops the segments up to everywhere, which every location has, and the oldest of those up to majority, which can be
// had from there, if there are many.
func (q queue) tidy(everywhere, majority int64) error {
	numbers, err := q.numbers()
	if err != nil || len(numbers) == 0 {
		return err
	}
	errs := []error{}
	var size int64
	for i, seq := range slices.Backward(numbers[:len(numbers)-1]) {
		if info, err := os.Stat(q.path(seq)); err == nil {
			size += info.Size()
		}
		if seq <= everywhere || seq <= majority && (len(numbers)-i > maxQueued || size > maxQueuedBytes) {
			errs = append(errs, os.Remove(q.path(seq)))
		}
	}
	return errors.Join(errs...)
}
