package backup

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// Repair is what came of putting an object back at one location.
type Repair struct {
	Copy    string `json:"location"`
	Object  string `json:"object"`
	Problem string `json:"problem"`         // that was found
	Healed  bool   `json:"healed"`          // it was put back, and read again
	From    string `json:"from,omitempty"`  // location that the bytes are from; several, joined by +, if each had a part
	Moved   string `json:"moved,omitempty"` // where what was there is now
	Error   string `json:"error,omitempty"` // why it was not healed
	Err     error  `json:"-"`
}

// Reasons not to heal.
var (
	// ErrKeeps is wrapped when a location cannot move a damaged object out of the way.
	ErrKeeps = errors.New("the location does not let gwdr move what is damaged away")
	// errNowhere is wrapped when all copies were asked, and none has it, nor all of them together.
	errNowhere = errors.New("no location has it whole")
	// errOther is why a damaged object is not touched that is whole nowhere.
	errOther = errors.New("it is left as it is, because another location could not be healed")
	// errUnread is wrapped when the sample left out what is to be put back.
	errUnread = errors.New("it was not read in this run: verify with --all")
	// errNotCommitted: whoever puts it back could decide between two writers.
	errNotCommitted = errors.New("it is not at most of the locations, and no point stands on it without dispute: it is the writers' business")
	// errForeign: another writer's points may stand on it.
	errForeign = errors.New("it is another writer's, which gwdr never replaces")
)

// repair puts back what copies lack, or have damaged, with bytes that were verified in this run; what a point needs before
// the point. It heals nothing else, and overwrites nothing.
func (r *verifying) repair(ctx context.Context) error {
	if !r.Repair {
		return nil
	}
	var total int64
	lacking := map[*wanted][]int{}
	for _, w := range r.wanted {
		for i := range r.copies {
			if s, ok := r.sight(i, w.object); ok && r.down[i] == nil && r.problem(i, w, s, true) != nil {
				lacking[w] = append(lacking[w], i)
				total += w.size * int64(1+boolToInt(s.damaged())) // what is damaged is read once more before
			}
		}
	}
	r.meter.begin("heal", total)
	for _, w := range r.wanted {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if len(lacking[w]) > 0 {
			r.heal(ctx, w, lacking[w])
		}
	}
	return nil
}

// heal puts the object back at the copies that lack it.
func (r *verifying) heal(ctx context.Context, w *wanted, lacking []int) {
	body, from, err := (*content)(nil), "", errUnread
	if !w.skip {
		if body, from, err = r.source(ctx, w); err == nil {
			defer body.Close()
		}
	}
	// Where it is missing nothing can be spoiled: there first.
	slices.SortStableFunc(lacking, func(a, b int) int {
		sa, _ := r.sight(a, w.object)
		sb, _ := r.sight(b, w.object)
		return boolToInt(sa.damaged()) - boolToInt(sb.damaged())
	})
	sole := len(r.wholeAt(w)) == 0 // it is whole nowhere, but in parts: what is there must not be spoiled
	for _, i := range lacking {
		s, _ := r.sight(i, w.object)
		repair := Repair{Copy: r.copies[i].Name, Object: w.object, Problem: r.problem(i, w, s, err == nil).Error(), Err: err}
		if err == nil {
			repair.From, repair.Moved, repair.Err = r.healAt(ctx, i, w, body, from, sole)
			sole = sole && repair.Err != nil
		}
		if sole && repair.Moved != "" { // one such failure is enough
			err = errOther
		}
		if repair.Healed = repair.Err == nil; !repair.Healed {
			repair.Error, repair.From = repair.Err.Error(), ""
		}
		r.v.Repairs = append(r.v.Repairs, repair)
	}
}

// healAt puts the object back at one copy, and reads it again. What is damaged is read once more before: a broken connection
// looks like a truncated object, and what is whole must not be moved away.
// Where the object is whole nowhere, sole says so: then its bytes are put under another name before.
func (r *verifying) healAt(ctx context.Context, i int, w *wanted, body *content, from string, sole bool) (source, moved string, err error) {
	s, _ := r.sight(i, w.object)
	if s.damaged() {
		_ = r.look(ctx, i, w) // the sight has its error
		if s, _ = r.sight(i, w.object); s.err == nil && !r.foreign(w, s) {
			return r.copies[i].Name, "", nil
		}
	}
	if err := r.mayHeal(i, w, s); err != nil {
		return "", "", err
	}
	if ctx.Err() != nil { // it was not read again
		return "", "", context.Cause(ctx)
	}
	// Who interrupts this may not leave nothing where something was.
	a := onOne(context.WithoutCancel(ctx), r.copies[i], allowance(r.Patience, 3*body.size), func(ctx context.Context, c Copy) (string, error) {
		if sole && !s.missing() {
			return replace(ctx, c.Location, w.object, body, s)
		}
		moved, err := makeWay(ctx, c.Location, w.object, s)
		if err != nil {
			return "", err
		}
		return moved, body.put(ctx, c.Location, w.object)
	})
	if a.err != nil {
		if errors.Is(a.err, ErrSilent) {
			r.down[i] = a.err
		}
		return "", a.value, a.err
	}
	if err := r.look(context.WithoutCancel(ctx), i, w); err != nil {
		return "", a.value, fmt.Errorf("read it again: %w", err)
	}
	if healed, _ := r.sight(i, w.object); healed.err != nil {
		return "", a.value, fmt.Errorf("it was put back, and is not whole: %w", healed.err)
	}
	return from, a.value, nil
}

// asideName is where the bytes of an object are put while the object itself is replaced.
func asideName(object string) string { return object + ".healing" }

// replace puts the bytes beside the object first, so that they are there whatever happens then.
func replace(ctx context.Context, l Location, object string, body *content, s sight) (moved string, err error) {
	if err := body.put(ctx, l, asideName(object)); err != nil {
		return "", fmt.Errorf("nothing was moved: %w", err)
	}
	moved, err = makeWay(ctx, l, object, s)
	if err == nil {
		err = body.put(ctx, l, object)
	}
	if err != nil && moved != "" {
		return moved, fmt.Errorf("what is whole is at %s: %w", asideName(object), err)
	}
	if remover, ok := l.(Remover); ok {
		err = errors.Join(err, remover.Remove(ctx, asideName(object)))
	}
	return moved, err
}

// put puts the bytes. It reads with a reader of its own: a driver that is left behind goes on reading.
func (c *content) put(ctx context.Context, l Location, object string) error {
	return l.Put(ctx, object, io.NewSectionReader(c, 0, c.size), c.size)
}

// makeWay makes sure that nothing is under the name.
func makeWay(ctx context.Context, l Location, object string, s sight) (moved string, err error) {
	if s.missing() {
		return "", nil
	}
	q, ok := l.(Quarantiner)
	if !ok {
		return "", ErrKeeps
	}
	moved, err = q.Quarantine(ctx, object)
	switch {
	case errors.Is(err, ErrNotExist): // somebody did it already
		return "", nil
	case errors.Is(err, errors.ErrUnsupported):
		return moved, fmt.Errorf("%w: %w", ErrKeeps, err)
	}
	return moved, err
}

// mayHeal says why the copy must not get the object.
func (r *verifying) mayHeal(i int, w *wanted, s sight) error {
	switch {
	case r.down[i] != nil:
		return r.down[i]
	case s.err == nil:
		return errForeign
	case !s.missing() && !s.damaged():
		return fmt.Errorf("it cannot be read, which does not say that it is damaged: %w", s.err)
	case w.class == classSegment && !r.logs[w.lineage].settled(w.seq) && len(r.wholeAt(w))*2 <= len(r.copies):
		return errNotCommitted
	case w.class == classPoint:
		return r.needs(i, w.point)
	}
	return nil
}

// needs says what the copy lacks that the point needs: a point that is there must be whole.
func (r *verifying) needs(i int, f *Found) error {
	var needed []*wanted
	for _, pack := range f.Packs {
		needed = append(needed, r.index[f.PackObject(pack)])
	}
	for seq := f.Log.Seq; seq > max(f.Base.Seq, f.Log.Seq-maxReplay); seq-- {
		needed = append(needed, r.index[lineageRoot(f.Lineage)+segmentName(seq)])
	}
	for _, w := range needed {
		if w == nil || w.skip {
			return fmt.Errorf("what the point needs: %w", errUnread)
		}
		if !r.whole(i, w) {
			return fmt.Errorf("what the point needs is not whole here: %s", w.object)
		}
	}
	return nil
}

// content is the verified bytes of an object.
type content struct {
	io.ReaderAt
	io.Closer
	size int64
}

// again is an object that was read once more.
type again struct {
	content []byte
	sight   sight
}

// source returns the object as it was signed, and the names of the copies that it is from.
func (r *verifying) source(ctx context.Context, w *wanted) (*content, string, error) {
	if w.class == classPack {
		return r.packSource(ctx, w)
	}
	var errs []error
	for _, i := range r.wholeAt(w) {
		a := onOne(ctx, r.copies[i], r.Patience, func(ctx context.Context, c Copy) (again, error) {
			content, s := w.get(ctx, c.Location, r.keys.Trusted)
			if s.read {
				return again{content, s}, nil
			}
			return again{}, s.err
		})
		if a.err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", r.copies[i].Name, a.err))
			continue
		}
		if object, s := a.value.content, a.value.sight; s.err == nil && !r.foreign(w, s) {
			return &content{bytes.NewReader(object), io.NopCloser(nil), int64(len(object))}, r.copies[i].Name, nil
		}
		errs = append(errs, fmt.Errorf("%s: it has changed since it was read", r.copies[i].Name))
	}
	return nil, "", errors.Join(append(errs, errNowhere)...)
}

// asideSource returns the pack as an earlier repair left it under another name.
func (r *verifying) asideSource(ctx context.Context, w *wanted) (*content, string, error) {
	for i, c := range r.copies {
		if r.down[i] != nil {
			continue
		}
		a := onOne(ctx, c, allowance(r.Patience, w.pack.Size), func(ctx context.Context, c Copy) ([]byte, error) {
			return readObject(ctx, c.Location, asideName(w.object), w.pack.Size+1)
		})
		if a.err == nil && hexSum(a.value) == w.pack.SHA256 {
			return &content{bytes.NewReader(a.value), io.NopCloser(nil), w.pack.Size}, c.Name, nil
		}
	}
	return nil, "", errNowhere
}

// packSource puts the pack together, of blocks if need be, and holds it against its name.
func (r *verifying) packSource(ctx context.Context, w *wanted) (*content, string, error) {
	if !r.restorable(w) {
		return r.asideSource(ctx, w)
	}
	file, from, err := r.fetch(ctx, w)
	if err != nil {
		return nil, "", err
	}
	if err := sumIs(file, w.pack); err != nil {
		return nil, "", errors.Join(err, file.Close())
	}
	return &content{file, file, w.pack.Size}, from, nil
}

func sumIs(file *os.File, pack Pack) error {
	sum := sha256.New()
	n, err := io.Copy(sum, io.NewSectionReader(file, 0, pack.Size+1))
	if err != nil {
		return err
	}
	if n != pack.Size || hex.EncodeToString(sum.Sum(nil)) != pack.SHA256 {
		return fmt.Errorf("%w: its blocks do not make the pack of its name", ErrIntegrity)
	}
	return nil
}
