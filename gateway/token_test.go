package gateway_test

import (
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"testing"

	"gwdr/gateway"
)

func TestTokenComesBack(t *testing.T) {
	for range 100 {
		token := gateway.NewToken()
		got, err := gateway.ParseToken(token.Reveal())
		if err != nil || got != token || got.Hash() != token.Hash() {
			t.Fatalf("%s came back as %s: %v", token, got, err)
		}
	}
}

func TestTokenKeepsItsSecret(t *testing.T) {
	token := gateway.NewToken()
	secret := token.Reveal()[21:64]
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if text := fmt.Sprintf(verb, token); strings.Contains(text, secret) || !strings.Contains(text, token.ID) {
			t.Errorf("%s prints %s", verb, text)
		}
	}
}

// signed adds the right checksum, so that what comes after it is reached.
func signed(head string) string {
	return fmt.Sprintf("%s_%08x", head, crc32.ChecksumIEEE([]byte(head)))
}

func TestTokenHasOneSpelling(t *testing.T) {
	good := gateway.NewToken().Reveal()
	const id, secret = "0123456789abcdef", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	if _, err := gateway.ParseToken(signed("gwk_" + id + "_" + secret)); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"empty":             "",
		"other prefix":      "gwx" + good[3:],
		"cut":               good[:len(good)-1],
		"longer":            good + "0",
		"space around":      " " + good,
		"checksum case":     good[:len(good)-8] + strings.ToUpper(good[len(good)-8:]) + "!",
		"one letter":        good[:30] + "~" + good[31:],
		"upper-case id":     signed("gwk_0123456789ABCDEF_" + secret),
		"id not hex":        signed("gwk_0123456789abcdeg_" + secret),
		"spare bits":        signed("gwk_" + id + "_" + secret[:42] + "B"),
		"standard base64":   signed("gwk_" + id + "_" + secret[:42] + "+"),
		"line feed inside":  signed("gwk_" + id + "_" + secret[:42] + "\n"),
		"padding inside":    signed("gwk_" + id + "_" + secret[:42] + "="),
		"checksum of other": signed("gwk_" + id + "_" + secret)[:65] + "00000000",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := gateway.ParseToken(text)
			if !errors.Is(err, gateway.ErrToken) {
				t.Fatalf("error is %v", err)
			}
			if len(text) > 20 && strings.Contains(err.Error(), text[20:40]) {
				t.Errorf("error %v repeats the token", err)
			}
		})
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add(gateway.NewToken().Reveal())
	f.Add("gwk_0123456789abcdef_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA_00000000")
	f.Fuzz(func(t *testing.T, text string) {
		for _, text := range []string{text, signed("gwk_" + text)} {
			if token, err := gateway.ParseToken(text); err == nil && token.Reveal() != text {
				t.Errorf("%q is a second spelling of %s", text, token)
			}
		}
	})
}
