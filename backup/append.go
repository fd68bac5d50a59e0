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

// add takes the changes of a revision. Those that the log has already are passed over.
func (w *logWriter) add(b gateway.Batch) error {
	if len(b.Changes) == 0 || b.Revision <= w.tail.To {
		return nil
	}
	if w.size >= cutSegment { // when the gateway was at the last revision is not known; it was not before the tail's time
		if err := w.end(w.batches[len(w.batches)-1].Revision, w.tail.Time, false); err != nil {
			return err
		}
	}
	w.batches = append(w.batches, b)
	for _, c := range b.Changes {
		w.size += len(c.Entity.Body)
	}
	return nil
}

// gap forgets what add took: the changes up to the next end are not known.
func (w *logWriter) gap() { w.batches, w.size = nil, 0 }

// end appends a segment with what add took, up to the revision that the gateway showed at the time.
func (w *logWriter) end(to int64, at time.Time, gap bool) error {
	s, err := sealSegment(Segment{
		Lineage: w.lineage, Seq: w.tail.Seq + 1, Previous: w.tail.SHA256, From: w.tail.To, To: to,
		After: w.tail.Time, Time: at.UTC(), Gap: gap, Tool: w.tool,
	}, w.batches, w.keys)
	if err != nil {
		return err
	}
	if gap {
		if err := w.queue.noteGap(s.Seq); err != nil {
			return fmt.Errorf("append to log: %w", err)
		}
	}
	if err := w.queue.add(s); err != nil {
		return fmt.Errorf("append to log: %w", err)
	}
	w.tail, w.batches, w.size = s, nil, 0
	w.written += int64(len(s.object))
	w.changes += s.Count
	if w.added != nil {
		w.added(s)
	}
	return nil
}
