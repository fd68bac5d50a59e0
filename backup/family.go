package backup

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"gwdr/internal/sshsig"
)

// family tells the lineages of one gateway, which descend from each other, from those of others that are backed up to the
// same place. It reads no more of the copy than it is asked for.
type family struct {
	own     lineageEntry // the gateway's; without a Lineage it is not known, and all lineages count
	copy    Copy
	trusted sshsig.Trusted

	known map[string]bool // nil: nothing was looked up yet
}

// maxGenerations bounds how far back family looks.
const maxGenerations = 64

// has reports whether the lineage is of the family.
func (f *family) has(ctx context.Context, lineage string) (bool, error) {
	if f.own.Lineage == "" || lineage == f.own.Lineage {
		return true, nil
	}
	if ours, ok := f.known[lineage]; ok {
		return ours, nil
	}
	if f.known == nil {
		f.known = map[string]bool{}
		parent, _, _ := strings.Cut(f.own.Parent, "@")
		line, err := f.line(ctx, parent)
		if err != nil {
			return false, err
		}
		for _, l := range append(line, f.own.Lineage) {
			f.known[l] = true
		}
	}
	line, err := f.line(ctx, lineage)
	if err != nil {
		return false, err
	}
	for _, l := range line {
		f.known[lineage] = f.known[lineage] || f.known[l]
	}
	return f.known[lineage], nil
}

// line returns the lineage and those that it descends from, as far as the copy tells.
func (f *family) line(ctx context.Context, lineage string) (line []string, err error) {
	for range maxGenerations {
		if lineage == "" {
			break
		}
		line = append(line, lineage)
		object, err := readObject(ctx, f.copy.Location, lineageRoot(lineage)+repoFile, maxPoint)
		if errors.Is(err, ErrNotExist) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read lineage: %w", err)
		}
		r, err := readRepo(object, lineage, f.trusted)
		if err != nil {
			break // it says nothing that counts
		}
		lineage, _, _ = strings.Cut(r.Parent, "@")
	}
	return line, nil
}
