package cmd

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What a data plane shall do to be let in is in its log.
func TestServeSaysWhatTheControlPlaneWants(t *testing.T) {
	dir := t.TempDir()
	tokens, wrong := tokenFile(t, dir, "tokens", "replica:replica-token-0123456789\n"), tokenFile(t, dir, "wrong", "another-token-0123456789\n")
	control := serveUntilEnd(t, filepath.Join(dir, "control"), "--role", "control", "--token-file", tokens)
	strange := httptest.NewTLSServer(http.NotFoundHandler())
	defer strange.Close()
	for says, args := range map[string][]string{
		"it wants one, by --control-token-file": {"--control", "http://" + control.Admin},
		"does not know that of --control-token": {"--control", "http://" + control.Admin, "--control-token-file", wrong},
		"the variable SSL_CERT_FILE names":      {"--control", strange.URL},
	} {
		data := serveUntilEnd(t, t.TempDir(), append([]string{"--role", "data"}, args...)...)
		eventuallyServed(t, says, func() bool { return strings.Contains(data.stderr.String(), says) })
		data.end()
	}
}

// A file with anything but one token is refused before anything is made, and told of without what is in it.
func TestServeRefusesControlTokens(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"role": "replica:hunter2-0123456789\n", "roles": "admin:hunter2-0123456789\nreplica:hunter2-9876543210\n",
		"two": "hunter2-0123456789\nhunter2-9876543210\n", "none": "\n", "words": "hunter2 0123456789", "other": "hunter2-ö",
	} {
		file, data := tokenFile(t, dir, name, text), filepath.Join(dir, "data")
		said := serveFails(t, exitUsage, "serve", "--role", "data", "--data", data, "--control", "http://127.0.0.1:1", "--control-token-file", file)
		if !strings.Contains(said, "--control-token-file "+file+": want one token on one line") || strings.Contains(said, "hunter2") {
			t.Errorf("%s: %s", name, said)
		}
		if _, err := os.Stat(data); err == nil {
			t.Errorf("%s: a directory was made", name)
		}
	}
}

func tokenFile(t *testing.T, dir, name, text string) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
