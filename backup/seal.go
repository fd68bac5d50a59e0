package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"

	"gwdr/gateway"
)

// blockSize is the unit of Pack.Blocks: damage is told apart, and healed from another copy, block by block.
const blockSize = 1 << 20

// sealPack writes the state's records to w: a tar, compressed, encrypted to all recipients. Nothing but the state itself
// is held in memory. progress is told how many bytes of the tar are done.
func sealPack(ctx context.Context, w io.Writer, state *gateway.State, to []age.Recipient, progress func(int64)) (Pack, error) {
	sums := newBlockHash()
	sealed, err := age.Encrypt(io.MultiWriter(w, sums), to...)
	if err != nil {
		return Pack{}, fmt.Errorf("encrypt: %w", err)
	}
	packed, err := zstd.NewWriter(sealed, zstd.WithEncoderCRC(true))
	if err != nil {
		return Pack{}, fmt.Errorf("compress: %w", err)
	}
	raw := &countingWriter{ctx: ctx, w: packed, progress: progress}
	records := sortedRecords(state)
	if err := writeRecords(raw, state, records); err != nil {
		packed.Close() // ends the encoder's goroutines
		return Pack{}, err
	}
	if err := packed.Close(); err != nil {
		return Pack{}, fmt.Errorf("compress: %w", err)
	}
	if err := sealed.Close(); err != nil {
		return Pack{}, fmt.Errorf("encrypt: %w", err)
	}
	pack := sums.pack()
	pack.Raw, pack.Count = raw.n, len(records)
	if len(records) > 0 {
		pack.First, pack.Last = hexSum(records[0].name), hexSum(records[len(records)-1].name)
	}
	return pack, nil
}

func hexSum[T string | []byte](content T) string {
	sum := sha256.Sum256([]byte(content))
	return hex.EncodeToString(sum[:])
}

// blockHash computes the hash of all that is written and of each block of it.
type blockHash struct {
	whole  hash.Hash
	block  hash.Hash
	n      int64 // bytes in all
	blocks []string
}

func newBlockHash() *blockHash { return &blockHash{whole: sha256.New(), block: sha256.New()} }

func (h *blockHash) Write(p []byte) (int, error) {
	h.whole.Write(p)
	for rest := p; len(rest) > 0; {
		k := min(int64(len(rest)), blockSize-h.n%blockSize)
		h.block.Write(rest[:k])
		rest = rest[k:]
		h.n += k
		if h.n%blockSize == 0 {
			h.endBlock()
		}
	}
	return len(p), nil
}

func (h *blockHash) endBlock() {
	h.blocks = append(h.blocks, hex.EncodeToString(h.block.Sum(nil)))
	h.block.Reset()
}

// pack returns the hashes and the size of what was written.
func (h *blockHash) pack() Pack {
	if h.n%blockSize != 0 {
		h.endBlock()
	}
	return Pack{SHA256: hex.EncodeToString(h.whole.Sum(nil)), Size: h.n, Blocks: h.blocks}
}

// countingWriter counts what is written, and fails once its context is done.
type countingWriter struct {
	ctx      context.Context
	w        io.Writer
	n        int64
	progress func(int64)
}

func (c *countingWriter) Write(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.w.Write(p)
	c.n += int64(n)
	if c.progress != nil {
		c.progress(c.n)
	}
	return n, err
}

// openPack adds the entities of a pack, whose ciphertext r gives, to the state. The caller has checked the ciphertext's
// hash; it is an error all the same if what is inside is more, or less, than the pack's description says.
func openPack(r io.Reader, pack Pack, identities []age.Identity, state *gateway.State) error {
	plain, err := age.Decrypt(r, identities...)
	if err != nil {
		return fmt.Errorf("decrypt pack %.8s: %w", pack.SHA256, err)
	}
	if err := readPack(plain, pack, state); err != nil {
		return fmt.Errorf("open pack %.8s: %w", pack.SHA256, err)
	}
	return nil
}

// readPack reads what was encrypted. It spends no more memory and time than the pack's own figures allow.
func readPack(plain io.Reader, pack Pack, state *gateway.State) error {
	raw, err := zstd.NewReader(plain, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(64<<20))
	if err != nil {
		return fmt.Errorf("decompress: %w", err)
	}
	defer raw.Close()
	limited := &io.LimitedReader{R: raw, N: pack.Raw}
	if err := readRecords(limited, pack.Count, state); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, limited); err != nil { // what pads the tar
		return fmt.Errorf("decompress: %w", err)
	}
	if n, err := raw.Read(make([]byte, 1)); limited.N != 0 || n != 0 || err != io.EOF {
		return fmt.Errorf("it does not hold the %d bytes that its point says", pack.Raw)
	}
	return nil
}
