package backup

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// ErrPassphrase is wrapped when a key has a passphrase and nobody gave the right one.
var ErrPassphrase = errors.New("no passphrase that opens it")

// errWrongPassphrase is what unlock's open returns if it is worth asking again.
var errWrongPassphrase = errors.New("the passphrase is wrong")

const (
	passphraseAttempts = 3       // at a terminal
	maxPassphrase      = 4 << 10 // bytes of the file
)

// unlock calls open with the passphrase for the file: that of the passphrase file, or else what is typed.
func (r *keyReader) unlock(file string, open func(passphrase string) error) error {
	if r.PassphraseFile != "" {
		passphrase, err := r.passphrase()
		if err != nil {
			return fmt.Errorf("%w: %w", ErrPassphrase, err)
		}
		if err = open(passphrase); errors.Is(err, errWrongPassphrase) {
			return fmt.Errorf("%w: that in %s is wrong", ErrPassphrase, r.PassphraseFile)
		}
		return err
	}
	if r.Ask == nil {
		return fmt.Errorf("%w: no passphrase file is configured, and there is no terminal to ask at", ErrPassphrase)
	}
	question := "Passphrase of " + file + ": "
	for range passphraseAttempts {
		passphrase, err := r.Ask(question, true)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrPassphrase, err)
		}
		if err = open(passphrase); !errors.Is(err, errWrongPassphrase) {
			return err
		}
		question = "That was wrong. Passphrase of " + file + ": "
	}
	return fmt.Errorf("%w: %d wrong ones were typed", ErrPassphrase, passphraseAttempts)
}

// readPassphrase returns the one line of the passphrase file.
func (r *keyReader) readPassphrase() (string, error) {
	f, err := os.Open(r.PassphraseFile)
	if err != nil {
		return "", fmt.Errorf("read passphrase: %w", err)
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxPassphrase+1))
	if err != nil {
		return "", fmt.Errorf("read passphrase: %w", err)
	}
	passphrase, err := parsePassphrase(content)
	if err != nil {
		return "", fmt.Errorf("read passphrase %s: %w", r.PassphraseFile, err)
	}
	return passphrase, nil
}

// parsePassphrase takes the line's end away, and nothing else: a passphrase may begin or end with a blank.
func parsePassphrase(content []byte) (string, error) {
	line := strings.TrimSuffix(strings.TrimSuffix(string(content), "\n"), "\r")
	switch {
	case len(content) > maxPassphrase:
		return "", fmt.Errorf("it has more than %d bytes", maxPassphrase)
	case line == "":
		return "", errors.New("it is empty")
	case strings.ContainsAny(line, "\n\r\x00"):
		return "", errors.New("it is not one line of text")
	}
	return line, nil
}
