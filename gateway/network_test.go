package gateway_test

import (
	"fmt"
	"testing"

	"gwdr/gateway"
)

func TestParseNetworks(t *testing.T) {
	for text, want := range map[string]string{
		"10.1.2.3": "10.1.2.3/32", "10.1.2.3/8": "10.0.0.0/8", "2001:db8::1": "2001:db8::1/128", "2001:db8::/32": "2001:db8::/32",
		"0.0.0.0/0": "0.0.0.0/0",
		"":          "", "localhost": "", "10.0.0.0/33": "", "10.0.0/8": "", "::ffff:10.0.0.1": "", "::ffff:10.0.0.0/104": "",
		"fe80::1%eth0/64": "", "10.0.0.1:80": "",
	} {
		got, err := gateway.ParseNetworks([]string{text})
		if (err == nil) != (want != "") || err == nil && got[0].String() != want {
			t.Errorf("%q: %v, %v, want %q", text, got, err, want)
		}
	}
	if _, err := gateway.ParseNetworks([]string{"10.0.0.1", "fe80::1%eth0"}); err == nil {
		t.Error("an address with a zone is a network")
	}
	body := `{"path":"/","upstream":"u","allow_from":["10.0.0.0/8"],"deny_from":["10.0.0.1","somebody"]}`
	want := `route/x: deny_from: "somebody" is neither an address nor a network like 10.0.0.0/8`
	if err := gateway.Check(entity(gateway.Route, "x", body)); fmt.Sprint(err) != want {
		t.Errorf("%v, want %s", err, want)
	}
}
