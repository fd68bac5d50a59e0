package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"

	"filippo.io/age"
	"golang.org/x/sync/errgroup"

	"gwdr/gateway"
)

// Load returns the state that the point holds, and where each pack and each segment of the log came from. It reads from the copies in turn and takes from each what is whole, down to blocks of a MiB: several damaged
// copies may make a good one. Without any way to the signed content the error wraps
// ErrIntegrity, unless the copies just cannot be reached, or an identity that may fit cannot be used: then it wraps
// ErrNoIdentity.
func Load(ctx context.Context, found Found, copies []Copy, identities []age.Identity) (*gateway.State, Provenance, error) {
	if len(identities) == 0 {
		return nil, nil, fmt.Errorf("load %s: %w: no identity to decrypt with", found.Name, ErrIntegrity)
	}
	l, copies := loading{state: gateway.NewState()}, Attentive(copies)
	if err := l.packs(ctx, found, copies, identities); err != nil {
		return nil, nil, fmt.Errorf("load %s: %w", found.Name, err)
	}
	if err := l.log(ctx, found, copies, identities); err != nil {
		return nil, nil, fmt.Errorf("load %s: %w", found.Name, err)
	}
	if digest := l.state.Digest(); digest != found.Digest {
		return nil, nil, fmt.Errorf("load %s: %w: state has the digest %.12s, not %.12s", found.Name, ErrIntegrity, digest, found.Digest)
	}
	l.provenance.sort()
	return l.state, l.provenance, nil
}

// loading is what Load has so far.
type loading struct {
	mu         sync.Mutex
	state      *gateway.State
	provenance Provenance
}

// loaders is how many packs are loaded at the same time: some are on their way while others are opened.
const loaders = 4

// packs adds what the packs hold, some packs at a time.
func (l *loading) packs(ctx context.Context, found Found, copies []Copy, identities []age.Identity) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(loaders)
	for _, pack := range found.Packs {
		group.Go(func() error {
			from, entities, err := loadPack(ctx, found, pack, copies, identities)
			if err != nil {
				return err
			}
			l.mu.Lock()
			defer l.mu.Unlock()
			for _, e := range entities {
				l.state.Put(e)
			}
			l.provenance = append(l.provenance, Origin{found.PackObject(pack), from, pack.Count})
			return nil
		})
	}
	return group.Wait()
}

// log lays the changes since the packs over them.
func (l *loading) log(ctx context.Context, found Found, copies []Copy, identities []age.Identity) error {
	segments, from, err := readLog(ctx, likeliest(found, copies), found.Lineage, found.Base.Seq, found.Base.Seq, found.Log, nil)
	if err != nil {
		return err
	}
	for i, s := range segments {
		if s.Gap {
			return fmt.Errorf("%w: the log has a gap at segment %d", ErrIntegrity, s.Seq)
		}
		err := s.changes(identities, func(_ int64, c gateway.Change) { l.state.Apply(c) })
		if err != nil {
			return unlessIdentity(err)
		}
		if s.Count > 0 {
			l.provenance = append(l.provenance, Origin{s.Object(), from[i], s.Count})
		}
	}
	return nil
}

func loadPack(ctx context.Context, found Found, pack Pack, copies []Copy, identities []age.Identity) (from string, entities []gateway.Entity, err error) {
	// Ciphertext: it may lie on disk.
	spool, err := nameless()
	if err != nil {
		return "", nil, fmt.Errorf("fetch pack: %w", err)
	}
	defer spool.Close()
	from, err = fetchPack(ctx, found, pack, copies, spool)
	if err != nil {
		return "", nil, err
	}
	err = openPack(io.NewSectionReader(spool, 0, pack.Size), pack, identities, func(e gateway.Entity) error {
		entities = append(entities, e)
		return nil
	})
	if err != nil {
		return "", nil, unlessIdentity(err)
	}
	return from, entities, nil
}

// unlessIdentity is the error of opening something, which is one of integrity unless an identity cannot be used: that says
// nothing of what was to be opened.
func unlessIdentity(err error) error {
	if errors.Is(err, ErrNoIdentity) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrIntegrity, err)
}

// fetchPack writes the pack to the file and returns the names of the copies that it came from, joined by +.
func fetchPack(ctx context.Context, found Found, pack Pack, copies []Copy, file *os.File) (string, error) {
	b := blocks{pack: pack, file: file, good: make([]bool, len(pack.Blocks))}
	inTurn(ctx, likeliest(found, copies), allowance(patience, pack.Size), func(ctx context.Context, c Copy) ([]bool, error) {
		return b.fetch(ctx, c, found.PackObject(pack))
	}, b.take)
	if slices.Contains(b.good, false) {
		return "", nowhere(pack, b.errs)
	}
	return strings.Join(b.from, "+"), nil
}

// nowhere is the error of a pack that no copy, nor all of them together, gave. It wraps errNowhere if they were all heard.
func nowhere(pack Pack, errs []error) error {
	heard := !slices.ContainsFunc(errs, func(err error) bool { return !errors.Is(err, ErrIntegrity) })
	errs = append(errs, fmt.Errorf("no location has all of pack %.8s", pack.SHA256))
	if heard {
		return fmt.Errorf("%w: %w", errNowhere, errors.Join(errs...))
	}
	return errors.Join(errs...)
}

// likeliest puts the copies that hold the point before the others, which may hold its packs all the same.
func likeliest(found Found, copies []Copy) []Copy {
	sorted := slices.Clone(copies)
	slices.SortStableFunc(sorted, func(a, b Copy) int {
		return boolToInt(!slices.Contains(found.Copies, a.Name)) - boolToInt(!slices.Contains(found.Copies, b.Name))
	})
	return sorted
}

func boolToInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

func count(list []bool, value bool) int {
	n := 0
	for _, v := range list {
		if v == value {
			n++
		}
	}
	return n
}
