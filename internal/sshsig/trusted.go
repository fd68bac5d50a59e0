package sshsig

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Trusted is a set of public keys with the names of their holders, as in an allowed_signers file. The zero value trusts
// nobody.
type Trusted struct {
	signers []trustedSigner
}

type trustedSigner struct {
	principal  string
	namespaces []string // empty: any
	key        PublicKey
}

// Trust returns t with one more key. Without namespaces the key is trusted in any. The principal names the holder and
// must not hold white space or quotes.
func (t Trusted) Trust(principal string, key PublicKey, namespaces ...string) Trusted {
	signer := trustedSigner{principal: principal, namespaces: namespaces, key: key}
	return Trusted{signers: append(slices.Clip(t.signers), signer)}
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
	i := slices.IndexFunc(t.signers, func(s trustedSigner) bool { return s.allows(namespace, p.key) })
	if i < 0 {
		return "", fmt.Errorf("verify signature: key %s is not trusted for %s", p.key.Fingerprint(), namespace)
	}
	if !ed25519.Verify(p.key.key, signedData(namespace, p.hash, message), p.signature) {
		return "", errors.New("verify signature: it does not match the content")
	}
	return t.signers[i].principal, nil
}

func (s trustedSigner) allows(namespace string, key PublicKey) bool {
	return s.key.Equal(key) && (len(s.namespaces) == 0 || slices.Contains(s.namespaces, namespace))
}

// Marshal returns the set as an allowed_signers file.
func (t Trusted) Marshal() []byte {
	var b strings.Builder
	for _, s := range t.signers {
		b.WriteString(s.principal)
		if len(s.namespaces) > 0 {
			fmt.Fprintf(&b, " namespaces=%q", strings.Join(s.namespaces, ","))
		}
		fmt.Fprintf(&b, " %s\n", s.key)
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
		if s.namespaces, err = parseOptions(field); err != nil {
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

// parseOptions returns the namespaces that the options allow.
func parseOptions(field string) ([]string, error) {
	name, value, _ := strings.Cut(field, "=")
	if !strings.EqualFold(name, "namespaces") {
		return nil, fmt.Errorf("option %q is not supported", name)
	}
	inner, ok := strings.CutPrefix(value, `"`)
	inner, closed := strings.CutSuffix(inner, `"`)
	if !ok || !closed || inner == "" || strings.ContainsAny(inner, `"*?!`) {
		return nil, errors.New(`namespaces must be a list of plain names: namespaces="a,b"`)
	}
	return strings.Split(inner, ","), nil
}
