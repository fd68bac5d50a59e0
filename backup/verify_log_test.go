package backup

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// logOf makes the links of a log with a segment for each revision; from is the first that is of the branch.
func logOf(n int64, branch string, from int64) map[int64]*link {
	links := map[int64]*link{}
	name := func(seq int64) string {
		if seq >= from {
			return fmt.Sprint(seq, branch)
		}
		return fmt.Sprint(seq)
	}
	for seq := int64(1); seq <= n; seq++ {
		links[seq] = &link{sum: name(seq), from: seq - 1, to: seq, gap: seq == 1}
		if seq > 1 {
			links[seq].previous = name(seq - 1)
		}
	}
	return links
}

// placesOf lists the positions up to n at which some copy has, or should have, something.
func placesOf(n int64, copies ...map[int64]*link) []slot {
	var places []slot
	for seq := int64(1); seq <= n; seq++ {
		p := slot{seq: seq}
		for i, c := range copies {
			if c[seq] != nil {
				p.links = append(p.links, held{c[seq], i})
			}
		}
		places = append(places, p)
	}
	return places
}

func drop(places []slot, seqs ...int64) []slot {
	var kept []slot
	for _, p := range places {
		keep := true
		for _, seq := range seqs {
			keep = keep && p.seq != seq
		}
		if keep {
			kept = append(kept, p)
		}
	}
	return kept
}

func lack(places []slot, seqs ...int64) []slot {
	for i := range places {
		for _, seq := range seqs {
			if places[i].seq == seq {
				places[i].links = nil
			}
		}
	}
	return places
}

func need(places []slot, seqs ...int64) []slot {
	for i := range places {
		places[i].needed = slices.Contains(seqs, places[i].seq)
	}
	return places
}

func TestJudgeLog(t *testing.T) {
	a, b := logOf(6, "", 9), logOf(9, "b", 4)
	gap, jump, unsigned := logOf(6, "", 9), logOf(6, "", 9), logOf(6, "", 9)
	gap[4].gap, gap[4].to, gap[5].from = true, 10, 10
	jump[5].from = 7
	unsigned[3].err, unsigned[5].err = errFork, errFork // any will do
	for name, c := range map[string]struct {
		places []slot
		pins   []pin
		want   LogVerification // First, Last, Segments, Holes, Thinned, Forks, and how many Gaps and Breaks
		gaps   int
		breaks int
	}{
		"whole":                         {placesOf(6, a, a), []pin{{3, "3", 1}, {5, "5", 1}}, LogVerification{First: 1, Last: 6, Segments: 6}, 0, 0},
		"no point":                      {placesOf(6, a), nil, LogVerification{First: 1, Last: 6, Segments: 6}, 0, 0},
		"nothing":                       {nil, nil, LogVerification{}, 0, 0},
		"older ones are not kept":       {drop(placesOf(6, a), 1, 2), []pin{{5, "5", 1}}, LogVerification{First: 3, Last: 6, Segments: 4}, 0, 0},
		"hole":                          {drop(placesOf(6, a, a), 3, 4), []pin{{6, "6", 1}}, LogVerification{First: 1, Last: 6, Segments: 4, Thinned: []SegmentRange{{3, 4}}}, 0, 0},
		"damaged everywhere":            {lack(placesOf(6, a, a), 3), []pin{{6, "6", 1}}, LogVerification{First: 1, Last: 6, Segments: 5, Thinned: []SegmentRange{{3, 3}}}, 0, 0},
		"hole that points need":         {need(lack(placesOf(6, a, a), 2, 3, 4), 3, 5), []pin{{5, "5", 1}}, LogVerification{First: 1, Last: 6, Segments: 3, Holes: []SegmentRange{{3, 3}}, Thinned: []SegmentRange{{2, 2}, {4, 4}}}, 0, 0},
		"hole in the tail":              {drop(placesOf(6, a, a), 2, 3, 4), []pin{{3, "3", 1}}, LogVerification{First: 1, Last: 6, Segments: 3, Holes: []SegmentRange{{3, 4}}, Thinned: []SegmentRange{{2, 2}}}, 0, 0},
		"first is damaged everywhere":   {lack(placesOf(6, a, a), 1, 2), nil, LogVerification{First: 1, Last: 6, Segments: 4, Holes: []SegmentRange{{1, 2}}}, 0, 0},
		"last is damaged everywhere":    {lack(placesOf(6, a, a), 6), nil, LogVerification{First: 1, Last: 6, Segments: 5, Holes: []SegmentRange{{6, 6}}}, 0, 0},
		"all is damaged everywhere":     {lack(placesOf(3, a), 1, 2, 3), nil, LogVerification{First: 1, Last: 3, Holes: []SegmentRange{{1, 3}}}, 0, 0},
		"what a point names is nowhere": {lack(placesOf(6, a), 5, 6), []pin{{6, "6", 1}}, LogVerification{First: 1, Last: 6, Segments: 4, Thinned: []SegmentRange{{5, 5}}, Holes: []SegmentRange{{6, 6}}}, 0, 0},
		"a file of somebody's":          {append(placesOf(6, a), slot{seq: 1 << 60}), nil, LogVerification{First: 1, Last: 6, Segments: 6}, 0, 0},
		"gap that is declared":          {placesOf(6, gap), []pin{{6, "6", 1}}, LogVerification{First: 1, Last: 6, Segments: 6}, 1, 0},
		"revisions do not meet":         {placesOf(6, jump), nil, LogVerification{First: 1, Last: 6, Segments: 6}, 0, 1},
		"fork at a minority":            {placesOf(6, a, a, b), nil, LogVerification{First: 1, Last: 6, Segments: 6, Forks: []int64{4, 5, 6}}, 0, 0},
		"fork at a minority, a point":   {placesOf(6, b, b, a), []pin{{5, "5", 1}}, LogVerification{First: 1, Last: 6, Segments: 6, Forks: []int64{4, 5, 6}}, 0, 0},
		"fork that goes further":        {placesOf(9, b, a, a), []pin{{6, "6", 1}}, LogVerification{First: 1, Last: 6, Segments: 6, Forks: []int64{4, 5, 6, 7, 8, 9}}, 0, 1},
		"points on both branches":       {placesOf(6, a, b), []pin{{4, "4b", 6}, {6, "6", 1}}, LogVerification{First: 1, Last: 6, Segments: 6, Forks: []int64{4, 5, 6}}, 0, 0},
		"signature is wrong everywhere": {placesOf(6, unsigned), []pin{{4, "4", 1}}, LogVerification{First: 1, Last: 6, Segments: 6}, 0, 0}, // the next one names it
	} {
		t.Run(name, func(t *testing.T) {
			s := judgeLog("", c.places, c.pins)
			got := LogVerification{First: s.First, Last: s.Last, Segments: s.Segments, Holes: s.Holes, Thinned: s.Thinned, Forks: s.Forks}
			c.want.Holes, c.want.Forks = append([]SegmentRange{}, c.want.Holes...), append([]int64{}, c.want.Forks...)
			c.want.Thinned = append([]SegmentRange{}, c.want.Thinned...)
			if diff := cmp.Diff(c.want, got); diff != "" || len(s.Gaps) != c.gaps || len(s.Breaks) != c.breaks {
				t.Errorf("gaps %v, breaks %v, %s", s.Gaps, s.Breaks, diff)
			}
		})
	}
}

// TestJudgeSampledLog: what the sample left out is no hole, and says nothing of what comes after it.
func TestJudgeSampledLog(t *testing.T) {
	places := placesOf(6, logOf(6, "", 9))
	for i := range places {
		if i != 2 && i != 4 {
			places[i].links, places[i].unread = nil, true
		}
	}
	s := judgeLog("", drop(places, 4), []pin{{6, "6", 1}})
	if s.First != 1 || s.Last != 6 || s.Segments != 2 || len(s.Breaks) > 0 {
		t.Errorf("log: %+v", s.LogVerification)
	}
	if diff := cmp.Diff([]SegmentRange{{4, 4}}, s.Thinned); diff != "" || len(s.Holes) > 0 {
		t.Error(diff)
	}
}
