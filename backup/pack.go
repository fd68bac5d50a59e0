package backup

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"

	"filippo.io/age"
	"golang.org/x/sync/errgroup"

	"gwdr/gateway"
)

// Where packs are cut depends on nothing but the entities in them, so that a change here leaves the packs elsewhere as
// they are: after packMin bytes of names and bodies a pack ends with the first entity whose name's SHA-256 begins with
// packBits zero bits, and in any case at packMax.
const (
	packMin  = 4 << 20
	packMax  = 12 << 20
	packBits = 6
)

// sealers is how many packs are sealed at the same time.
const sealers = 2

// packer cuts entities, which come in order, into packs and seals them into files of dir that their hashes name. A pack
// that is known already, by its content, is not sealed again.
type packer struct {
	dir      string
	to       []age.Recipient
	known    map[string]Pack // by Digest
	list     *lister
	progress func(int64)

	group   *errgroup.Group
	packs   []*Pack // in order; those that are being sealed are empty
	fresh   []*bool // which of packs are in dir
	current *loosePack
	spare   chan *loosePack // buffers to use again
	sealed  atomic.Int64    // bytes of tar
}

// loosePack is the content of a pack that is not sealed yet.
type loosePack struct {
	records []looseRecord
	bodies  []byte
	size    int // of names and bodies
	listing hash.Hash
}

type looseRecord struct {
	name string
	size int // of the body
}

// newPacker returns a packer, and the context to use it with: it ends when sealing fails.
func newPacker(ctx context.Context, dir string, to []age.Recipient, known []Pack, listing io.Writer, progress func(int64)) (*packer, context.Context) {
	p := &packer{dir: dir, to: to, known: map[string]Pack{}, list: newLister(listing), progress: progress,
		spare: make(chan *loosePack, sealers+1)}
	for _, pack := range known {
		p.known[pack.Digest] = pack
	}
	for range sealers + 1 {
		p.spare <- &loosePack{listing: sha256.New(), bodies: make([]byte, 0, packMin+packMin/4)}
	}
	p.group, ctx = errgroup.WithContext(ctx)
	return p, ctx
}

// add takes the next entity.
func (p *packer) add(ctx context.Context, e gateway.Entity) error {
	if p.current == nil {
		select {
		case p.current = <-p.spare:
		case <-ctx.Done():
			return cmp.Or(p.group.Wait(), ctx.Err())
		}
	}
	line, err := p.list.add(e.Ref, sha256.Sum256(e.Body))
	if err != nil {
		return err
	}
	c, name := p.current, recordName(e.Ref)
	c.listing.Write(line)
	c.records = append(c.records, looseRecord{name, len(e.Body)})
	c.bodies = append(c.bodies, e.Body...)
	c.size += len(name) + len(e.Body)
	if c.size >= packMax || c.size >= packMin && endsPack(name) {
		p.cut(ctx)
	}
	return nil
}

// endsPack reports whether a pack of sufficient size ends with the record.
func endsPack(name string) bool {
	sum := sha256.Sum256([]byte(name))
	return sum[0]>>(8-packBits) == 0
}

// cut seals what has come since the last cut.
func (p *packer) cut(ctx context.Context) {
	c := p.current
	p.current = nil
	pack, fresh := new(Pack), new(bool)
	p.packs, p.fresh = append(p.packs, pack), append(p.fresh, fresh)
	digest := hex.EncodeToString(c.listing.Sum(nil))
	if known, ok := p.known[digest]; ok {
		*pack = known
		p.recycle(c)
		return
	}
	*fresh = true
	p.group.Go(func() error {
		defer p.recycle(c)
		sealed, err := p.seal(ctx, c)
		if err != nil {
			return err
		}
		sealed.Digest = digest
		*pack = sealed
		return nil
	})
}

func (p *packer) recycle(c *loosePack) {
	c.records, c.bodies, c.size = c.records[:0], c.bodies[:0], 0
	c.listing.Reset()
	p.spare <- c
}

// finish seals the rest. It returns the packs in order, those of them that are new, and what all of them hold.
func (p *packer) finish(ctx context.Context) (packs, fresh []Pack, digest string, counts map[gateway.Kind]int, err error) {
	if p.current != nil {
		p.cut(ctx)
	}
	err = p.group.Wait()
	digest, counts, listErr := p.list.finish()
	if err := errors.Join(err, listErr); err != nil {
		return nil, nil, "", nil, err
	}
	packs = []Pack{}
	for i, pack := range p.packs {
		packs = append(packs, *pack)
		if *p.fresh[i] {
			fresh = append(fresh, *pack)
		}
	}
	return packs, fresh, digest, counts, nil
}

// abandon waits for what is being sealed, after an error.
func (p *packer) abandon() { _ = p.group.Wait() }

// seal writes a pack to a file, and leaves it there under the name of its hash.
func (p *packer) seal(ctx context.Context, c *loosePack) (Pack, error) {
	f, err := os.CreateTemp(p.dir, "pack-*")
	if err != nil {
		return Pack{}, err
	}
	pack, err := sealPack(ctx, f, c, p.to, func(n int64) { p.progress(p.sealed.Add(n)) })
	if err := closeSync(f, err); err != nil {
		return Pack{}, fmt.Errorf("seal pack: %w", err)
	}
	return pack, os.Rename(f.Name(), filepath.Join(p.dir, pack.SHA256))
}
