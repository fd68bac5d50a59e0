package backup

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"filippo.io/age"

	"gwdr/gateway"
)

// open decrypts what was read and is not lost: points, whose states must be what was signed; with a sample, the packs in it;
// and the segments of the log that no point needs. It holds no state: names and hashes pass by, in order, and of the log
// only hashes are kept.
func (r *verifying) open(ctx context.Context) error {
	if len(r.keys.Identities) == 0 {
		return nil
	}
	var total int64
	for _, w := range r.wanted {
		if !w.skip && (w.class == classPack || w.class == classSegment) {
			total += w.size
		}
	}
	r.meter.begin("decrypt", total)
	opened := map[string]bool{}
	if r.v.Scope == scopeSample {
		if err := r.openPacks(ctx); err != nil {
			return err
		}
	} else if err := r.openPoints(ctx, opened); err != nil {
		return err
	}
	return r.openLog(ctx, opened)
}

// siblings are points that stand on the same packs, in the order of their positions on one log.
type siblings struct {
	points []*Found
	chain  []*link // of the last, from the newest segment back
}

// maxSiblings bounds how many digests are computed at a time.
const maxSiblings = 32

// groups returns the points that are not lost.
func (r *verifying) groups() []*siblings {
	var all []*siblings
	index := map[string][]*siblings{}
	longest := slices.Clone(r.scope)
	slices.SortStableFunc(longest, func(a, b Found) int { return cmp.Compare(b.Log.Seq, a.Log.Seq) })
	for i := range longest { // from the longest log to the shortest
		f := &longest[i]
		if _, err := r.judgePoint(f); err != nil {
			continue
		}
		base := baseOf(f)
		k := slices.IndexFunc(index[base], func(m *siblings) bool { return len(m.points) < maxSiblings && m.passes(f.Log) })
		if k < 0 {
			chain, _, _ := r.chain(f)
			k = len(index[base])
			index[base] = append(index[base], &siblings{chain: chain})
			all = append(all, index[base][k])
		}
		index[base][k].points = append(index[base][k].points, f)
	}
	return all
}

// baseOf names what the point's packs show.
func baseOf(f *Found) string {
	names := []string{f.Lineage, fmt.Sprint(f.Base.Seq)}
	for _, pack := range f.Packs {
		names = append(names, pack.SHA256)
	}
	return strings.Join(names, " ")
}

// passes reports whether the position is on the group's log.
func (m *siblings) passes(at Position) bool {
	newest := m.points[0]
	i := newest.Log.Seq - at.Seq
	return newest.Log == at || i > 0 && i < int64(len(m.chain)) && m.chain[i].sum == at.SHA256 ||
		i == int64(len(m.chain)) && i > 0 && m.chain[i-1].previous == at.SHA256
}

func (r *verifying) openPoints(ctx context.Context, opened map[string]bool) error {
	for _, m := range r.groups() {
		d := &digests{changes: map[gateway.Ref][]step{}}
		if err := r.openChain(ctx, m, d, opened); err != nil {
			return err
		}
		if len(m.points) == 0 {
			continue
		}
		if err := r.unopened(ctx, r.openSiblings(ctx, m, d), m.points...); err != nil {
			return err
		}
	}
	return nil
}

// openChain reads the changes that come on top of the group's packs. A point that needs a segment that cannot be read
// leaves the group.
func (r *verifying) openChain(ctx context.Context, m *siblings, d *digests, opened map[string]bool) error {
	newest := m.points[0]
	for i, l := range slices.Backward(m.chain) {
		seq := newest.Log.Seq - int64(i)
		w := r.index[lineageRoot(newest.Lineage)+segmentName(seq)]
		opened[w.object] = true
		err := r.openSegment(ctx, w, l, func(_ int64, c gateway.Change) {
			d.changes[c.Entity.Ref] = append(d.changes[c.Entity.Ref], step{seq, fingerprintOf(c)})
		})
		if err != nil {
			k := slices.IndexFunc(m.points, func(f *Found) bool { return f.Log.Seq < seq })
			if k < 0 {
				k = len(m.points)
			}
			failed := m.points[:k]
			m.points = m.points[k:]
			return r.unopened(ctx, err, failed...)
		}
	}
	return nil
}

// openSiblings computes the digests of the group in one pass over its packs.
func (r *verifying) openSiblings(ctx context.Context, m *siblings, d *digests) error {
	d.begin(m.points)
	for _, pack := range m.points[0].Packs {
		if err := r.openPack(ctx, r.index[m.points[0].PackObject(pack)], d.add); err != nil {
			return err
		}
	}
	if err := d.flush(nil); err != nil {
		return err
	}
	for i, f := range m.points {
		digest, _, err := d.lists[i].finish()
		if err != nil {
			return err
		}
		if digest != f.Digest {
			r.lose(f, fmt.Errorf("%w: state has the digest %.12s, not %.12s", ErrIntegrity, digest, f.Digest))
			continue
		}
		r.v.Decrypted++
	}
	return nil
}

// unopened sorts the error of opening the points: they are sealed for others, or lost; or else nothing can be opened, and
// the error comes back.
func (r *verifying) unopened(ctx context.Context, err error, points ...*Found) error {
	var names []string
	for _, f := range points {
		names = append(names, lineageRoot(f.Lineage)+f.Name)
	}
	return r.unopenedObjects(ctx, err, names...)
}

func (r *verifying) unopenedObjects(ctx context.Context, err error, names ...string) error {
	stranger := (*age.NoIdentityMatchError)(nil)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return err
	case errors.Is(err, ErrNoIdentity):
		r.unusable = err
		r.v.Sealed = append(r.v.Sealed, names...)
	case errors.As(err, &stranger):
		r.v.Sealed = append(r.v.Sealed, names...)
	default:
		for _, name := range names {
			r.v.Lost = append(r.v.Lost, fmt.Sprintf("%s: %v", name, err))
		}
	}
	return nil
}

// openPacks decrypts the packs of the sample, each of which has a digest of its own.
func (r *verifying) openPacks(ctx context.Context) error {
	for _, w := range r.wanted {
		if w.class != classPack || w.skip || !r.restorable(w) {
			continue
		}
		if err := r.unopenedObjects(ctx, r.openPack(ctx, w, func(gateway.Ref, fingerprint) error { return nil }), w.object); err != nil {
			return err
		}
	}
	return nil
}

// openLog decrypts the segments that were read and that no point needed.
func (r *verifying) openLog(ctx context.Context, opened map[string]bool) error {
	for _, w := range r.wanted {
		if w.class != classSegment || w.skip || opened[w.object] {
			continue
		}
		l := r.slot(w).with(r.logs[w.lineage].canon[w.seq])
		if l == nil {
			continue
		}
		if err := r.unopenedObjects(ctx, r.openSegment(ctx, w, l, func(int64, gateway.Change) {}), w.object); err != nil {
			return err
		}
	}
	return nil
}

// openSegment hands the changes of the segment to each.
func (r *verifying) openSegment(ctx context.Context, w *wanted, l *link, each func(int64, gateway.Change)) error {
	r.meter.add("", int(w.size))
	if !l.payload {
		return nil
	}
	s, _, err := fetchSegment(ctx, r.likeliest(w), w.lineage, w.seq, pinnedBy(l.sum))
	if err != nil {
		return err
	}
	if err := s.changes(r.keys.Identities, each); err != nil {
		return unlessIdentity(err)
	}
	r.v.Opened++
	return nil
}

// openPack hands the names of the pack's entities and the hashes of their bodies to each, and makes sure that they are those
// of its digest.
func (r *verifying) openPack(ctx context.Context, w *wanted, each func(gateway.Ref, fingerprint) error) error {
	spool, _, err := r.fetch(ctx, w)
	if err != nil {
		return err
	}
	defer spool.Close()
	list := newLister(io.Discard)
	err = openPack(io.NewSectionReader(spool, 0, w.pack.Size), w.pack, r.keys.Identities, func(e gateway.Entity) error {
		sum := sha256.Sum256(e.Body)
		if _, err := list.add(e.Ref, sum); err != nil {
			return err
		}
		return each(e.Ref, sum)
	})
	if err != nil {
		return unlessIdentity(err)
	}
	digest, _, err := list.finish()
	if err == nil && digest != w.pack.Digest {
		err = fmt.Errorf("%w: pack %.8s has the digest %.12s, not %.12s", ErrIntegrity, w.pack.SHA256, digest, w.pack.Digest)
	}
	r.v.Opened++
	r.meter.add("", int(w.pack.Size))
	return err
}

// fetch puts the pack, made of whole blocks, into a file without a name.
func (r *verifying) fetch(ctx context.Context, w *wanted) (file *os.File, from string, err error) {
	// Ciphertext: it may lie on disk.
	if file, err = nameless(); err != nil {
		return nil, "", fmt.Errorf("fetch pack: %w", err)
	}
	of := *w.point
	of.Copies = nil // the order is ours: copies that have this pack whole come first
	if from, err = fetchPack(ctx, of, w.pack, r.likeliest(w), file); err != nil {
		return nil, "", errors.Join(err, file.Close())
	}
	return file, from, nil
}
