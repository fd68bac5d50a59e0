package sftp_test

import (
	"strings"
	"testing"

	"gwdr/backup/sftp"
)

func TestParseURL(t *testing.T) {
	for text, want := range map[string]sftp.Options{
		"sftp://backup@nas/srv/gwdr":                             {User: "backup", Host: "nas", Port: 22, Dir: "/srv/gwdr"},
		"sftp://backup@NAS:2222/srv/gwdr/?key=/k&known_hosts=/h": {User: "backup", Host: "nas", Port: 2222, Dir: "/srv/gwdr", Key: "/k", KnownHosts: "/h"},
		"sftp://u%40x@[::1]:2222/a%20b":                          {User: "u@x", Host: "::1", Port: 2222, Dir: "/a b"},
		"sftp://u@nas/":                                          {User: "u", Host: "nas", Port: 22, Dir: "/"},
	} {
		got, err := sftp.ParseURL(text)
		if err != nil || got.User != want.User || got.Host != want.Host || got.Port != want.Port || got.Dir != want.Dir ||
			got.Key != want.Key || got.KnownHosts != want.KnownHosts {
			t.Errorf("ParseURL(%s) = %+v, %v; want %+v", text, got, err, want)
		}
	}
	for _, bad := range []string{
		"sftp:", "sftp://nas/x", "sftp://@nas/x", "sftp://u@/x", "sftp://u@nas", "sftp://u@nas:0/x", "sftp://u@nas:70000/x", "sftp://u@nas/x#y", "s3://u@nas/x",
		"sftp://u@nas/x?key=relative", "sftp://u@nas/x?key=", "sftp://u@nas/x?key=/a&key=/b", "sftp://u@nas/x?passphrase=/hunter2",
		"sftp://u:hunter2@nas/x", "sftp://u:@nas/x", "sftp://u:hunter2@nas:port/x", "sftp://u:hunter2%zz@nas/x", "sftp://u:hun/ter2@nas/x", "sftp://u:hunter2@/x",
	} {
		if _, err := sftp.ParseURL(bad); err == nil {
			t.Errorf("ParseURL(%s) succeeded", bad)
		} else if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "hun/ter2") {
			t.Errorf("ParseURL shows the password: %v", err)
		}
	}
}

// FuzzParseURL: whatever stands where a password does, no error shows it.
func FuzzParseURL(f *testing.F) {
	f.Add("hunter22hunter22", "/x")
	f.Add("a/b?c#dhunter22", ":22/x?key=/k")
	f.Add("100%hunter22", "/x?known_hosts=h")
	f.Fuzz(func(t *testing.T, password, rest string) {
		_, err := sftp.ParseURL("sftp://user:" + password + "@nas" + rest)
		if err == nil && !strings.ContainsAny(password, "/?#") {
			t.Errorf("a password was accepted")
		}
		if err != nil && len(password) >= 12 && strings.Contains(err.Error(), password) {
			t.Errorf("the error shows the password: %v", err)
		}
	})
}
