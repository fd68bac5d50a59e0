package cmd

import (
	"context"
	"fmt"

	"filippo.io/age"

	"gwdr/backup"
)

// statusKeys are the trusted signers, and the identities to test.
type statusKeys struct {
	backup.Keys
	named map[string][]age.Identity // by their files
	notes []string
}

// statusKeys returns the identities that are named, and those that are configured as far as they can be had without a
// person. That a configured one is not here is no error, for it may be in a safe.
func (a *app) statusKeys(ctx context.Context, opts statusOptions) (*statusKeys, error) {
	files, err := a.keyFiles(ctx)
	if err != nil {
		return nil, err
	}
	keys := &statusKeys{named: map[string][]age.Identity{}}
	if keys.Keys, err = readKeys(backup.KeyFiles{Trusted: files.Trusted}); err != nil {
		return nil, err
	}
	for _, file := range opts.identities {
		named := files
		named.Recipients, named.Signing, named.Identities = nil, "", []string{file}
		read, err := decrypting(readKeys(named))
		if err != nil {
			return nil, err
		}
		keys.named[file] = read.Identities
		keys.Identities = append(keys.Identities, read.Identities...)
	}
	for _, file := range files.Identities {
		read, err := backup.ReadKeys(backup.KeyFiles{Identities: []string{file}, PassphraseFile: files.PassphraseFile, Patience: opts.patience})
		if err != nil {
			keys.notes = append(keys.notes, fmt.Sprintf("the configured identity is not tested: %v", err))
		}
		keys.Identities = append(keys.Identities, read.Identities...)
	}
	return keys, nil
}
