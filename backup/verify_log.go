package backup

import (
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"time"
)

// LogVerification is what Verify found of one lineage's log, all locations together.
type LogVerification struct {
	Lineage  string         `json:"lineage"`
	First    int64          `json:"first"`    // position of the first segment; later than 1 if older ones are not kept, or not read
	Last     int64          `json:"last"`     // and of the last
	Segments int            `json:"segments"` // that were read, and are whole somewhere
	Revision int64          `json:"revision"` // of the store, at the last of them
	Time     time.Time      `json:"consistency_time"`
	Gaps     []LogGap       `json:"gaps"`    // that the log declares: the writer could not learn what had changed
	Holes    []SegmentRange `json:"holes"`   // that it does not declare: a point needs them, or they are of the newest part
	Thinned  []SegmentRange `json:"thinned"` // that no point needs, and that are not kept: prune takes them
	Forks    []int64        `json:"forks"`   // positions at which some location has another writer's segment
	Breaks   []string       `json:"breaks"`  // segments that do not go on from the one before
}

// LogGap is a part of a log whose changes are not known. The state at its end, a point shows.
type LogGap struct {
	Seq  int64     `json:"seq"`
	From int64     `json:"from"` // revisions
	To   int64     `json:"to"`
	Time time.Time `json:"consistency_time"` // of its end
}

// SegmentRange is a range of positions, both included.
type SegmentRange struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

// String returns the range in words.
func (s SegmentRange) String() string {
	if s.From == s.To {
		return fmt.Sprintf("segment %d of the log", s.From)
	}
	return fmt.Sprintf("segments %d to %d of the log", s.From, s.To)
}

// slot is what the copies have at one position of a log.
type slot struct {
	seq    int64
	links  []held
	needed bool // by a point
	unread bool // some copy has something, but the sample leaves it out
}

// held is a segment that a copy has, and that can be read.
type held struct {
	*link
	copy int
}

// pin is the segment that a valid point names.
type pin struct {
	seq  int64
	sum  string
	from copySet // that have the point
}

// copySet is a set of copies by their numbers.
type copySet uint64

func (s copySet) with(i int) copySet { return s | 1<<(i%64) }

// with returns the segment of that hash. Whoever pins it makes up for a wrong signature.
func (p slot) with(sum string) *link {
	var found *link
	for _, l := range p.links {
		if l.sum == sum && (found == nil || found.err != nil) {
			found = l.link
		}
	}
	return found
}

// strand is a lineage's log as all copies together have it.
type strand struct {
	LogVerification
	canon  map[int64]string // hash of the segment that the log goes through, by position; empty where nobody can tell
	pinned int64            // where its newest valid point stands: from there on everything is kept
}

// judgeLog puts a log together from the places in their order. Where it forks, it goes on with the branch of which most
// copies have something: a segment, or a point that stands on it.
func judgeLog(lineage string, places []slot, pins []pin) *strand {
	s := &strand{canon: map[int64]string{}, LogVerification: LogVerification{
		Lineage: lineage, Gaps: []LogGap{}, Holes: []SegmentRange{}, Thinned: []SegmentRange{}, Forks: []int64{}, Breaks: []string{}}}
	s.choose(places, weigh(places, pins))
	seen := map[int64]bool{}
	for _, p := range places {
		seen[p.seq] = true
	}
	for _, p := range pins {
		if !seen[p.seq] || s.canon[p.seq] == p.sum { // where nothing was seen, nothing speaks against the point
			s.pinned = max(s.pinned, p.seq)
		}
	}
	s.tell(places)
	return s
}

// weigh returns for each segment, by position and hash, which copies have it or something that goes on from it. That includes
// segments that nobody has: a point, or the one after it, names them.
func weigh(places []slot, pins []pin) []map[string]copySet {
	weights := make([]map[string]copySet, len(places))
	index := map[int64]int{}
	for i, p := range places {
		weights[i], index[p.seq] = map[string]copySet{}, i
	}
	for _, p := range pins {
		if i, ok := index[p.seq]; ok {
			weights[i][p.sum] |= p.from
		}
	}
	for i, p := range slices.Backward(places) {
		for _, l := range p.links {
			if l.err == nil {
				weights[i][l.sum] = weights[i][l.sum].with(l.copy)
			}
		}
		for sum, weight := range weights[i] {
			before, ok := index[p.seq-1]
			if l := p.with(sum); ok && l != nil && l.previous != "" {
				weights[before][l.previous] |= weight
			}
		}
	}
	return weights
}

// choose finds the segment that the log goes through at each place.
func (s *strand) choose(places []slot, weights []map[string]copySet) {
	for i, p := range places {
		before := (*link)(nil)
		if i > 0 && places[i-1].seq+1 == p.seq {
			before = places[i-1].with(s.canon[p.seq-1])
		}
		best, others := "", false
		for _, sum := range slices.Sorted(maps.Keys(weights[i])) {
			l := p.with(sum)
			if before != nil && l != nil && l.previous != before.sum {
				others = true
				continue
			}
			if best == "" || bits.OnesCount64(uint64(weights[i][sum])) > bits.OnesCount64(uint64(weights[i][best])) {
				best = sum
			}
		}
		if best == "" && others {
			s.broken("no segment %d goes on from the one before it: what comes then is another writer's", p.seq)
			return
		}
		s.canon[p.seq] = best
	}
}

// unsigned returns where the segment that the log goes through is there, and a point or the one after it names it, but no copy has
// it with the signature of a trusted signer.
func (s *strand) unsigned(places []slot) (spans []SegmentRange) {
	for _, p := range places {
		if l := p.with(s.canon[p.seq]); l != nil && l.err != nil && !p.unread {
			spans = appendRange(spans, p.seq, p.seq)
		}
	}
	return spans
}

// settled reports whether it is beyond doubt that the log goes through the position: a point stands on it, or on what
// follows, and there is no other branch.
func (s *strand) settled(seq int64) bool {
	return seq <= s.pinned && (len(s.Forks) == 0 || seq < s.Forks[0])
}

func (s *strand) broken(format string, args ...any) {
	s.Breaks = append(s.Breaks, fmt.Sprintf(format, args...))
}

// tell says what the log came to.
func (s *strand) tell(places []slot) {
	var lacking []slot // since the last segment
	var last *link     // at s.Last, if it was read
	for _, p := range places {
		l := p.with(s.canon[p.seq])
		foreign := slices.ContainsFunc(p.links, func(o held) bool { return o.err == nil && o.sum != s.canon[p.seq] })
		if foreign {
			s.Forks = append(s.Forks, p.seq)
		}
		if l == nil && !p.unread {
			if s.canon[p.seq] != "" || !foreign {
				lacking = append(lacking, p)
			}
			continue
		}
		s.close(lacking, p.seq)
		lacking = nil
		s.join(p.seq, l, last)
		last = l
	}
	s.end(lacking)
}

// close notes what is lacking between the last segment and the one at seq. Before the first segment, that is only what lies
// there, damaged, or what a point needs.
func (s *strand) close(lacking []slot, seq int64) {
	from := s.Last + 1
	if s.First == 0 {
		if s.First, from = seq, seq; len(lacking) > 0 {
			s.First, from = lacking[0].seq, lacking[0].seq
		}
	}
	s.lack(from, seq-1, lacking)
}

// lack sorts a range of positions at which there is nothing whole into what had to be there and what had not.
func (s *strand) lack(from, to int64, lacking []slot) {
	for _, p := range lacking {
		if p.needed && p.seq < s.pinned {
			s.Thinned = appendRange(s.Thinned, from, p.seq-1)
			s.Holes = appendRange(s.Holes, p.seq, p.seq)
			from = p.seq + 1
		}
	}
	s.Thinned = appendRange(s.Thinned, from, min(to, s.pinned-1))
	s.Holes = appendRange(s.Holes, max(from, s.pinned), to)
}

// appendRange appends the range, unless it is empty, and joins it with the last if it goes on from it.
func appendRange(ranges []SegmentRange, from, to int64) []SegmentRange {
	switch n := len(ranges); {
	case from > to:
		return ranges
	case n > 0 && ranges[n-1].To+1 == from:
		ranges[n-1].To = to
		return ranges
	}
	return append(ranges, SegmentRange{from, to})
}

// join goes on to the next segment, which is nil if it was not read.
func (s *strand) join(seq int64, l, last *link) {
	follows := s.Last+1 == seq && last != nil
	s.Last = seq
	if l == nil {
		return
	}
	s.Segments++
	s.Revision, s.Time = l.to, l.time
	if l.gap && seq > 1 {
		s.Gaps = append(s.Gaps, LogGap{Seq: seq, From: l.from, To: l.to, Time: l.time})
	}
	switch {
	case follows && l.previous != last.sum:
		s.broken("segment %d does not go on from segment %d", seq, seq-1)
	case follows && l.from != last.to:
		s.broken("segment %d goes on from revision %d, but segment %d ends at %d", seq, l.from, seq-1, last.to)
	}
}

// end notes what is lacking behind the last segment. Beyond that is nothing of the log: anybody can put a file there.
func (s *strand) end(lacking []slot) {
	if len(lacking) == 0 {
		return
	}
	if s.Last == 0 {
		s.First, s.Last = lacking[0].seq, lacking[0].seq-1
	}
	from := s.Last + 1
	for _, p := range lacking {
		if p.seq == s.Last+1 {
			s.Last = p.seq
		}
	}
	s.lack(from, s.Last, lacking)
}
