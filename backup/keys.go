package backup

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"filippo.io/age"
	"filippo.io/age/plugin"

	"gwdr/internal/sshsig"
)

// Namespaces of the signatures: what was signed for one is worth nothing in another.
const (
	PointNamespace = "gwdr-point-v1"
	RepoNamespace  = "gwdr-repo-v1"
)

// Principal is the name of gwdr's own signing key in a generated allowed_signers file.
const Principal = "gwdr"

// KeyFiles names the files that hold Keys. Empty names are left out.
type KeyFiles struct {
	Recipients []string // the public recipients themselves: age1..., or age1NAME1... of the plugin age-plugin-NAME
	Identities []string // files of age identities, also of plugins; a file may be encrypted with a passphrase (age -p)
	Signing    string   // OpenSSH private key, ed25519, perhaps with a passphrase
	Trusted    string   // allowed_signers

	PassphraseFile string        // holds the passphrase of those of the files that have one
	Patience       time.Duration // how long a plugin may take; 0 means 2m

	// Ask puts a question to whoever sits at the terminal, and returns the answer; it does not show what is typed if that
	// is secret. nil: nobody is there.
	Ask func(question string, secret bool) (string, error)
	// Tell shows one line, such as what a plugin says. nil: nobody reads it.
	Tell func(text string)
}

// ReadKeys reads the files. An identity file that is encrypted with a passphrase is opened, and a plugin started, only
// when something is to be decrypted that no other identity opens: what is wrong with them is then an error of the
// decryption, which wraps ErrNoIdentity. The signing key's passphrase is needed at once. No error shows a secret.
func ReadKeys(files KeyFiles) (Keys, error) {
	r := &keyReader{KeyFiles: files}
	r.passphrase = sync.OnceValues(r.readPassphrase) // it may come from a pipe
	keys := Keys{RecipientIDs: files.Recipients, IdentityFile: strings.Join(files.Identities, ", ")}
	var recipientErr, identityErr error
	keys.Recipients, recipientErr = r.recipients()
	keys.Identities, identityErr = r.identities()
	err := errors.Join(recipientErr, identityErr,
		readKey(files.Signing, func(content []byte) (err error) {
			keys.Signer, err = r.signer(content)
			return err
		}),
		readKey(files.Trusted, func(content []byte) (err error) {
			keys.Trusted, err = sshsig.ParseTrusted(content)
			return err
		}),
	)
	if err != nil {
		return Keys{}, err
	}
	return keys, nil
}

// keyReader reads KeyFiles.
type keyReader struct {
	KeyFiles
	passphrase func() (string, error) // of the passphrase file
}

func readKey(file string, parse func([]byte) error) error {
	if file == "" {
		return nil
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read key: %w", err)
	}
	if err := parse(content); err != nil {
		return fmt.Errorf("read key %s: %w", file, err)
	}
	return nil
}

func (r *keyReader) recipients() ([]age.Recipient, error) {
	var recipients []age.Recipient
	for i, text := range r.Recipients {
		recipient, err := r.recipient(text)
		if err != nil {
			return nil, fmt.Errorf("read recipient %d: %w", i+1, err)
		}
		recipients = append(recipients, recipient)
	}
	return recipients, nil
}

// recipient reads a public recipient. Its errors repeat the text only if it begins like a recipient: it may be an
// identity that somebody put in the wrong place.
func (r *keyReader) recipient(text string) (age.Recipient, error) {
	switch lower := strings.ToLower(text); {
	case strings.HasPrefix(lower, "age-"):
		return nil, errors.New("it is an identity, which is secret, and not a recipient, which begins with age1")
	case strings.HasPrefix(lower, "ssh-"):
		return nil, errors.New("it is an SSH key; only recipients of age (age1...) are supported")
	case strings.HasPrefix(lower, "age1pq1"), strings.HasPrefix(lower, "age1tagpq1"):
		return nil, fmt.Errorf("%.12s... is a post-quantum recipient, which the age of today's distributions cannot open", text)
	case !strings.HasPrefix(lower, "age1"):
		return nil, errors.New("it does not begin with age1")
	}
	if x, err := age.ParseX25519Recipient(text); err == nil {
		return x, nil
	}
	name, _, err := plugin.ParseRecipient(text)
	if err != nil {
		return nil, fmt.Errorf("%q is malformed", text)
	}
	return &pluginRecipient{pluginCall: r.pluginCall(name), text: text}, nil
}

// signer reads the signing key, with its passphrase if it has one.
func (r *keyReader) signer(content []byte) (*sshsig.Signer, error) {
	signer, err := sshsig.ParseSigner(content)
	if !errors.Is(err, sshsig.ErrLocked) {
		return signer, err
	}
	err = r.unlock(r.Signing, func(passphrase string) error {
		signer, err = sshsig.UnlockSigner(content, []byte(passphrase))
		if errors.Is(err, sshsig.ErrPassphrase) {
			return errWrongPassphrase
		}
		return err
	})
	return signer, err
}
