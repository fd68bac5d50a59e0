package backup

import (
	"fmt"
	"time"

	"gwdr/gateway"
)

// logWriter appends to a lineage's log, in the spool.
type logWriter struct {
	keys    Keys
	tool    string
	lineage string
	queue   queue
	tail    sealedSegment       // the newest; without a Seq there is none yet
	added   func(sealedSegment) // is told of each segment that was added; may be nil

	batches []gateway.Batch // after tail
	size    int             // of their bodies, in bytes
	written int64           // bytes of the segments that were added
	changes int             // in them
}

func (j *Job) logWriter(lineage string) (*logWriter, error) {
	w := &logWriter{keys: j.Keys, tool: j.Tool, lineage: lineage, queue: spool{j.Spool}.queue(lineage)}
	var err error
	w.tail, _, err = w.queue.newest()
	return w, err
}

// maxAppend bounds, in bytes of bodies, what add holds until end.
const maxAppend = 128 << 20

// add takes the changes of a revision. Those that the log has already are passed over. The error wraps errFull if there
// are too many to hold.
func (w *logWriter) add(b gateway.Batch) error {
	if len(b.Changes) == 0 || b.Revision <= w.tail.To {
		return nil
	}
	w.batches = append(w.batches, b)
	for _, c := range b.Changes {
		w.size += len(c.Entity.Body)
	}
	if w.size > maxAppend {
		return fmt.Errorf("%w: more than %d MiB have changed", errFull, maxAppend>>20)
	}
	return nil
}

// gap forgets what add took: the changes up to the next end are not known.
func (w *logWriter) gap() { w.batches, w.size = nil, 0 }

// end appends what add took to the log, up to the revision that the gateway showed at the time: as one segment, or more of
// the same time if it is much.
func (w *logWriter) end(to int64, at time.Time, gap bool) error {
	batches := w.batches
	w.batches, w.size = nil, 0
	for {
		n := firstCut(batches)
		if n == len(batches) {
			return w.append(batches, to, at, gap)
		}
		if err := w.append(batches[:n], batches[n-1].Revision, at, false); err != nil {
			return err
		}
		batches = batches[n:]
	}
}

// firstCut returns how many of the batches go into the next segment.
func firstCut(batches []gateway.Batch) int {
	size := 0
	for i, b := range batches {
		if size >= cutSegment {
			return i
		}
		for _, c := range b.Changes {
			size += len(c.Entity.Body)
		}
	}
	return len(batches)
}

func (w *logWriter) append(batches []gateway.Batch, to int64, at time.Time, gap bool) error {
	s, err := sealSegment(Segment{
		Lineage: w.lineage, Seq: w.tail.Seq + 1, Previous: w.tail.SHA256, From: w.tail.To, To: to,
		After: w.tail.Time, Time: at.UTC(), Gap: gap, Tool: w.tool,
	}, batches, w.keys)
	if err == nil {
		_, err = readSegment(s.object, s.Lineage, s.Seq, w.keys.Trusted)
	}
	if err != nil {
		return fmt.Errorf("append to log: %w", notTrusted(err, s.Time))
	}
	if gap {
		if err := w.queue.noteGap(s.Seq); err != nil {
			return fmt.Errorf("append to log: %w", err)
		}
	}
	if err := w.queue.add(s); err != nil {
		return fmt.Errorf("append to log: %w", err)
	}
	w.tail = s
	w.written += int64(len(s.object))
	w.changes += s.Count
	if w.added != nil {
		w.added(s)
	}
	return nil
}
