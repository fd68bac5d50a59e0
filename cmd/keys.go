package cmd

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"gwdr/backup"
)

// openKeys returns the configured keys, or the lab's, which it makes at the first use. If the signing key has a
// passphrase, this asks for it.
func (a *app) openKeys(ctx context.Context) (backup.Keys, error) {
	if a.keys != nil {
		return *a.keys, nil
	}
	files, err := a.keyFiles(ctx)
	if err != nil {
		return backup.Keys{}, err
	}
	keys, err := readKeys(files)
	if err == nil {
		a.keys = &keys // so that nobody is asked again
	}
	return keys, err
}

// openReaderKeys is openKeys without the signing key, which a reader needs no passphrase for.
func (a *app) openReaderKeys(ctx context.Context) (backup.Keys, error) {
	files, err := a.keyFiles(ctx)
	if err != nil {
		return backup.Keys{}, err
	}
	files.Signing = ""
	return readKeys(files)
}

func readKeys(files backup.KeyFiles) (backup.Keys, error) {
	keys, err := backup.ReadKeys(files)
	return keys, keyError(err)
}

// keyFiles names the configured keys, or the lab's.
func (a *app) keyFiles(ctx context.Context) (backup.KeyFiles, error) {
	c := a.Config.Keys
	files := backup.KeyFiles{Recipients: c.Recipients, Identities: c.Identity, Signing: c.Signing, Trusted: c.Trusted,
		PassphraseFile: c.PassphraseFile, Tell: func(text string) { a.progress("%s", printable(text)) }}
	if isTerminal(a.Stdin) && isTerminal(a.Stderr) {
		files.Ask = func(question string, secret bool) (string, error) { return a.question(ctx, question, secret) }
	}
	if len(c.Recipients) > 0 || len(c.Identity) > 0 || c.Signing != "" || c.Trusted != "" {
		return files, nil
	}
	if !a.labLocations() {
		return backup.KeyFiles{}, withHint(usageError(errors.New("no keys are configured")), "'gwdr init' makes keys and a configuration that names them")
	}
	return labKeys(filepath.Join(a.Config.State, "keys"))
}

const (
	// identityHint is the next step of whoever has not got the identity that opens the snapshots.
	identityHint   = "set GWDR_KEYS_IDENTITY to the identity, or to the escrow copy"
	passphraseHint = "set GWDR_KEYS_PASSPHRASE_FILE to a file that holds the passphrase, or run gwdr at a terminal, where it asks"
)

// keyError adds the exit code and the next step to an error of reading or using keys; another error stays as it is.
func keyError(err error) error {
	switch {
	case errors.Is(err, context.Canceled): // at the question
		return err
	case errors.Is(err, backup.ErrPassphrase):
		return withHint(usageError(err), passphraseHint)
	case errors.Is(err, backup.ErrNoIdentity):
		return withHint(usageError(err), identityHint)
	}
	return err
}

// labKeys returns the keys in dir. Of two processes that make them at once, one does.
func labKeys(dir string) (backup.KeyFiles, error) {
	if _, err := os.Stat(dir); err == nil {
		return backup.FindKeys(dir)
	}
	files, err := backup.GenerateKeys(dir)
	if err == nil {
		return files, nil
	}
	if found, findErr := backup.FindKeys(dir); findErr == nil {
		return found, nil
	} else if !errors.Is(findErr, fs.ErrNotExist) {
		err = findErr
	}
	return backup.KeyFiles{}, err
}
