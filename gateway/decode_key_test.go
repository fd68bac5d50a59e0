package gateway_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gwdr/gateway"
)

// FuzzDecodeKey: whatever the body, DecodeKey says what Decode says.
func FuzzDecodeKey(f *testing.F) {
	expires := time.Date(2027, 1, 1, 0, 0, 0, 5, time.UTC)
	for _, b := range []gateway.KeyBody{{}, {Consumer: "a", Hash: "00"}, {Hash: "ff", Scopes: []string{"x"}, Created: expires},
		{Hash: "ff", Scopes: []string{"x"}, Routes: []string{"shop:*", "r"}, Created: expires}, {Hash: "ff", Routes: []string{"r"}},
		{Consumer: "ä\"", Hash: "00", Scopes: []string{"x", "y", "<"}, Created: expires.Local(), Expires: &expires}} {
		f.Add(gateway.Encode(b))
	}
	for _, text := range []string{`{"hash":"a","created":"2027-01-01T00:00:00Z"}`, `{"hash":"a","created":"2027-01-01T00:00:00,5Z"}`, `{"hash":"a","created":"x"}`,
		`{"hash":"a","scopes":[],"created":"2027-01-01T00:00:00Z"}`, `{"hash":"a","scopes":["b",],"created":"2027-01-01T00:00:00Z"}`,
		`{"hash":"a","scopes":["b""c"],"created":"2027-01-01T00:00:00Z"}`, `{"hash":"a","created":"2027-01-01T00:00:00Z"} `,
		`{"hash":"a","created":"2027-01-01T00:00:00Z","expires":"2027-01-01T00:00:00Z"}x`, `{"hash":"a","created":"2027-01-01T00:00:00Z","extra":1}`,
		`{"consumer":"a\n","hash":"a","created":"2027-01-01T00:00:00Z"}`, "{\"consumer\":\"\xff\",\"hash\":\"a\",\"created\":\"2027-01-01T00:00:00Z\"}"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var want gateway.KeyBody
		wantErr := gateway.Decode(body, &want)
		got, err := gateway.DecodeKey(body)
		if (err == nil) != (wantErr == nil) || err != nil && err.Error() != wantErr.Error() {
			t.Fatalf("%q: %v, want %v", body, err, wantErr)
		}
		if diff := cmp.Diff(want, got); err == nil && diff != "" {
			t.Fatalf("%q: %s", body, diff)
		}
	})
}
