package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
)

// blocks is what there is of a pack, from one copy or several.
type blocks struct {
	pack Pack
	file *os.File
	from []string // names of the copies
	errs []error

	mu   sync.Mutex
	good []bool
}

// fetch writes those blocks of the pack to the file that are not good yet and that the copy has whole, and returns which ones
// those are. It may be left behind, and go on.
func (b *blocks) fetch(ctx context.Context, c Copy, object string) ([]bool, error) {
	b.mu.Lock()
	have := slices.Clone(b.good)
	b.mu.Unlock()
	return readBlocks(ctx, c.Location, object, b.pack, func(i int, block []byte) error {
		if have[i] {
			return nil
		}
		_, err := b.file.WriteAt(block, int64(i)*blockSize)
		return err
	})
}

// take marks what a copy gave, and reports whether that makes the pack whole.
func (b *blocks) take(a answer[[]bool]) (whole bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if a.err != nil {
		b.errs = append(b.errs, fmt.Errorf("%s: %w", a.copy.Name, a.err))
	}
	fresh := false
	for i, whole := range a.value {
		fresh = fresh || whole && !b.good[i]
		b.good[i] = b.good[i] || whole
	}
	if fresh {
		b.from = append(b.from, a.copy.Name)
	}
	return !slices.Contains(b.good, false)
}

// readBlocks reads the object, hands every block that is whole to use, and returns which ones were. The error wraps
// ErrIntegrity if the object is not the pack.
func readBlocks(ctx context.Context, l Location, object string, pack Pack, use func(i int, block []byte) error) ([]bool, error) {
	whole := make([]bool, len(pack.Blocks))
	r, err := l.Get(ctx, object)
	if errors.Is(err, ErrNotExist) {
		return whole, fmt.Errorf("%w: %w", ErrIntegrity, err)
	}
	if err != nil {
		return whole, err
	}
	defer r.Close()
	buffer := make([]byte, blockSize)
	for i, sum := range pack.Blocks {
		block := buffer[:min(blockSize, pack.Size-int64(i)*blockSize)]
		if _, err := io.ReadFull(r, block); err == io.EOF || err == io.ErrUnexpectedEOF {
			return whole, fmt.Errorf("%w: %s is shorter than its pack", ErrIntegrity, object)
		} else if err != nil {
			return whole, fmt.Errorf("read %s: %w", object, err)
		}
		if got := sha256.Sum256(block); hex.EncodeToString(got[:]) != sum {
			continue
		}
		if err := use(i, block); err != nil {
			return whole, err
		}
		whole[i] = true
	}
	if damaged := count(whole, false); damaged > 0 {
		return whole, fmt.Errorf("%w: %d of %d blocks of %s are damaged", ErrIntegrity, damaged, len(whole), object)
	}
	if n, err := r.Read(make([]byte, 1)); n > 0 || err != nil && err != io.EOF {
		return whole, fmt.Errorf("%w: %s is longer than its pack", ErrIntegrity, object)
	}
	return whole, nil
}
