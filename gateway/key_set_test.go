package gateway_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"gwdr/gateway"
)

// FuzzKeySet: whatever an issuer publishes, what is kept of it are public keys of our algorithms, and can be kept again.
func FuzzKeySet(f *testing.F) {
	f.Add(`{"keys":[` + publicKey + `]}`)
	f.Add(`{"keys":[{"kty":"EC","crv":"P-256","alg":"ES256","kid":"1","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",` +
		`"y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"},null,5,{"kty":"oct","k":"AAAA"}]}`)
	f.Add(`{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB","use":"sig","x5c":["AAAA"]}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		var set, again gateway.KeySet
		if json.Unmarshal([]byte(text), &set) != nil {
			return
		}
		for _, k := range set.Keys {
			if !k.Valid() || !k.IsPublic() || !slices.Contains(gateway.Algorithms(), jose.SignatureAlgorithm(k.Algorithm)) {
				t.Errorf("kept %+v", k)
			}
		}
		kept := gateway.Encode(set)
		if err := json.Unmarshal(kept, &again); err != nil || len(set.Keys) == 0 || !bytes.Equal(gateway.Encode(again), kept) {
			t.Errorf("%s is read as %s, %v", kept, gateway.Encode(again), err)
		}
	})
}
