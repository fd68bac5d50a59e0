package sshsig

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Trusted is a set of public keys with the names of their holders, as in an allowed_signers file. The zero value trusts
// nobody. A key may be trusted for a time only (valid-after, valid-before): then it counts when what was signed is of that
// time, which At says. Without At that is now, as for ssh-keygen.
type Trusted struct {
	signers []trustedSigner
	at      time.Time // zero: now
	anyTime bool
}

type trustedSigner struct {
	principal  string
	namespaces []string // empty: any
	window     window
	key        PublicKey
}

// Trust returns t with one more key. Without namespaces the key is trusted in any. The principal names the holder and
// must not hold white space or quotes.
func (t Trusted) Trust(principal string, key PublicKey, namespaces ...string) Trusted {
	t.signers = append(slices.Clip(t.signers), trustedSigner{principal: principal, namespaces: namespaces, key: key})
	return t
}

// At returns t for what was signed at the time, so that what a key signed while it was trusted stays valid.
func (t Trusted) At(at time.Time) Trusted {
	t.at, t.anyTime = at, false
	return t
}

// AtAnyTime returns t for what does not say when it was signed: it suffices that the key was trusted at some time.
func (t Trusted) AtAnyTime() Trusted {
	t.anyTime = true
	return t
}

// Len returns the number of trusted keys.
func (t Trusted) Len() int { return len(t.signers) }

// Verify checks that a trusted key signed the message for the namespace, and returns the name of the key's holder.
func (t Trusted) Verify(namespace string, message, signature []byte) (principal string, err error) {
	p, err := parse(signature)
	if err != nil {
		return "", fmt.Errorf("verify signature: %w", err)
	}
	if p.namespace != namespace {
		return "", fmt.Errorf("verify signature: it was made for %q, not for %q", p.namespace, namespace)
	}
	signer, err := t.find(namespace, p.key.Fingerprint())
	if err != nil {
		return "", err
	}
	if !ed25519.Verify(p.key.key, signedData(namespace, p.hash, message), p.signature) {
		return "", errors.New("verify signature: it does not match the content")
	}
	return signer.principal, nil
}

// find returns the entry that trusts the key for the namespace at the time.
func (t Trusted) find(namespace, fingerprint string) (trustedSigner, error) {
	at := t.at
	if at.IsZero() {
		at = time.Now()
	}
	var missed []string
	for _, s := range t.signers {
		if s.key.Fingerprint() != fingerprint || !s.allows(namespace) {
			continue
		}
		if t.anyTime || s.window.includes(at) {
			return s, nil
		}
		missed = append(missed, s.window.String())
	}
	if len(missed) > 0 {
		return trustedSigner{}, fmt.Errorf("verify signature: key %s is trusted for %s %s, and this is of %s", fingerprint, namespace,
			strings.Join(missed, " and "), at.UTC().Format(time.RFC3339))
	}
	return trustedSigner{}, fmt.Errorf("verify signature: key %s is not trusted for %s", fingerprint, namespace)
}

func (s trustedSigner) allows(namespace string) bool {
	return len(s.namespaces) == 0 || slices.Contains(s.namespaces, namespace)
}

// Marshal returns the set as an allowed_signers file.
func (t Trusted) Marshal() []byte {
	var b strings.Builder
	for _, s := range t.signers {
		var options []string
		if len(s.namespaces) > 0 {
			options = append(options, fmt.Sprintf("namespaces=%q", strings.Join(s.namespaces, ",")))
		}
		fields := []string{s.principal}
		if options = append(options, s.window.options()...); len(options) > 0 {
			fields = append(fields, strings.Join(options, ","))
		}
		b.WriteString(strings.Join(append(fields, s.key.String()), " ") + "\n")
	}
	return []byte(b.String())
}

// ParseTrusted reads an allowed_signers file (see ssh-keygen(1)). Keys that are not ed25519 are left out. An option that
// narrows trust in a way that gwdr does not check is an error, and so is a pattern in namespaces.
func ParseTrusted(file []byte) (Trusted, error) {
	var t Trusted
	for i, line := range strings.Split(string(file), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		s, known, err := parseTrustedLine(line)
		if err != nil {
			return Trusted{}, fmt.Errorf("parse allowed signers: line %d: %w", i+1, err)
		}
		if known {
			t.signers = append(t.signers, s)
		}
	}
	return t, nil
}

// parseTrustedLine reads `principals [options] type key [comment]`. known is false for another type of key.
func parseTrustedLine(line string) (s trustedSigner, known bool, err error) {
	principal, rest := cutField(line)
	s.principal = strings.Trim(principal, `"`)
	field, after := cutField(rest)
	if !isKeyType(field) {
		if err := s.parseOptions(field); err != nil {
			return s, false, err
		}
		rest = after
		field, _ = cutField(rest)
	}
	if s.principal == "" || !isKeyType(field) {
		return s, false, errors.New("not of the form `principals [options] type key`")
	}
	if field != "ssh-ed25519" {
		return s, false, nil
	}
	s.key, err = ParsePublicKey(rest)
	return s, true, err
}

func isKeyType(field string) bool {
	for _, prefix := range []string{"ssh-", "ecdsa-", "sk-"} {
		if strings.HasPrefix(field, prefix) {
			return true
		}
	}
	return false
}

// cutField returns the text up to white space that is not in quotes, and the text after it.
func cutField(text string) (field, rest string) {
	text = strings.TrimLeft(text, " \t")
	quoted := false
	for i, c := range text {
		switch {
		case c == '"':
			quoted = !quoted
		case (c == ' ' || c == '\t') && !quoted:
			return text[:i], strings.TrimLeft(text[i:], " \t")
		}
	}
	return text, ""
}

// parseOptions reads `name="value",...`. An option that is given twice is an error, as to ssh-keygen: it is not for a
// reader to choose which one counts.
func (s *trustedSigner) parseOptions(field string) error {
	seen := map[string]bool{}
	for more := true; more; {
		var option string
		option, field, more = cutOption(field)
		name, value, err := parseOption(option)
		if err != nil {
			return err
		}
		if seen[name] {
			return fmt.Errorf("option %s is given twice", name)
		}
		seen[name] = true
		switch name {
		case "namespaces":
			s.namespaces, err = parseNamespaces(value)
		case "valid-after":
			s.window.after, err = parseTime(value)
		case "valid-before":
			s.window.before, err = parseTime(value)
		default:
			err = fmt.Errorf("option %q is not supported", name)
		}
		if err != nil {
			return err
		}
	}
	if w := s.window; !w.after.IsZero() && !w.before.IsZero() && w.after.After(w.before) {
		return errors.New("valid-before is before valid-after")
	}
	return nil
}

// cutOption returns the text up to a comma that is not in quotes, and the text after it. more says whether there was one.
func cutOption(field string) (option, rest string, more bool) {
	quoted := false
	for i, c := range field {
		switch {
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted:
			return field[:i], field[i+1:], true
		}
	}
	return field, "", false
}

// parseOption reads one `name="value"`.
func parseOption(option string) (name, value string, err error) {
	name, value, _ = strings.Cut(option, "=")
	name = strings.ToLower(name)
	inner, ok := strings.CutPrefix(value, `"`)
	inner, closed := strings.CutSuffix(inner, `"`)
	if !ok || !closed || strings.ContainsAny(inner, `"\`) {
		return "", "", fmt.Errorf(`option %q is not of the form name="value"`, name)
	}
	return name, inner, nil
}

func parseNamespaces(list string) ([]string, error) {
	if list == "" || strings.ContainsAny(list, `*?!`) {
		return nil, errors.New(`namespaces must be a list of plain names: namespaces="a,b"`)
	}
	return strings.Split(list, ","), nil
}
