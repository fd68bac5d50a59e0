package backup

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// branch is one way on from the point.
type branch struct {
	segments []sealedSegment
	from     []string
	stop     string
	gaps     []TailGap
	support  int              // copies that are on it
	strayed  map[string]int64 // copies that are not, and where they have something else
}

// walk goes from the point forwards to the bound, asking the copies in their order.
func (r *tailReader) walk(ctx context.Context, order []Copy) (b branch) {
	at, revision, known := r.found.Log, r.found.Revision, r.found.Time
	for seq := at.Seq + 1; seq <= r.last && ctx.Err() == nil && !(r.bound.Before > 0 && revision >= r.bound.Before-1); seq++ {
		if (seq-r.found.Log.Seq)%tailAhead == 1 {
			r.ahead(ctx, order, seq)
		}
		s, from, err := r.next(ctx, order, seq, at, revision)
		if err != nil && (r.bound.AcrossGaps || !r.bound.Time.IsZero()) {
			switch beyond, of, ok := r.beyond(ctx, order, seq+1, revision); {
			case ok && beyond.Seq == seq+1 && r.tooLate(beyond.After): // what is lost is later than what is wanted
				return b
			case ok && r.bound.AcrossGaps:
				b.gaps = append(b.gaps, TailGap{After: revision, To: beyond.From, From: known, Until: beyond.After, Why: err.Error()})
				s, from, err, seq = beyond, of, nil, beyond.Seq
			}
		}
		if err == nil && r.tooLate(s.Time) {
			return b
		}
		if err == nil && s.Gap {
			err = fmt.Errorf("the log has a gap at segment %d", seq)
			if r.bound.AcrossGaps {
				b.gaps = append(b.gaps, TailGap{After: s.From, To: s.To, From: known, Until: s.Time, Why: err.Error()})
				err = nil
			}
		}
		if err != nil {
			b.stop = r.stop(revision, seq, err)
			return b
		}
		b.segments, b.from = append(b.segments, s), append(b.from, from)
		at, revision, known = s.position(), s.To, s.Time
	}
	return b
}

// tooLate reports whether the time is beyond the bound.
func (r *tailReader) tooLate(t time.Time) bool {
	return !r.bound.Time.IsZero() && t.After(r.bound.Time)
}

// stop says why the log cannot be followed.
func (r *tailReader) stop(revision, seq int64, err error) string {
	if seq == r.last {
		return fmt.Sprintf("the changes after revision %d are not known: %v", revision, err)
	}
	return fmt.Sprintf("the changes after revision %d are not known: %v; there are more segments, up to %d", revision, err, r.last)
}

// beyond returns the first segment from the position on that any copy has whole, and that does not go back behind the
// revision.
func (r *tailReader) beyond(ctx context.Context, order []Copy, seq, revision int64) (s sealedSegment, from string, ok bool) {
	next, _ := slices.BinarySearch(r.known, seq)
	for _, seq := range r.known[next:] { // not one by one: whoever puts anything there chooses how far it is
		s, from, err := r.first(ctx, order, seq, func(s sealedSegment) bool { return s.From >= revision })
		if err == nil {
			return s, from, true
		}
		if ctx.Err() != nil {
			break
		}
	}
	return s, "", false
}
