package sshsig

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func at(text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		panic(err)
	}
	return t
}

// TestWindow: a key counts for what was signed while it was trusted, both ends included.
func TestWindow(t *testing.T) {
	signer, message := NewSigner(""), []byte("hello\n")
	signature, bare := signer.Sign("a", message), signer.SignBare(message)
	trusted, err := ParseTrusted([]byte(`ops valid-after="20250101Z",namespaces="a",valid-before="20260101120000Z" ` + signer.Public().String()))
	if err != nil {
		t.Fatal(err)
	}
	for text, valid := range map[string]bool{
		"2024-12-31T23:59:59Z":   false,
		"2025-01-01T00:00:00Z":   true,
		"2025-06-01T00:00:00Z":   true,
		"2026-01-01T12:00:00.9Z": true, // to the second
		"2026-01-01T12:00:01Z":   false,
	} {
		_, err := trusted.At(at(text)).Verify("a", message, signature)
		_, bareErr := trusted.At(at(text)).VerifyBare("a", signer.Public().Fingerprint(), message, bare)
		if (err == nil) != valid || (bareErr == nil) != valid {
			t.Errorf("%s: %v, %v; want valid: %t", text, err, bareErr, valid)
		}
	}
	if _, err := trusted.Verify("a", message, signature); err == nil || !strings.Contains(err.Error(), "from 2025-01-01T00:00:00Z until 2026-01-01T12:00:00Z") {
		t.Errorf("Verify now = %v", err)
	}
	if _, err := trusted.AtAnyTime().Verify("a", message, signature); err != nil {
		t.Errorf("Verify at any time: %v", err)
	}
	if _, err := trusted.AtAnyTime().Verify("a", []byte("x"), signature); err == nil {
		t.Error("at any time, another message verified")
	}
	if _, err := trusted.AtAnyTime().At(at("2030-01-01T00:00:00Z")).Verify("a", message, signature); err == nil {
		t.Error("At does not undo AtAnyTime")
	}
}

// TestTwoWindows: a key may have several lines.
func TestTwoWindows(t *testing.T) {
	signer := NewSigner("")
	key := signer.Public().String()
	trusted, err := ParseTrusted([]byte("x valid-before=\"20200101Z\" " + key + "\ny valid-after=\"20300101Z\" " + key + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	signature := signer.Sign("a", nil)
	for text, want := range map[string]string{"2019-01-01T00:00:00Z": "x", "2025-01-01T00:00:00Z": "", "2031-01-01T00:00:00Z": "y"} {
		if got, _ := trusted.At(at(text)).Verify("a", nil, signature); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

func TestWindowText(t *testing.T) {
	key := NewSigner("").Public().String()
	trusted, err := ParseTrusted([]byte(`ops valid-before="202601011200z",namespaces="a,b" ` + key))
	if err != nil {
		t.Fatal(err)
	}
	want := `ops namespaces="a,b",valid-before="20260101120000Z" ` + key + "\n"
	if diff := cmp.Diff(want, string(trusted.Marshal())); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{"", "2026", "20261301", "20260101T12", "2026010112000", "Z", "-2026010", "20260230", "202601012560", "20260101120000ZZ"} {
		if _, err := ParseTrusted([]byte(`ops valid-before="` + bad + `" ` + key)); err == nil {
			t.Errorf("valid-before=%q was accepted", bad)
		}
	}
	if _, err := ParseTrusted([]byte(`ops valid-before="20250101",valid-after="20260101" ` + key)); err == nil {
		t.Error("a window that ends before it begins was accepted")
	}
}

// TestLocalTime: without a Z, a time is that of the machine, as to ssh-keygen.
func TestLocalTime(t *testing.T) {
	got, err := parseTime("20260701")
	if want := time.Date(2026, 7, 1, 0, 0, 0, 0, time.Local); err != nil || !got.Equal(want) {
		t.Errorf("parseTime = %s, %v; want %s", got, err, want)
	}
}
