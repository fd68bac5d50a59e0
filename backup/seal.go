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

// sealPack writes the records to w: a tar, compressed, encrypted to all recipients. progress is told of the bytes of the
// tar that were added.
func sealPack(ctx context.Context, w io.Writer, c *loosePack, to []age.Recipient, progress func(int64)) (Pack, error) {
	sums := newBlockHash()
	var raw int64
	err := seal(io.MultiWriter(w, sums), to, func(packed io.Writer) error {
		var err error
		raw, err = writeRecords(ctx, packed, c, progress)
		return err
	})
	if err != nil {
		return Pack{}, err
	}
	pack := sums.pack()
	pack.Raw, pack.Count = raw, len(c.records)
	if n := len(c.records); n > 0 {
		pack.First, pack.Last = hexSum(c.records[0].name), hexSum(c.records[n-1].name)
	}
	return pack, nil
}

// seal compresses and encrypts to w what write writes.
func seal(w io.Writer, to []age.Recipient, write func(io.Writer) error) error {
	sealed, err := age.Encrypt(w, to...)
	if err != nil {
		return fmt.Errorf("encrypt: %w", err)
	}
	packed, err := zstd.NewWriter(sealed, zstd.WithEncoderCRC(true), zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		return fmt.Errorf("compress: %w", err)
	}
	if err := write(packed); err != nil {
		packed.Close() // ends the encoder's goroutines
		return err
	}
	if err := packed.Close(); err != nil {
		return fmt.Errorf("compress: %w", err)
	}
	if err := sealed.Close(); err != nil {
		return fmt.Errorf("encrypt: %w", err)
	}
	return nil
}

// writeRecords writes the records as a tar, in pieces, and returns its size.
func writeRecords(ctx context.Context, w io.Writer, c *loosePack, progress func(int64)) (written int64, err error) {
	const piece = 128 << 10
	buffer := make([]byte, 0, piece+4*tarBlock)
	flush := func() error {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := w.Write(buffer)
		written += int64(n)
		progress(int64(n))
		buffer = buffer[:0]
		return err
	}
	at := 0
	for _, r := range c.records {
		if buffer, err = appendRecord(buffer, r.name, c.bodies[at:at+r.size]); err != nil {
			return written, err
		}
		at += r.size
		if len(buffer) >= piece {
			if err := flush(); err != nil {
				return written, err
			}
		}
	}
	buffer = appendTarEnd(buffer)
	return written, flush()
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

// openPack hands the entities of a pack, whose ciphertext r gives, to each. The caller has checked the ciphertext's
// hash; it is an error all the same if what is inside is more, or less, than the pack's description says.
func openPack(r io.Reader, pack Pack, identities []age.Identity, each func(gateway.Entity) error) error {
	plain, err := age.Decrypt(r, identities...)
	if err != nil {
		return fmt.Errorf("decrypt pack %.8s: %w", pack.SHA256, err)
	}
	if err := readPack(plain, pack, each); err != nil {
		return fmt.Errorf("open pack %.8s: %w", pack.SHA256, err)
	}
	return nil
}

// readPack reads what was encrypted.
func readPack(plain io.Reader, pack Pack, each func(gateway.Entity) error) error {
	return unpack(plain, pack.Raw, func(r io.Reader) error { return readRecords(r, pack.Count, each) })
}

// unpack lets read read what was compressed. It spends no more memory and time than the raw size allows, which must be
// what there is.
func unpack(plain io.Reader, rawSize int64, read func(io.Reader) error) error {
	raw, err := zstd.NewReader(plain, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(64<<20))
	if err != nil {
		return fmt.Errorf("decompress: %w", err)
	}
	defer raw.Close()
	limited := &io.LimitedReader{R: raw, N: rawSize}
	if err := read(limited); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, limited); err != nil { // what pads a tar
		return fmt.Errorf("decompress: %w", err)
	}
	if n, err := raw.Read(make([]byte, 1)); limited.N != 0 || n != 0 || err != io.EOF {
		return fmt.Errorf("it does not hold the %d bytes that were signed", rawSize)
	}
	return nil
}
