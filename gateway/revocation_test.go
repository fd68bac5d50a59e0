package gateway_test

import (
	"testing"
	"time"

	"gwdr/gateway"
)

func TestRevokedFrom(t *testing.T) {
	later := time.Date(2030, 1, 2, 3, 4, 5, 6, time.UTC)
	for body, want := range map[string]time.Time{
		``:                                  {},
		`{}`:                                {},
		`{"at":"2030-01-02T03:04:05Z"}`:     {}, // by a clock that is ahead
		`{"effective":null}`:                {},
		`{"effective":"soon"}`:              {},
		`{"effective":1}`:                   {},
		`{"effective":"2030-01-02T03:04:`:   {},
		`{"reason":"\"effective\": never"}`: {},
		string(gateway.Encode(gateway.RevocationBody{Effective: &later, Successor: "x"})):  later,
		`{"effective":"2030-01-02T04:04:05.000000006+01:00","of":"another version of us"}`: later,
	} {
		if got := gateway.RevokedFrom([]byte(body)); !got.Equal(want) {
			t.Errorf("%s: from %v, want %v", body, got, want)
		}
	}
	now, soon := []byte(`{}`), []byte(`{"effective":"2030-01-02T03:04:05Z"}`)
	if !gateway.RevokesEarlier(now, soon) || gateway.RevokesEarlier(soon, now) || gateway.RevokesEarlier(now, now) {
		t.Error("the earlier of two is not the earlier")
	}
}

func TestOpensRoute(t *testing.T) {
	for _, c := range []struct {
		pattern, route string
		want           bool
	}{{"r", "r", true}, {"r", "rest", false}, {"r*", "rest", true}, {"r*", "r", true}, {"*", "r", true}, {"*", "", true},
		{"", "r", false}, {"a*b", "a1b", false}, {"a*b", "a*b", true}, {"shop:*", "shop:GET:/a", true}, {"shop:*", "shopping", false}} {
		if got := gateway.OpensRoute(c.pattern, c.route); got != c.want {
			t.Errorf("%q opens %q: %v", c.pattern, c.route, got)
		}
	}
}
