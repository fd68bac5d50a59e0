package backup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"gwdr/internal/sshsig"
)

// sight is what a copy showed under the name of an object.
type sight struct {
	read   bool              // the object was read, and not only listed
	size   int64             // bytes that were read
	err    error             // nil: it is whole
	blocks []bool            // of a damaged pack: which blocks are whole
	link   *link             // of a segment that can be read, even if its signature is wrong
	files  map[string]string // of repo.tar: what it signs
}

// missing reports whether there is nothing.
func (s sight) missing() bool { return errors.Is(s.err, ErrNotExist) }

// damaged reports whether there is something, and it is known not to be what was signed. A disk that cannot read its own
// sectors counts; a location that does not answer does not.
func (s sight) damaged() bool {
	return !s.missing() && (errors.Is(s.err, ErrIntegrity) || errors.Is(s.err, syscall.EIO))
}

// link is what ties a segment into its log.
type link struct {
	sum, previous string
	from, to      int64
	time          time.Time
	gap           bool
	payload       bool
	err           error // its signature is wrong
}

func linkOf(s sealedSegment, err error) *link {
	if s.SHA256 == "" {
		return nil
	}
	return &link{sum: s.SHA256, previous: s.Previous, from: s.From, to: s.To, time: s.Time, gap: s.Gap, payload: s.Payload != nil, err: err}
}

// scrub reads what is wanted at all copies at once.
func (r *verifying) scrub(ctx context.Context) error {
	r.meter.begin("read", 0)
	r.readRepos(ctx)
	var total int64
	for i := range r.copies {
		for _, w := range r.unread(i) {
			total += w.size
		}
	}
	r.meter.begin("read", total)
	var wg sync.WaitGroup
	for i := range r.copies {
		wg.Go(func() { r.scrubCopy(ctx, i) })
	}
	wg.Wait()
	return nil
}

// readRepos reads what is signed of the objects that a lineage has once.
func (r *verifying) readRepos(ctx context.Context) {
	sums := map[string][]string{}
	for _, w := range r.wanted {
		if w.class != classRepo {
			continue
		}
		var wg sync.WaitGroup
		for i := range r.copies {
			wg.Go(func() { r.look(ctx, i, w) })
		}
		wg.Wait()
		for i := range r.copies {
			s, _ := r.sight(i, w.object)
			for name, sum := range s.files {
				sums[lineageRoot(w.lineage)+name] = append(sums[lineageRoot(w.lineage)+name], sum)
			}
		}
	}
	for _, w := range r.wanted {
		if w.class == classBase {
			w.sums = sums[w.object]
			w.skip = w.skip || len(w.sums) == 0 // nothing to hold it against; that repo.tar is not there is said already
		}
	}
}

// unread returns what of the copy is to be read, and was not.
func (r *verifying) unread(i int) []*wanted {
	var list []*wanted
	for _, w := range r.wanted {
		_, listed := r.holdings[i].objects[w.object]
		if _, seen := r.sight(i, w.object); !seen && !w.skip && r.down[i] == nil && (listed || w.class != classAttest) {
			list = append(list, w)
		}
	}
	return list
}

// maxFailures is how many requests in a row may fail before a copy gets no other.
const maxFailures = 3

// maxSmall is up to what size objects are read some at a time, each whole.
const maxSmall = 1 << 20

// scrubCopy reads the copy: small objects some at a time, others one by one.
func (r *verifying) scrubCopy(ctx context.Context, i int) {
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	const atOnce = 8
	slots := make(chan struct{}, atOnce)
	failures := 0
	var mu sync.Mutex
	look := func(w *wanted) {
		err := r.look(ctx, i, w)
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			failures = 0
			return
		}
		if failures++; failures >= maxFailures || errors.Is(err, ErrSilent) {
			giveUp(err)
		}
	}
	var wg sync.WaitGroup
	var big []*wanted
	for _, w := range r.unread(i) {
		if w.class == classPack || w.size > maxSmall {
			big = append(big, w)
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			look(w)
		})
	}
	wg.Wait()
	for _, w := range big {
		look(w)
	}
	if err := context.Cause(ctx); err != nil {
		r.down[i] = err
	}
}

// look reads the object at the copy and remembers what it is. The error says that it could not be read, which says nothing
// of the object.
func (r *verifying) look(ctx context.Context, i int, w *wanted) error {
	if r.down[i] != nil || ctx.Err() != nil {
		return nil
	}
	a := onOne(ctx, r.copies[i], allowance(r.Patience, w.size), func(ctx context.Context, c Copy) (sight, error) {
		s := inspect(ctx, c.Location, w, r.keys.Trusted, func(n int) { r.meter.add(c.Name, n) })
		return s, s.err
	})
	s := a.value
	s.err = a.err
	r.see(i, w.object, s)
	if s.err == nil || s.missing() || s.damaged() {
		return nil
	}
	return s.err
}

// inspect reads an object and holds it against what was signed.
func inspect(ctx context.Context, l Location, w *wanted, trusted sshsig.Trusted, progress func(n int)) sight {
	if w.class == classPack {
		return inspectPack(ctx, l, w, progress)
	}
	content, s := w.get(ctx, l, trusted)
	progress(len(content))
	return s
}

// get reads an object that is no pack and holds it against what was signed.
func (w *wanted) get(ctx context.Context, l Location, trusted sshsig.Trusted) (content []byte, s sight) {
	if w.class == classSegment {
		return w.getSegment(ctx, l, trusted)
	}
	content, err := readObject(ctx, l, w.object, w.limit())
	if err != nil {
		return nil, sight{err: err}
	}
	s = w.check(content, trusted)
	s.read, s.size = true, int64(len(content))
	if s.err != nil {
		s.err = fmt.Errorf("%w: %w", ErrIntegrity, s.err)
	}
	return content, s
}

// getSegment takes what a segment links also from one whose signature is wrong, which may be all that is, unless that is
// large.
func (w *wanted) getSegment(ctx context.Context, l Location, trusted sshsig.Trusted) (content []byte, s sight) {
	segment, err := getSegment(ctx, l, w.lineage, w.seq, func(s sealedSegment, signed signedContent) error {
		if s.objectSize(signed) <= smallSegment {
			return nil
		}
		return signedBy(trusted)(s, signed)
	})
	s.err = err
	if err == nil {
		if _, err := readSegment(segment.object, w.lineage, w.seq, trusted); err != nil {
			s.err = fmt.Errorf("%w: %w", ErrIntegrity, err)
		}
	}
	s.read, s.size, s.link = s.err == nil || s.damaged(), int64(len(segment.object)), linkOf(segment, s.err)
	return segment.object, s
}

func inspectPack(ctx context.Context, l Location, w *wanted, progress func(n int)) sight {
	s := sight{read: true}
	s.blocks, s.err = readBlocks(ctx, l, w.object, w.pack, func(_ int, block []byte) error {
		progress(len(block))
		s.size += int64(len(block))
		return nil
	})
	if s.err == nil {
		s.blocks = nil
	}
	s.read = !s.missing()
	return s
}

// limit is how many bytes are read at most of an object that is neither pack nor segment.
func (w *wanted) limit() int64 {
	if w.class == classAttest {
		return maxAttest
	}
	return maxPoint
}

// check holds the content of such an object against what was signed.
func (w *wanted) check(content []byte, trusted sshsig.Trusted) (s sight) {
	_, name, _ := splitObject(w.object)
	switch w.class {
	case classRepo:
		var signed repo
		if signed, s.err = readRepo(content, w.lineage, trusted); s.err != nil {
			s.err = fmt.Errorf("%s: %w", repoFile, s.err)
		}
		s.files = signed.Files
	case classBase:
		if !slices.Contains(w.sums, hexSum(content)) {
			s.err = fmt.Errorf("%s is not what %s says: do not run anything from here", name, repoFile)
		}
	case classAttest:
		_, s.err = readAttest(content, w.lineage, name, trusted)
	case classPoint:
		_, s.err = readPoint(content, w.lineage, strings.TrimSuffix(name, pointEnding), trusted)
	}
	return s
}
