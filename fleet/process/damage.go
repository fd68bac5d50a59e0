package process

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"

	"gwdr/fleet"
)

// damage is what is done to the files of a store. It follows from a copy of them, made before, and from the fault alone: whoever has
// both can tell whether it is there.
type damage struct {
	flips []flip
	cuts  []cut
}

// flip is one byte with one bit the other way round.
type flip struct {
	file    string // relative to the store
	at      int64
	was, is byte
}

// cut is a file that ends too soon.
type cut struct {
	file string
	size int64 // what is left of it
}

// bitFlips is how many bits are flipped: in files that are read at all, some of them are met.
const bitFlips = 64

// modeTruncate cuts files in half. Otherwise bits are flipped.
const modeTruncate = "truncate"

// planDamage says how the fault damages the store of which there is a copy: only where something was written, as files of
// databases are mostly empty.
func planDamage(copied string, f fleet.Fault) (damage, error) {
	var d damage
	var written []flip // one for each block in which something is written
	err := filepath.WalkDir(copied, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		rel, err := filepath.Rel(copied, path)
		if err != nil {
			return err
		}
		blocks, err := writtenBlocks(path)
		if err != nil || len(blocks) == 0 {
			return err
		}
		for _, at := range blocks {
			written = append(written, flip{file: rel, at: at})
		}
		d.cuts = append(d.cuts, cut{file: rel, size: (blocks[len(blocks)-1] + block) / 2})
		return nil
	})
	if err == nil && len(written) == 0 {
		err = errors.New("there is nothing in it")
	}
	if err != nil {
		return damage{}, fmt.Errorf("plan damage of %s: %w", copied, err)
	}
	if f.With.Mode == modeTruncate {
		return d, nil
	}
	d.cuts = nil
	d.flips, err = chooseFlips(copied, written, bitFlips, rand.New(rand.NewPCG(f.With.Seed, 0)))
	return d, err
}

// writtenBlocks returns the offsets of the blocks that hold anything but zeros.
func writtenBlocks(path string) (at []int64, err error) {
	in, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	err = eachBlock(in, func(offset int64, b []byte) error {
		if !zeros(b) {
			at = append(at, offset)
		}
		return nil
	})
	return at, err
}

// chooseFlips picks up to so many bits of bytes that are not zero, each byte once: what is not written is not read.
func chooseFlips(copied string, written []flip, most int, random *rand.Rand) ([]flip, error) {
	type spot struct {
		file string
		at   int64
	}
	taken := map[spot]bool{}
	var flips []flip
	for range 4 * most { // some meet the same byte
		f := written[random.IntN(len(written))]
		b, err := readBlock(filepath.Join(copied, f.file), f.at)
		if err != nil {
			return nil, fmt.Errorf("plan damage: %w", err)
		}
		i := random.IntN(len(b))
		for b[i] == 0 {
			i = (i + 1) % len(b)
		}
		f.at += int64(i)
		f.was, f.is = b[i], b[i]^1<<random.IntN(8)
		if p := (spot{f.file, f.at}); !taken[p] && len(flips) < most {
			taken[p], flips = true, append(flips, f)
		}
	}
	return flips, nil
}

func readBlock(path string, at int64) ([]byte, error) {
	in, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	b := make([]byte, block)
	n, err := in.ReadAt(b, at)
	if n > 0 {
		return b[:n], nil
	}
	return nil, err
}

// apply damages the store.
func (d damage) apply(store string) error {
	var errs []error
	for _, f := range d.flips {
		out, err := os.OpenFile(filepath.Join(store, f.file), os.O_WRONLY, 0)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		_, err = out.WriteAt([]byte{f.is}, f.at)
		errs = append(errs, err, out.Close())
	}
	for _, c := range d.cuts {
		errs = append(errs, os.Truncate(filepath.Join(store, c.file), c.size))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("damage %s: %w", store, err)
	}
	return nil
}

// left counts what of the damage is still in the store: a process that runs may have written over some of it.
func (d damage) left(store string) (n int) {
	for _, f := range d.flips {
		if b, err := readBlock(filepath.Join(store, f.file), f.at); err == nil && b[0] == f.is {
			n++
		}
	}
	for _, c := range d.cuts {
		if info, err := os.Stat(filepath.Join(store, c.file)); err == nil && info.Size() == c.size {
			n++
		}
	}
	return n
}

// String says how much damage there is.
func (d damage) String() string {
	if len(d.cuts) > 0 {
		return fmt.Sprintf("%d files cut in half", len(d.cuts))
	}
	return fmt.Sprintf("%d bits flipped", len(d.flips))
}
