package cmd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/age"

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

// readKeys reads the files. An identity file that is not there is no error yet: it is asked for only when something is to be
// decrypted that no other identity opens. Without any other there are no identities, and IdentityFile says which is missing.
func readKeys(files backup.KeyFiles) (backup.Keys, error) {
	var here, absent []string
	for _, file := range files.Identities {
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
			absent = append(absent, file)
		} else {
			here = append(here, file)
		}
	}
	files.Identities = here
	keys, err := backup.ReadKeys(files)
	if err != nil {
		return keys, keyError(err)
	}
	if len(here) == 0 {
		keys.IdentityFile = strings.Join(absent, ", ")
	} else if len(absent) > 0 {
		keys.Identities = append(keys.Identities, absentIdentity(strings.Join(absent, ", ")))
	}
	return keys, nil
}

// absentIdentity stands for identity files that are not there.
type absentIdentity string

// Unwrap says that the files are needed now.
func (a absentIdentity) Unwrap([]*age.Stanza) ([]byte, error) {
	return nil, fmt.Errorf("%w: %s is not here", backup.ErrNoIdentity, string(a))
}

// decrypting is for keys of whoever has to decrypt: it refuses those that are without an identity because its file is not
// there.
func decrypting(keys backup.Keys, err error) (backup.Keys, error) {
	if err == nil && len(keys.Identities) == 0 && keys.IdentityFile != "" {
		_, err = absentIdentity(keys.IdentityFile).Unwrap(nil)
		return backup.Keys{}, keyError(err)
	}
	return keys, err
}

// writing is for keys of whoever makes backups: it refuses those that cannot.
func writing(keys backup.Keys, err error) (backup.Keys, error) {
	switch {
	case err != nil:
		return keys, err
	case len(keys.Recipients) == 0:
		err = errors.New("keys.recipients names nobody to encrypt for")
	case keys.Signer == nil:
		err = errors.New("keys.signing names no key to sign with")
	default:
		probe := []byte("probe")
		if _, err = keys.Trusted.Verify(backup.PointNamespace, probe, keys.Signer.Sign(backup.PointNamespace, probe)); err != nil {
			err = fmt.Errorf("the signers that keys.trusted names do not include the signing key: %w", err)
		}
	}
	if err != nil {
		return backup.Keys{}, keyError(err)
	}
	return keys, nil
}

// keyFiles names the configured keys, or the lab's.
func (a *app) keyFiles(ctx context.Context) (backup.KeyFiles, error) {
	c := a.Config.Keys
	files := backup.KeyFiles{Recipients: c.Recipients, Identities: c.Identity, Signing: c.Signing, Trusted: c.Trusted,
		PassphraseFile: c.PassphraseFile, Tell: func(text string) { a.progress("%s", printable(text)) }}
	if isTerminal(a.Stdin) && isTerminal(a.Stderr) {
		files.Ask = func(question string, secret bool) (string, error) { return a.question(ctx, question, secret) }
	}
	if a.keysNamed() {
		return files, nil
	}
	if !a.labLocations() {
		return backup.KeyFiles{}, withHint(usageError(errors.New("no keys are configured")), "'gwdr init' makes keys and a configuration that names them")
	}
	return a.labKeys()
}

// keysNamed reports whether the configuration names keys.
func (a *app) keysNamed() bool {
	c := a.Config.Keys
	return len(c.Recipients) > 0 || len(c.Identity) > 0 || c.Signing != "" || c.Trusted != ""
}

// labKeysDir is where the lab's keys are, once they were needed.
func (a *app) labKeysDir() string { return filepath.Join(a.Config.State, "keys") }

const (
	// identityHint is the next step of whoever has not got the identity that opens the snapshots.
	identityHint   = "set GWDR_KEYS_IDENTITY to the identity, or to the escrow copy"
	passphraseHint = "set GWDR_KEYS_PASSPHRASE_FILE to a file that holds the passphrase, or run gwdr at a terminal, where it asks"
	keysHint       = "'gwdr init' makes keys, and gwdr.yaml names them under 'keys'; docs/keys.md says what each is for"
)

// keyError adds the exit code and the next step to an error of reading or using keys.
func keyError(err error) error {
	switch {
	case errors.Is(err, context.Canceled): // at the question
		return err
	case errors.Is(err, backup.ErrPassphrase):
		return withHint(usageError(err), passphraseHint)
	case errors.Is(err, backup.ErrNoIdentity):
		return withHint(usageError(err), identityHint)
	}
	return withHint(usageError(err), keysHint)
}

// labKeys returns the lab's keys, and makes them where there are none. Of two processes that make them at once, one does.
func (a *app) labKeys() (backup.KeyFiles, error) {
	dir := a.labKeysDir()
	if _, err := os.Stat(dir); err == nil {
		return backup.FindKeys(dir)
	}
	files, err := backup.GenerateKeys(dir)
	if err == nil {
		a.progress("made keys for this machine's lab in %s; 'gwdr init' makes keys to keep", dir)
		return files, nil
	}
	if found, findErr := backup.FindKeys(dir); findErr == nil {
		return found, nil
	} else if !errors.Is(findErr, fs.ErrNotExist) {
		err = findErr
	}
	return backup.KeyFiles{}, err
}
