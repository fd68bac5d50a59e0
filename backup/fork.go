package backup

import (
	"context"
	"slices"
	"sync"

	"gwdr/internal/sshsig"
)

// Forks finds out where copies have another writer's log in place of the one that a point stands on. It reads little: a
// listing for each lineage, and a segment or two of each copy. It is safe for concurrent use.
type Forks struct {
	copies  []Copy
	trusted sshsig.Trusted

	mu      sync.Mutex
	readers map[string]*tailReader // by lineage; nil: no copy lists it
}

// NewForks looks at the copies.
func NewForks(copies []Copy, trusted sshsig.Trusted) *Forks {
	return &Forks{copies: Attentive(copies), trusted: trusted, readers: map[string]*tailReader{}}
}

// judge returns the names of the copies whose log is the one that the point stands on, as far as it goes there, and of those
// that have another one. A copy that cannot be read, or that keeps only what is newer, is in neither.
func (f *Forks) judge(ctx context.Context, point Found) (with, against []string) {
	r := f.reader(ctx, point.Lineage)
	if r == nil {
		return nil, nil
	}
	own := r.holder(ctx, point)
	votes := poll(ctx, r.copies, func(ctx context.Context, c Copy) vote { return r.side(ctx, c, own, point) })
	for _, c := range r.copies {
		switch votes[c.Name] {
		case ours:
			with = append(with, c.Name)
		case foreign:
			against = append(against, c.Name)
		}
	}
	return with, against
}

func (f *Forks) reader(ctx context.Context, lineage string) *tailReader {
	f.mu.Lock()
	defer f.mu.Unlock()
	r, ok := f.readers[lineage]
	if ok {
		return r
	}
	r = &tailReader{found: Found{Point: Point{Lineage: lineage}}, trusted: f.trusted, read: map[tailKey]tailRead{}, silent: map[string]bool{}}
	if err := r.list(ctx, f.copies); err != nil {
		r = nil
	}
	f.readers[lineage] = r
	return r
}

// holder returns a copy that has the very segment at which the point stands, or nil.
func (r *tailReader) holder(ctx context.Context, point Found) *Copy {
	_, from, err := r.first(ctx, likeliest(point, r.copies), point.Log.Seq, func(s sealedSegment) bool { return s.SHA256 == point.Log.SHA256 })
	if err != nil {
		return nil
	}
	i := slices.IndexFunc(r.copies, func(c Copy) bool { return c.Name == from })
	return &r.copies[i]
}

// side says whether the copy has the log of the point. own is a copy that has it.
func (r *tailReader) side(ctx context.Context, c Copy, own *Copy, point Found) vote {
	at := int64(0)
	for seq := range r.listed[c.Name] {
		if seq <= point.Log.Seq {
			at = max(at, seq)
		}
	}
	if at == 0 || at < point.Log.Seq && (own == nil || !r.listed[own.Name][at]) {
		return silent
	}
	s, err := r.fetch(ctx, c, at)
	if err != nil {
		return silent
	}
	want := point.Log.SHA256
	if at < point.Log.Seq {
		same, err := r.fetch(ctx, *own, at)
		if err != nil {
			return silent
		}
		want = same.SHA256
	}
	if s.SHA256 == want {
		return ours
	}
	return foreign
}

// Stray reports whether more copies have another writer's log than have the point's; against names those that have, in any
// case.
func (f *Forks) Stray(ctx context.Context, point Found) (stray bool, against []string) {
	with, against := f.judge(ctx, point)
	slices.Sort(against)
	return len(against) > len(with), against
}

// maxStrays bounds how many points of a lineage are looked at by Strays, and do not stray, before no more are: of few copies each
// may have been pruned by other rules.
const maxStrays = 16

// Strays returns the SHA256 of those of the points, which are sorted as by Find, that Stray reports. It looks only at what at
// most half of the copies hold: a writer whom few follow cannot have put more.
func (f *Forks) Strays(ctx context.Context, points []Found) map[string]bool {
	strays, looked := map[string]bool{}, map[string]int{}
	for _, p := range points {
		if 2*len(p.Copies) > len(f.copies) || looked[p.Lineage] >= maxStrays {
			continue
		}
		if stray, _ := f.Stray(ctx, p); stray {
			strays[p.SHA256] = true
		} else {
			looked[p.Lineage]++
		}
	}
	return strays
}
