package backup

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"filippo.io/age"
	"filippo.io/age/armor"
	"filippo.io/age/plugin"
)

// ErrNoIdentity is wrapped when an identity cannot be used: its file cannot be read, its passphrase is not there, its
// plugin fails. What it should have opened may be well.
var ErrNoIdentity = errors.New("cannot use the identity")

const (
	maxIdentityFile = 1 << 20 // bytes
	// maxWorkFactor is the base-2 logarithm of the work that a file with a passphrase may cost; age itself writes 18. Each
	// step doubles time and memory: 20 takes 1 GiB.
	maxWorkFactor = 20
)

// identities reads all identity files. Identities that just work come first, then as one those that need somebody or
// something: none of them is bothered where a simple one fits, and none that fails is in the way of another.
func (r *keyReader) identities() ([]age.Identity, error) {
	var simple []age.Identity
	var needy needyIdentities
	for _, file := range r.Identities {
		err := readKey(file, func(content []byte) error {
			parsed, err := r.parseIdentities(file, content)
			for _, id := range parsed {
				if isSimple(id) {
					simple = append(simple, id)
				} else {
					needy = append(needy, id)
				}
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNoIdentity, err)
		}
	}
	if len(needy) > 0 {
		simple = append(simple, needy)
	}
	return simple, nil
}

// isSimple reports whether the identity works without a person, a token or another program.
func isSimple(id age.Identity) bool {
	switch id.(type) {
	case *age.X25519Identity, *age.HybridIdentity:
		return true
	}
	return false
}

// parseIdentities reads an identity file, as it is or encrypted.
func (r *keyReader) parseIdentities(file string, content []byte) ([]age.Identity, error) {
	if len(content) > maxIdentityFile {
		return nil, fmt.Errorf("it has more than %d bytes", maxIdentityFile)
	}
	trimmed := bytes.TrimSpace(content)
	switch {
	case bytes.HasPrefix(trimmed, []byte(armor.Header)):
		plain, err := io.ReadAll(armor.NewReader(bytes.NewReader(trimmed)))
		if err != nil {
			return nil, errors.New("its armor is damaged")
		}
		content = plain
	case bytes.HasPrefix(trimmed, []byte("-----BEGIN ")):
		return nil, errors.New("it is no age identity file; SSH keys are not supported")
	case !bytes.HasPrefix(content, []byte("age-encryption.org/")):
		return r.parseIdentityLines(content)
	}
	locked := &lockedIdentity{keyReader: r, file: file, sealed: content}
	if err := locked.check(); err != nil {
		return nil, err
	}
	return []age.Identity{locked}, nil
}

// parseIdentityLines reads one identity a line. Errors do not repeat what a line holds.
func (r *keyReader) parseIdentityLines(content []byte) ([]age.Identity, error) {
	var identities []age.Identity
	number := 0
	for line := range strings.Lines(string(content)) {
		number++
		line = strings.TrimRight(line, "\r\n")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		id, err := r.parseIdentity(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		identities = append(identities, id)
	}
	if len(identities) == 0 {
		return nil, errors.New("it holds no identity")
	}
	return identities, nil
}

func (r *keyReader) parseIdentity(line string) (age.Identity, error) {
	switch {
	case strings.HasPrefix(line, "AGE-PLUGIN-"):
		name, _, err := plugin.ParseIdentity(line)
		if err != nil {
			return nil, errors.New("malformed identity of a plugin")
		}
		return &pluginIdentity{pluginCall: r.pluginCall(name), text: line}, nil
	case strings.HasPrefix(line, "AGE-SECRET-KEY-PQ-1"):
		if id, err := age.ParseHybridIdentity(line); err == nil {
			return id, nil
		}
	case strings.HasPrefix(line, "AGE-SECRET-KEY-1"):
		if id, err := age.ParseX25519Identity(line); err == nil {
			return id, nil
		}
	case strings.HasPrefix(line, "age1"):
		return nil, errors.New("it is a recipient, not an identity")
	default:
		return nil, errors.New("it is no age identity, which begins with AGE-")
	}
	return nil, errors.New("malformed identity")
}

// needyIdentities are identities that need somebody or something, as one.
type needyIdentities []age.Identity

// Unwrap returns the file key from the first identity that has it. The error wraps ErrNoIdentity if none has it and some
// could not be asked.
func (n needyIdentities) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	var errs []error
	for _, id := range n {
		key, err := id.Unwrap(stanzas)
		if err == nil {
			return key, nil
		}
		if !errors.Is(err, age.ErrIncorrectIdentity) {
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 {
		return nil, fmt.Errorf("%w: %w", ErrNoIdentity, errors.Join(errs...))
	}
	return nil, age.ErrIncorrectIdentity
}

// lockedIdentity is a file of identities that is encrypted with a passphrase, as `age -p` does. It is opened at the first
// use, and only once, whatever comes of it.
type lockedIdentity struct {
	*keyReader
	file   string
	sealed []byte

	once   sync.Once
	inside []age.Identity
	err    error
}

// Unwrap opens the file, and asks the identities in it.
func (l *lockedIdentity) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	inside, err := l.open()
	if err != nil {
		return nil, err
	}
	return needyIdentities(inside).Unwrap(stanzas)
}

// open returns the identities in the file, simple ones first.
func (l *lockedIdentity) open() ([]age.Identity, error) {
	l.once.Do(func() {
		if l.err = l.unlock(l.file, l.decrypt); l.err != nil {
			l.err = fmt.Errorf("open %s: %w", l.file, l.err)
		}
		slices.SortStableFunc(l.inside, func(a, b age.Identity) int { return boolToInt(isSimple(b)) - boolToInt(isSimple(a)) })
	})
	return l.inside, l.err
}

// check tells a file that no passphrase opens before anybody is asked for one.
func (l *lockedIdentity) check() error {
	_, err := age.Decrypt(bytes.NewReader(l.sealed), nobody{})
	if closed := (*age.NoIdentityMatchError)(nil); !errors.As(err, &closed) {
		return errors.New("it is no whole age file")
	} else if len(closed.StanzaTypes) != 1 || closed.StanzaTypes[0] != "scrypt" {
		return errors.New("it is encrypted, but not with a passphrase")
	}
	return nil
}

func (l *lockedIdentity) decrypt(passphrase string) error {
	key, err := age.NewScryptIdentity(passphrase)
	if err != nil {
		return errWrongPassphrase // it is empty
	}
	key.SetMaxWorkFactor(maxWorkFactor)
	plain, err := age.Decrypt(bytes.NewReader(l.sealed), key)
	if closed := (*age.NoIdentityMatchError)(nil); errors.As(err, &closed) {
		return errWrongPassphrase
	}
	if err != nil {
		return err
	}
	content, err := io.ReadAll(io.LimitReader(plain, maxIdentityFile+1))
	if err != nil {
		return err
	}
	if len(content) > maxIdentityFile {
		return fmt.Errorf("it holds more than %d bytes", maxIdentityFile)
	}
	l.inside, err = l.parseIdentityLines(content)
	return err
}

// nobody is an identity that opens nothing.
type nobody struct{}

// Unwrap returns age.ErrIncorrectIdentity.
func (nobody) Unwrap([]*age.Stanza) ([]byte, error) { return nil, age.ErrIncorrectIdentity }
