package sshsig

import (
	"bytes"
	"encoding/pem"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"
)

const namespace = "gwdr-point-v1"

func TestRoundTrip(t *testing.T) {
	signer := NewSigner("test")
	file, err := signer.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseSigner(file)
	if err != nil {
		t.Fatal(err)
	}
	message := []byte("hello\n")
	signature := again.Sign(namespace, message)
	if !bytes.Equal(signature, signer.Sign(namespace, message)) {
		t.Error("the same key signs the same message in two ways")
	}
	trusted := Trusted{}.Trust("other", NewSigner("").Public()).Trust("ops", signer.Public(), namespace)
	principal, err := trusted.Verify(namespace, message, signature)
	if err != nil || principal != "ops" {
		t.Errorf("Verify = %q, %v; want ops", principal, err)
	}
}

func TestVerifyRefuses(t *testing.T) {
	signer, other := NewSigner(""), NewSigner("")
	message := []byte("hello\n")
	trusted := Trusted{}.Trust("ops", signer.Public(), namespace, "x")
	flipped := signer.Sign(namespace, message)
	flipped[200] ^= 1
	for name, c := range map[string]struct {
		namespace string
		message   string
		signature []byte
	}{
		"other message":          {namespace, "hallo\n", signer.Sign(namespace, message)},
		"signed for another":     {namespace, "hello\n", signer.Sign("x", message)},
		"namespace not allowed":  {"y", "hello\n", signer.Sign("y", message)},
		"unknown key":            {namespace, "hello\n", other.Sign(namespace, message)},
		"flipped byte":           {namespace, "hello\n", flipped},
		"empty":                  {namespace, "hello\n", nil},
		"text before the armor":  {namespace, "hello\n", append([]byte("x\n"), signer.Sign(namespace, message)...)},
		"text after the armor":   {namespace, "hello\n", append(signer.Sign(namespace, message), 'x')},
		"far too long to be one": {namespace, "hello\n", bytes.Repeat([]byte("-----BEGIN SSH SIGNATURE-----\n"), 1000)},
	} {
		if principal, err := trusted.Verify(c.namespace, []byte(c.message), c.signature); err == nil {
			t.Errorf("%s: verified as %s", name, principal)
		}
	}
	if _, err := (Trusted{}).Verify(namespace, message, signer.Sign(namespace, message)); err == nil {
		t.Error("the zero Trusted trusts somebody")
	}
}

// TestEachBit: no bit of a signature can be flipped, whatever the length of what base64 encodes.
func TestEachBit(t *testing.T) {
	signer, message := NewSigner(""), []byte("hello\n")
	trusted := Trusted{}.Trust("ops", signer.Public())
	for _, namespace := range []string{"a", "ab", "abc"} {
		signature := signer.Sign(namespace, message)
		for i := range len(signature) * 8 {
			signature[i/8] ^= 1 << (i % 8)
			if _, err := trusted.Verify(namespace, message, signature); err == nil {
				t.Errorf("%s: bit %d of byte %d counts for nothing", namespace, i%8, i/8)
			}
			signature[i/8] ^= 1 << (i % 8)
		}
		if _, err := trusted.Verify(namespace, message, signature); err != nil {
			t.Error(err)
		}
	}
}

func TestTrustedFile(t *testing.T) {
	key := NewSigner("").Public()
	rsa := "human ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQC7 comment\n"
	file := "# comment\n\nops,dr namespaces=\"a,b\" " + key.String() + " me@host\n" + rsa + "any " + key.String() + "\n"
	trusted, err := ParseTrusted([]byte(file))
	if err != nil {
		t.Fatal(err)
	}
	want := "ops,dr namespaces=\"a,b\" " + key.String() + "\nany " + key.String() + "\n"
	if diff := cmp.Diff(want, string(trusted.Marshal())); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{
		"ops", "ops ssh-ed25519", "ops ssh-ed25519 !!", `ops namespaces="gwdr-*" ` + key.String(), "ops namespaces=a " + key.String(),
		`ops valid-from="20300101" ` + key.String(), "ops cert-authority " + key.String(), `ops namespaces="" ` + key.String(),
		`ops namespaces="a",cert-authority ` + key.String(), `ops namespaces="a", ` + key.String(), key.String(),
		`ops namespaces="a",namespaces="b" ` + key.String(), `ops namespaces="a\" ` + key.String(),
	} {
		if _, err := ParseTrusted([]byte(bad)); err == nil {
			t.Errorf("ParseTrusted(%q) succeeded", bad)
		}
	}
}

func TestParseSignerRefuses(t *testing.T) {
	if _, err := ParseSigner([]byte("no key")); err == nil {
		t.Error("text was accepted as a key")
	}
}

func TestUnlockSigner(t *testing.T) {
	signer := NewSigner("")
	block, err := ssh.MarshalPrivateKeyWithPassphrase(signer.key, "", []byte("open sesame"))
	if err != nil {
		t.Fatal(err)
	}
	file := pem.EncodeToMemory(block)
	if _, err := ParseSigner(file); !errors.Is(err, ErrLocked) {
		t.Errorf("ParseSigner = %v, want ErrLocked", err)
	}
	if _, err := UnlockSigner(file, []byte("close sesame")); !errors.Is(err, ErrPassphrase) || strings.Contains(err.Error(), "sesame") {
		t.Errorf("UnlockSigner = %v, want ErrPassphrase", err)
	}
	again, err := UnlockSigner(file, []byte("open sesame"))
	if err != nil || !again.Public().Equal(signer.Public()) {
		t.Errorf("UnlockSigner = %v, %v; want %v", again, err, signer)
	}
}

func FuzzVerify(f *testing.F) {
	signer := NewSigner("")
	message := []byte("hello\n")
	valid := signer.Sign(namespace, message)
	f.Add(valid)
	f.Add([]byte("-----BEGIN SSH SIGNATURE-----\nU1NIU0lH\n-----END SSH SIGNATURE-----\n"))
	f.Add([]byte{})
	trusted := Trusted{}.Trust("ops", signer.Public())
	f.Fuzz(func(t *testing.T, signature []byte) {
		_, err := trusted.Verify(namespace, []byte("another message"), signature)
		if err == nil {
			t.Errorf("signature of another message verified: %q", signature)
		}
	})
}

func FuzzParseTrusted(f *testing.F) {
	key := NewSigner("").Public().String()
	f.Add("ops namespaces=\"a,b\" " + key)
	f.Add("ops ssh-rsa AAAA\n# comment\n\"a b\" " + key)
	f.Add("ops valid-after=\"20250101Z\",valid-before=\"203001011200\" " + key)
	f.Fuzz(func(t *testing.T, file string) {
		trusted, err := ParseTrusted([]byte(file))
		if err != nil {
			return
		}
		if trusted.Len() > strings.Count(file, "\n")+1 {
			t.Errorf("%d keys from %q", trusted.Len(), file)
		}
		for _, s := range trusted.signers {
			if w := s.window; !w.after.IsZero() && !w.before.IsZero() && w.before.Before(w.after) {
				t.Errorf("window %s from %q", w, file)
			}
		}
	})
}
