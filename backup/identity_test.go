package backup_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
	"filippo.io/age/armor"

	"gwdr/backup"
	"gwdr/backup/backuptest"
)

const passphrase = "open sesame"

// writeFile writes a file and returns its name.
func writeFile(t testing.TB, name, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func newIdentity(t testing.TB) *age.X25519Identity {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// locked encrypts the content with the passphrase, as age -p does, but in less time.
func locked(t testing.TB, content string, armored bool) string {
	t.Helper()
	var out bytes.Buffer
	var w io.WriteCloser = nopCloser{&out}
	if armored {
		w = armor.NewWriter(&out)
	}
	key, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		t.Fatal(err)
	}
	key.SetWorkFactor(10)
	sealed, err := age.Encrypt(w, key)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(sealed, content)
	if err := errors.Join(sealed.Close(), w.Close()); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// person sits at a terminal and types the answers, one after the other.
type person struct {
	answers []string
	asked   []string
	told    []string
}

func (p *person) ask(question string, secret bool) (string, error) {
	p.asked = append(p.asked, fmt.Sprintf("%ssecret=%t", question, secret))
	if len(p.answers) == 0 {
		return "", io.EOF
	}
	answer := p.answers[0]
	p.answers = p.answers[1:]
	return answer, nil
}

func (p *person) tell(text string) { p.told = append(p.told, text) }

// pointFor returns a house with one point that is encrypted for the recipients.
func pointFor(t testing.TB, recipients ...string) (*house, backup.Found) {
	t.Helper()
	h := newHouse(t, someEntities()...)
	keys, err := backup.ReadKeys(backup.KeyFiles{Recipients: recipients})
	if err != nil {
		t.Fatal(err)
	}
	h.job.Keys.Recipients, h.job.Keys.RecipientIDs = keys.Recipients, keys.RecipientIDs
	h.take(t)
	return h, h.find(t)[0]
}

// open reads the files and loads the point with them.
func (h *house) open(t testing.TB, f backup.Found, files backup.KeyFiles) error {
	t.Helper()
	keys, err := backup.ReadKeys(files)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = backup.Load(t.Context(), f, h.job.Copies, keys.Identities)
	return err
}

// TestSeveralIdentities: of several files with several identities each, one that fits suffices.
func TestSeveralIdentities(t *testing.T) {
	ids := []*age.X25519Identity{newIdentity(t), newIdentity(t), newIdentity(t)}
	two := writeFile(t, "two", fmt.Sprintf("# two\r\n%s\r\n\n%s\n", ids[0], ids[1]))
	one := writeFile(t, "one", ids[2].String())
	for i, id := range ids {
		h, found := pointFor(t, id.Recipient().String())
		if err := h.open(t, found, backup.KeyFiles{Identities: []string{two, one}}); err != nil {
			t.Errorf("identity %d: %v", i, err)
		}
	}
	keys, err := backup.ReadKeys(backup.KeyFiles{Identities: []string{two, one}})
	if err != nil || len(keys.Identities) != 3 || keys.IdentityFile != two+", "+one {
		t.Errorf("keys: %v, %v", keys.Identities, err)
	}
}

// TestPassphrase opens identity files with a passphrase, armored or not, from a file or from a person.
func TestPassphrase(t *testing.T) {
	id := newIdentity(t)
	h, found := pointFor(t, id.Recipient().String())
	for _, armored := range []bool{false, true} {
		file := writeFile(t, "identity.age", locked(t, "# comment\n"+id.String()+"\n", armored))
		for _, ending := range []string{"", "\n", "\r\n"} {
			if err := h.open(t, found, backup.KeyFiles{Identities: []string{file}, PassphraseFile: writeFile(t, "p", passphrase+ending)}); err != nil {
				t.Errorf("armored %t, passphrase file ends %q: %v", armored, ending, err)
			}
		}
		p := &person{answers: []string{"close sesame", "", passphrase}}
		if err := h.open(t, found, backup.KeyFiles{Identities: []string{file}, Ask: p.ask}); err != nil || len(p.asked) != 3 {
			t.Errorf("armored %t, asked %v: %v", armored, p.asked, err)
		}
		if want := "Passphrase of " + file + ": secret=true"; p.asked[0] != want || p.asked[1] != "That was wrong. "+want {
			t.Errorf("asked %q", p.asked)
		}
	}
}

// TestPassphraseLazy: nobody is asked where another identity fits, or nothing is decrypted.
func TestPassphraseLazy(t *testing.T) {
	id := newIdentity(t)
	h, found := pointFor(t, id.Recipient().String())
	p := &person{}
	files := backup.KeyFiles{Ask: p.ask, PassphraseFile: "/nowhere", Identities: []string{
		writeFile(t, "locked", locked(t, newIdentity(t).String(), false)), writeFile(t, "plain", id.String())}}
	if err := h.open(t, found, files); err != nil || len(p.asked) > 0 {
		t.Errorf("asked %v: %v", p.asked, err)
	}
}

// TestPassphraseFails: what is wrong with the passphrase is said, and is not said of the points.
func TestPassphraseFails(t *testing.T) {
	id := newIdentity(t)
	h, found := pointFor(t, id.Recipient().String())
	file := writeFile(t, "identity.age", locked(t, id.String()+"\n", false))
	for name, c := range map[string]struct {
		files backup.KeyFiles
		want  string
	}{
		"nobody":       {backup.KeyFiles{}, "there is no terminal to ask at"},
		"wrong file":   {backup.KeyFiles{PassphraseFile: writeFile(t, "p", "close sesame")}, "p is wrong"},
		"no file":      {backup.KeyFiles{PassphraseFile: "/nowhere"}, "open /nowhere"},
		"empty file":   {backup.KeyFiles{PassphraseFile: writeFile(t, "p", "\n")}, "it is empty"},
		"two lines":    {backup.KeyFiles{PassphraseFile: writeFile(t, "p", passphrase+"\nx\n")}, "not one line"},
		"wrong person": {backup.KeyFiles{Ask: (&person{answers: []string{"a", "b", "c", "d", "e", "f"}}).ask}, "3 wrong ones"},
		"person left":  {backup.KeyFiles{Ask: (&person{answers: []string{"a"}}).ask}, "EOF"},
	} {
		c.files.Identities = []string{file}
		err := h.open(t, found, c.files)
		if !errors.Is(err, backup.ErrNoIdentity) || !errors.Is(err, backup.ErrPassphrase) || errors.Is(err, backup.ErrIntegrity) ||
			!strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "sesame") {
			t.Errorf("%s: %v", name, err)
		}
		keys, err := backup.ReadKeys(c.files)
		if err != nil {
			t.Fatal(err)
		}
		keys.Trusted = h.job.Keys.Trusted
		v, err := backup.Verify(t.Context(), h.job.Copies, keys, backup.VerifyOptions{All: true})
		if !errors.Is(err, backup.ErrPassphrase) || len(v.Lost) != 0 || len(v.Sealed) != 1 {
			t.Errorf("%s: Verify = %+v, %v", name, v, err)
		}
	}
}

// TestAskedOnce: whatever came of it, nobody is asked again for each pack and point.
func TestAskedOnce(t *testing.T) {
	id := newIdentity(t)
	h, found := pointFor(t, id.Recipient().String())
	p := &person{answers: []string{passphrase}}
	keys, err := backup.ReadKeys(backup.KeyFiles{Identities: []string{writeFile(t, "i", locked(t, id.String(), false))}, Ask: p.ask})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, _, err := backup.Load(t.Context(), found, h.job.Copies, keys.Identities); err != nil {
			t.Error(err)
		}
	}
	if len(p.asked) != 1 {
		t.Errorf("asked %v", p.asked)
	}
}

// TestIdentityFilesRefused: errors name the line, and never what is in it.
func TestIdentityFilesRefused(t *testing.T) {
	id := newIdentity(t).String()
	toKey := &bytes.Buffer{}
	sealed, err := age.Encrypt(toKey, newIdentity(t).Recipient())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(sealed, id)
	sealed.Close()
	for name, c := range map[string]struct{ content, want string }{
		"empty":         {"", "no identity"},
		"comments":      {"# nothing\n", "no identity"},
		"recipient":     {id + "\n" + newIdentity(t).Recipient().String() + "\n", "line 2: it is a recipient"},
		"cut off":       {"#\n" + id[:40] + "\n", "line 2: malformed"},
		"lower case":    {strings.ToLower(id), "line 1: it is no age identity"},
		"plugin":        {"AGE-PLUGIN-X-1QQQQQQQQ", "malformed identity of a plugin"},
		"SSH key":       {"-----BEGIN OPENSSH PRIVATE KEY-----\n" + id, "SSH keys are not supported"},
		"to a key":      {toKey.String(), "not with a passphrase"},
		"broken armor":  {armor.Header + "\n" + id + "\n", "armor is damaged"},
		"broken header": {"age-encryption.org/v1\n" + id + "\n", "no whole age file"},
		"large":         {strings.Repeat("#\n", 1<<20), "more than"},
	} {
		_, err := backup.ReadKeys(backup.KeyFiles{Identities: []string{writeFile(t, "identity", c.content)}})
		if !errors.Is(err, backup.ErrNoIdentity) || !strings.Contains(err.Error(), c.want) || strings.Contains(strings.ToUpper(err.Error()), id[20:38]) {
			t.Errorf("%s: %v; want %q", name, err, c.want)
		}
	}
	for name, c := range map[string]struct{ content, want string }{
		"nothing inside":   {locked(t, "", false), "no identity"},
		"recipient inside": {locked(t, newIdentity(t).Recipient().String(), false), "line 1: it is a recipient"},
		"too much work":    {strings.Replace(locked(t, id, false), " 10\n", " 21\n", 1), "work factor"},
	} {
		h, found := pointFor(t, newIdentity(t).Recipient().String())
		err := h.open(t, found, backup.KeyFiles{Identities: []string{writeFile(t, "i", c.content)}, PassphraseFile: writeFile(t, "p", passphrase)})
		if !errors.Is(err, backup.ErrNoIdentity) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), id[:30]) {
			t.Errorf("%s: %v; want %q", name, err, c.want)
		}
	}
}

// TestRecipientsRefused: an identity in the wrong place is not repeated.
func TestRecipientsRefused(t *testing.T) {
	id, plugged := newIdentity(t).String(), func() string { id, _ := backuptest.PluginKey(t, ""); return id }()
	for text, want := range map[string]string{
		id: "it is an identity", strings.ToLower(id): "it is an identity", plugged: "it is an identity",
		"ssh-ed25519 AAAA": "SSH key", "age1pq1x": "post-quantum", "age1tagpq1x": "post-quantum", "age1x": "malformed", "x": "does not begin",
	} {
		_, err := backup.ReadKeys(backup.KeyFiles{Recipients: []string{newIdentity(t).Recipient().String(), text}})
		if err == nil || !strings.Contains(err.Error(), "recipient 2: ") || !strings.Contains(err.Error(), want) ||
			strings.Contains(strings.ToUpper(err.Error()), "AGE-") {
			t.Errorf("%.10s...: %v; want %q", text, err, want)
		}
	}
}

func FuzzParseIdentities(f *testing.F) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte("# comment\n" + id.String() + "\n"))
	f.Add([]byte(locked(f, id.String(), false)))
	f.Add([]byte(locked(f, id.String(), true)))
	f.Add([]byte("AGE-PLUGIN-X-1QQ\nage1x\n"))
	dir := f.TempDir()
	file := filepath.Join(dir, "identity")
	f.Fuzz(func(t *testing.T, content []byte) {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		keys, err := backup.ReadKeys(backup.KeyFiles{Identities: []string{file}})
		if err == nil && len(keys.Identities) == 0 {
			t.Error("no identity, and no error")
		}
		if err != nil && strings.Contains(err.Error(), "AGE-SECRET-KEY-1") {
			t.Errorf("error shows the identity: %v", err)
		}
	})
}
