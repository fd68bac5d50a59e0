package cmd

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"filippo.io/age"
	"github.com/creack/pty"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/term"

	"gwdr/backup"
	"gwdr/backup/backuptest"
)

// edit replaces text in a file of the site.
func (s *site) edit(name, before, after string) {
	s.t.Helper()
	content, err := os.ReadFile(s.path(name))
	if err != nil {
		s.t.Fatal(err)
	}
	if !bytes.Contains(content, []byte(before)) {
		s.t.Fatalf("%s does not hold %q:\n%s", name, before, content)
	}
	if err := os.WriteFile(s.path(name), bytes.ReplaceAll(content, []byte(before), []byte(after)), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// lock encrypts the site's identity with the passphrase, as age -p does.
func (s *site) lock(passphrase string) {
	s.t.Helper()
	file := s.path("gwdr-keys", "identity")
	content, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	key, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		s.t.Fatal(err)
	}
	key.SetWorkFactor(10)
	var sealed bytes.Buffer
	w, err := age.Encrypt(&sealed, key)
	if err != nil {
		s.t.Fatal(err)
	}
	_, err = w.Write(content)
	if err := errors.Join(err, w.Close(), os.WriteFile(file, sealed.Bytes(), 0o600)); err != nil {
		s.t.Fatal(err)
	}
}

// TestIdentityConfig: keys.identity is one file, a list, or several with commas between them.
func TestIdentityConfig(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "gwdr.yaml")
	env := map[string]string{"HOME": dir}
	for text, want := range map[string][]string{
		"{}": {}, "{identity: ''}": {}, "{identity: /a}": {"/a"}, "{identity: '/a,/b'}": {"/a", "/b"}, "{identity: [/a, '/b,c']}": {"/a", "/b,c"},
	} {
		if err := os.WriteFile(file, []byte("keys: "+text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		for variable, want := range map[string][]string{"": want, "/x": {"/x"}, "/x,/y": {"/x", "/y"}} {
			env["GWDR_KEYS_IDENTITY"] = variable
			c, err := loadConfig(file, func(name string) string { return env[name] })
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, append([]string{}, c.Keys.Identity...)); diff != "" {
				t.Errorf("%s with %q: %s", text, variable, diff)
			}
		}
	}
}

// TestLockedIdentity: what does not decrypt needs no passphrase; what does ends with code 2 if it is not there, and shows
// no secret.
func TestLockedIdentity(t *testing.T) {
	s := newSite(t)
	s.backup(3, false)
	s.lock("open sesame")
	s.backup(3, false)
	s.want(0, "backup", "list")
	text := s.want(2, "backup", "verify")
	contains(t, text, "there is no terminal to ask at", "hint: set GWDR_KEYS_PASSPHRASE_FILE")
	if strings.Contains(text, "does not open it") { // nobody knows
		t.Errorf("without a passphrase:\n%s", text)
	}
	if err := os.WriteFile(s.path("passphrase"), []byte("open sesame\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.edit("gwdr.yaml", "  signing:", "  passphrase_file: "+s.path("passphrase")+"\n  signing:")
	contains(t, s.want(0, "backup", "verify", "--all"), "2 of 2 decrypted")
	if err := os.WriteFile(s.path("passphrase"), []byte("close sesame\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	text = s.want(2, "backup", "verify", "--all")
	contains(t, text, "passphrase is wrong", "hint: set GWDR_KEYS_PASSPHRASE_FILE")
	if strings.Contains(text, "sesame") {
		t.Errorf("the passphrase is shown:\n%s", text)
	}
	s.damage("*", "gwdr1", "*", "packs", "*", "*")
	contains(t, s.want(8, "backup", "verify"), "LOST") // whatever the passphrase is
}

// TestSecretAsRecipient: an identity in the wrong place is refused, and not repeated.
func TestSecretAsRecipient(t *testing.T) {
	s := newSite(t)
	content, err := os.ReadFile(s.path("gwdr-keys", "identity"))
	if err != nil {
		t.Fatal(err)
	}
	secret := strings.TrimSpace(string(content[bytes.LastIndex(content, []byte("AGE-SECRET-KEY-")):]))
	token, _ := backuptest.PluginKey(t, backuptest.PluginWilling)
	for _, id := range []string{secret, strings.ToLower(secret), token} {
		s.edit("gwdr.yaml", "  recipients:", "  recipients: # was\n    - "+id+"\n  # before:")
		for _, args := range [][]string{{"backup", "list"}, {"backup", "verify", "--json"}} {
			text := s.want(2, args...)
			contains(t, text, "hint: 'gwdr init' makes keys", "read recipient 1: it is an identity, which is secret")
			if strings.Contains(strings.ToUpper(text), strings.ToUpper(id[20:])) {
				t.Errorf("the identity is shown:\n%s", text)
			}
		}
		s.edit("gwdr.yaml", "  recipients: # was\n    - "+id+"\n  # before:", "  recipients:")
	}
}

// TestAbsentIdentity: a machine that only backs up needs no identity, wherever its configuration says that it is. Whoever has
// to decrypt hears which file is missing.
func TestAbsentIdentity(t *testing.T) {
	s := newSite(t)
	if err := os.Rename(s.path("gwdr-keys", "identity"), s.path("safe")); err != nil {
		t.Fatal(err)
	}
	s.backup(3, false)
	s.want(0, "backup", "list")
	contains(t, s.want(0, "backup", "verify", "--all", "--attest"), "not decrypted: the identity "+s.path("gwdr-keys", "identity")+" is not here")
	contains(t, s.want(3, "backup", "status"), "NOT MET", "identity is not tested")
	contains(t, s.want(2, "backup", "status", "--identity", s.path("nowhere")), s.path("nowhere")+" is not here")
	contains(t, s.want(2, "restore", "--plan"), s.path("gwdr-keys", "identity")+" is not here", "hint: set GWDR_KEYS_IDENTITY")

	s.named = map[string]string{"GWDR_KEYS_IDENTITY": s.path("nowhere")} // a slip is no proof that the safe has the right one
	contains(t, s.want(2, "backup", "verify"), "is not here", "hint: set GWDR_KEYS_IDENTITY")
	s.named["GWDR_KEYS_IDENTITY"] += "," + s.path("safe")
	contains(t, s.want(0, "backup", "verify"), "1 of 1 decrypted") // by the one that is here
	if _, err := backup.GenerateKeys(s.path("others")); err != nil {
		t.Fatal(err)
	}
	s.named["GWDR_KEYS_IDENTITY"] = s.path("nowhere") + "," + s.path("others", "identity")
	text := s.want(2, "backup", "verify")
	contains(t, text, s.path("nowhere")+" is not here")
	if strings.Contains(text, "CANNOT DECRYPT") { // the one that is not here may open it
		t.Errorf("one of two identities is missing:\n%s", text)
	}
}

// TestUnusableKeys: keys that are missing, or are not what they should be, are a matter of configuration, with a next step.
func TestUnusableKeys(t *testing.T) {
	s := newSite(t)
	for variable, want := range map[string]string{
		"GWDR_KEYS_SIGNING": "no such file", "GWDR_KEYS_TRUSTED": "no such file", "GWDR_KEYS_RECIPIENTS": "does not begin with age1",
	} {
		s.named = map[string]string{variable: s.path("nowhere")}
		contains(t, s.backup(2, false), want, "hint: 'gwdr init' makes keys")
	}
	s.named = nil
	s.edit("gwdr.yaml", "  signing:", "  #signing:")
	contains(t, s.backup(2, false), "keys.signing names no key", "hint: 'gwdr init' makes keys")
	s.edit("gwdr.yaml", "  #signing:", "  signing:")
	if _, err := backup.GenerateKeys(s.path("others")); err != nil {
		t.Fatal(err)
	}
	s.named = map[string]string{"GWDR_KEYS_SIGNING": s.path("others", "sign")}
	contains(t, s.backup(2, false), "do not include the signing key", "hint: 'gwdr init' makes keys")
}

// TestOpenKeyFiles: others than their owner should not read keys. It is said where somebody reads it.
func TestOpenKeyFiles(t *testing.T) {
	s := newSite(t)
	file := s.path("gwdr-keys", "sign")
	if err := os.Chmod(file, 0o640); err != nil {
		t.Fatal(err)
	}
	contains(t, s.want(0, "version"), "warning: ", file+" (mode 0640): chmod 600 "+file)
	if text := s.want(0, "version", "-q"); strings.Contains(text, "warning") {
		t.Errorf("quiet: %s", text)
	}
}

// TestQuiet: what is well is not worth a word, not even on stdout.
func TestQuiet(t *testing.T) {
	s := newSite(t)
	s.backup(3, false)
	if text := s.want(0, "backup", "verify", "--all", "-q"); text != "" {
		t.Errorf("verify: %s", text)
	}
	if text := s.want(0, "init", "-q", "--file", s.path("second", "gwdr.yaml")); text != "" {
		t.Errorf("init: %s", text)
	}
	if text := s.want(0, "backup", "list", "-q"); !strings.HasPrefix(text, "POINT") { // it was asked for
		t.Errorf("list: %s", text)
	}
	s.damage("nas", "gwdr1", "*", "packs", "*", "*")
	text := s.want(3, "backup", "verify", "-q")
	contains(t, text, "gwdr: everything that was read can be restored", "hint: ")
	if s.stdout.Len() > 0 {
		t.Errorf("verify of what is damaged: %s", text)
	}
}

// TestPluginOnPath: this test binary is the plugin, which testscript has put on the PATH.
func TestPluginOnPath(t *testing.T) {
	s := newSite(t)
	identity, recipient := backuptest.PluginKey(t, backuptest.PluginPIN)
	if err := os.WriteFile(s.path("token"), []byte(identity+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.edit("gwdr.yaml", "  recipients:", "  recipients: # was\n    - "+recipient+"\n  # before:")
	s.backup(3, false)
	contains(t, s.want(0, "backup", "verify"), "1 of 1 decrypted") // with the native identity, and without a PIN
	s.edit("gwdr.yaml", "  identity: [", "  identity: "+s.path("token")+" # [")
	contains(t, s.want(2, "backup", "verify"), `plugin age-plugin-gwdrtest asked "PIN of the token:"`, "no terminal", "hint: set GWDR_KEYS_IDENTITY")
}

// TestQuestion asks at a real terminal: a secret is not shown, even if it is typed at once; an interrupt ends the question
// and leaves the terminal as it was.
func TestQuestion(t *testing.T) {
	person, terminal, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer person.Close()
	defer terminal.Close()
	before, err := term.GetState(int(terminal.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	a := &app{Stdin: terminal, Stderr: terminal}
	ask := func(ctx context.Context, secret bool, typed string) (string, string, error) {
		screen := make(chan string, 1)
		go func() { // types once the question is there, and reads on until the next line
			var shown []byte
			for b := make([]byte, 1); ; {
				if _, err := person.Read(b); err != nil {
					break
				}
				shown = append(shown, b[0])
				if bytes.HasSuffix(shown, []byte("Who? ")) {
					person.WriteString(typed)
				}
				if b[0] == '\n' {
					break
				}
			}
			screen <- string(shown)
		}()
		answer, err := a.question(ctx, "Who? ", secret)
		if ctx.Err() != nil && !secret {
			return answer, "", err
		}
		return answer, <-screen, err
	}
	answer, shown, err := ask(t.Context(), true, " open sesame \n")
	if answer != " open sesame " || err != nil || shown != "Who? \r\n" {
		t.Errorf("secret: %q, %v; the terminal shows %q", answer, err, shown)
	}
	answer, shown, err = ask(t.Context(), false, "me\n")
	if answer != "me" || err != nil || shown != "Who? me\r\n" {
		t.Errorf("public: %q, %v; the terminal shows %q", answer, err, shown)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := ask(ctx, true, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	after, err := term.GetState(int(terminal.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, after, cmp.Exporter(func(reflect.Type) bool { return true })); diff != "" {
		t.Errorf("terminal: %s", diff)
	}
	a.live = true
	if _, err := a.question(t.Context(), "Who? ", true); !errors.Is(err, errLive) {
		t.Errorf("under a live view: %v", err)
	}
	if err := keyError(errors.Join(backup.ErrNoIdentity, context.Canceled)); exitCode(ctx, err) != exitInterrupted {
		t.Errorf("interrupted question: exit code %d", exitCode(ctx, err))
	}
}
