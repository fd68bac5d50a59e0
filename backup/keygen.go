package backup

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/age"

	"gwdr/internal/sshsig"
)

// Names of the files that GenerateKeys writes.
const (
	identityFile = "identity"
	escrowFile   = "escrow"
	signingFile  = "sign"
	trustedFile  = "allowed_signers"
)

// EscrowFile is where GenerateKeys writes the second identity, which belongs in a safe.
func EscrowFile(dir string) string { return filepath.Join(dir, escrowFile) }

// GenerateKeys makes dir with new keys in it: an age identity, an escrow identity that opens every snapshot too, a
// signing key, and the allowed_signers file that trusts it. The error wraps fs.ErrExist if dir is there already.
func GenerateKeys(dir string) (KeyFiles, error) {
	if _, err := os.Lstat(dir); err == nil {
		return KeyFiles{}, fmt.Errorf("generate keys: %s: %w", dir, fs.ErrExist)
	}
	files, err := newKeys()
	if err != nil {
		return KeyFiles{}, fmt.Errorf("generate keys: %w", err)
	}
	if err := writeKeys(dir, files); err != nil {
		return KeyFiles{}, fmt.Errorf("generate keys: %w", err)
	}
	return FindKeys(dir)
}

// FindKeys returns the files that GenerateKeys wrote to dir, with the recipients of both identities.
func FindKeys(dir string) (KeyFiles, error) {
	files := KeyFiles{
		Identities: []string{filepath.Join(dir, identityFile)},
		Signing:    filepath.Join(dir, signingFile),
		Trusted:    filepath.Join(dir, trustedFile),
	}
	for _, file := range append(files.Identities, EscrowFile(dir)) {
		err := readKey(file, func(content []byte) error {
			recipients, err := recipientsOf(content)
			files.Recipients = append(files.Recipients, recipients...)
			return err
		})
		if err != nil {
			return KeyFiles{}, err
		}
	}
	return files, nil
}

// recipientsOf returns the public recipients of an identity file.
func recipientsOf(identityFile []byte) ([]string, error) {
	identities, err := age.ParseIdentities(strings.NewReader(string(identityFile)))
	if err != nil {
		return nil, err
	}
	var recipients []string
	for _, identity := range identities {
		x, ok := identity.(*age.X25519Identity)
		if !ok {
			return nil, fmt.Errorf("identity is %T, not X25519", identity)
		}
		recipients = append(recipients, x.Recipient().String())
	}
	return recipients, nil
}

// newKeys returns the content of each key file by its name.
func newKeys() (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, name := range []string{identityFile, escrowFile} {
		identity, err := age.GenerateX25519Identity()
		if err != nil {
			return nil, err
		}
		files[name] = fmt.Appendf(nil, "# public key: %s\n%s\n", identity.Recipient(), identity)
	}
	signer := sshsig.NewSigner(Principal)
	private, err := signer.Marshal()
	if err != nil {
		return nil, err
	}
	files[signingFile] = private
	files[signingFile+".pub"] = fmt.Appendf(nil, "%s %s\n", signer.Public(), Principal)
	files[trustedFile] = sshsig.Trusted{}.Trust(Principal, signer.Public(),
		PointNamespace, RepoNamespace, SegmentNamespace, AttestNamespace, "gwdr-report").Marshal()
	return files, nil
}

// writeKeys makes dir with all files or not at all.
func writeKeys(dir string, files map[string][]byte) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return err
	}
	temp, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+"-*") // mode 0700
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	for name, content := range files {
		if err := writeFileSync(filepath.Join(temp, name), content); err != nil {
			return err
		}
	}
	if err := os.Rename(temp, dir); err != nil {
		return err
	}
	return syncDir(filepath.Dir(dir))
}
