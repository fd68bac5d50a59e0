package sshsig

import "testing"

func TestBare(t *testing.T) {
	signer, message := NewSigner(""), []byte("hello\n")
	trusted := Trusted{}.Trust("other", NewSigner("").Public()).Trust("ops", signer.Public(), "a")
	signature, id := signer.SignBare(message), signer.Public().Fingerprint()
	if principal, err := trusted.VerifyBare("a", id, message, signature); err != nil || principal != "ops" {
		t.Errorf("VerifyBare = %q, %v; want ops", principal, err)
	}
	for name, check := range map[string]func() (string, error){
		"other message":         func() (string, error) { return trusted.VerifyBare("a", id, []byte("x"), signature) },
		"namespace not allowed": func() (string, error) { return trusted.VerifyBare("b", id, message, signature) },
		"unknown key":           func() (string, error) { return trusted.VerifyBare("a", "SHA256:x", message, signature) },
		"short signature":       func() (string, error) { return trusted.VerifyBare("a", id, message, signature[:10]) },
		"SSH signature": func() (string, error) {
			return trusted.VerifyBare("a", id, message, signer.Sign("a", message))
		},
	} {
		if principal, err := check(); err == nil {
			t.Errorf("%s: verified as %s", name, principal)
		}
	}
}
