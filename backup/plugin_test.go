package backup_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gwdr/backup"
	"gwdr/backup/backuptest"
)

// plugged puts the plugin on the PATH, and returns what says how often it was started.
func plugged(t *testing.T) (starts func() int) {
	t.Helper()
	log := filepath.Join(t.TempDir(), "log")
	t.Setenv("PATH", backuptest.PluginDir(t)+string(os.PathListSeparator)+os.Getenv("PATH"))
	t.Setenv(pluginLogVariable, log)
	return func() int {
		content, _ := os.ReadFile(log)
		return strings.Count(string(content), "\n")
	}
}

// TestPlugin: a point for a plugin's recipient and for escrow is opened by the plugin, and without it by escrow.
func TestPlugin(t *testing.T) {
	starts := plugged(t)
	escrow := newIdentity(t)
	identity, recipient := backuptest.PluginKey(t, backuptest.PluginWilling)
	h, found := pointFor(t, recipient, escrow.Recipient().String())
	if n := starts(); n != 1 {
		t.Errorf("plugin was started %d times to encrypt", n)
	}
	token, safe := writeFile(t, "token", identity), writeFile(t, "escrow", escrow.String())
	if err := h.open(t, found, backup.KeyFiles{Identities: []string{token}}); err != nil || starts() != 2 {
		t.Errorf("with the plugin: %v, %d starts", err, starts())
	}
	if err := h.open(t, found, backup.KeyFiles{Identities: []string{token, safe}}); err != nil || starts() != 2 {
		t.Errorf("with both: %v; the plugin was bothered: %d starts", err, starts())
	}
	both := writeFile(t, "both", identity+"\n"+escrow.String()+"\n")
	h.job.Keys.Identities = nil
	for _, file := range []string{both, writeFile(t, "locked", locked(t, identity+"\n"+escrow.String(), true))} {
		err := h.open(t, found, backup.KeyFiles{Identities: []string{file}, PassphraseFile: writeFile(t, "p", passphrase)})
		if err != nil || starts() != 2 {
			t.Errorf("with both in %s: %v; the plugin was bothered: %d starts", filepath.Base(file), err, starts())
		}
	}
	other, _ := backuptest.PluginKey(t, backuptest.PluginWilling)
	err := h.open(t, found, backup.KeyFiles{Identities: []string{writeFile(t, "other", other)}})
	if !errors.Is(err, backup.ErrIntegrity) || errors.Is(err, backup.ErrNoIdentity) {
		t.Errorf("with another token: %v", err)
	}
	t.Setenv("PATH", t.TempDir())
	if err := h.open(t, found, backup.KeyFiles{Identities: []string{token, safe}}); err != nil {
		t.Errorf("with escrow, and the plugin gone: %v", err)
	}
	err = h.open(t, found, backup.KeyFiles{Identities: []string{token}})
	if !errors.Is(err, backup.ErrNoIdentity) || errors.Is(err, backup.ErrIntegrity) || !strings.Contains(err.Error(), "age-plugin-gwdrtest is not on the PATH") {
		t.Errorf("with the plugin gone: %v", err)
	}
	h.job.Full = true // without a change there is nothing to encrypt
	if _, err := backup.Take(t.Context(), h.job); err == nil || !strings.Contains(err.Error(), "age-plugin-gwdrtest is not on the PATH") {
		t.Errorf("backup without the plugin: %v", err)
	}
}

// TestPluginAfterFailure: a passphrase that nobody knows is not in the way of a token.
func TestPluginAfterFailure(t *testing.T) {
	plugged(t)
	identity, recipient := backuptest.PluginKey(t, backuptest.PluginWilling)
	h, found := pointFor(t, recipient)
	files := backup.KeyFiles{Identities: []string{writeFile(t, "locked", locked(t, newIdentity(t).String(), false)), writeFile(t, "token", identity)}}
	if err := h.open(t, found, files); err != nil {
		t.Error(err)
	}
}

// TestPluginAsks: the plugin's questions reach a person, and without one the error says what was asked.
func TestPluginAsks(t *testing.T) {
	plugged(t)
	for behaviour, c := range map[string]struct {
		person person
		asked  string
	}{
		backuptest.PluginPIN:     {person{answers: []string{"1234"}}, "age-plugin-gwdrtest: PIN of the token: secret=true"},
		backuptest.PluginConfirm: {person{answers: []string{"perhaps", "1"}}, `age-plugin-gwdrtest: open it (1 for "yes", 2 for "no"): secret=false`},
	} {
		identity, recipient := backuptest.PluginKey(t, behaviour)
		h, found := pointFor(t, recipient)
		files := backup.KeyFiles{Identities: []string{writeFile(t, "token", identity)}}
		err := h.open(t, found, files)
		if !errors.Is(err, backup.ErrNoIdentity) || !strings.Contains(err.Error(), "plugin age-plugin-gwdrtest asked") || !strings.Contains(err.Error(), "no terminal") {
			t.Errorf("%s, nobody there: %v", behaviour, err)
		}
		p := c.person
		files.Ask, files.Tell = p.ask, p.tell
		if err := h.open(t, found, files); err != nil || len(p.answers) > 0 || p.asked[0] != c.asked {
			t.Errorf("%s: %v; asked %q", behaviour, err, p.asked)
		}
		if behaviour == backuptest.PluginConfirm && strings.Join(p.told, "") != "age-plugin-gwdrtest: the token blinks" {
			t.Errorf("told %q", p.told)
		}
		p.answers = []string{"2"}
		if err := h.open(t, found, files); !errors.Is(err, backup.ErrNoIdentity) || !strings.Contains(err.Error(), "gwdrtest plugin: ") {
			t.Errorf("%s, wrong answer: %v", behaviour, err)
		}
	}
}

// TestPluginFails: a token that is not there, and one that never answers, are errors that name the plugin.
func TestPluginFails(t *testing.T) {
	starts := plugged(t)
	identity, recipient := backuptest.PluginKey(t, backuptest.PluginFailing)
	h, found := pointFor(t, recipient)
	err := h.open(t, found, backup.KeyFiles{Identities: []string{writeFile(t, "token", identity)}})
	if !errors.Is(err, backup.ErrNoIdentity) || !strings.Contains(err.Error(), "gwdrtest plugin: ") || !strings.Contains(err.Error(), "the token is not there") {
		t.Errorf("failing: %v", err)
	}
	identity, recipient = backuptest.PluginKey(t, backuptest.PluginSilent)
	h, found = pointFor(t, recipient)
	keys, err := backup.ReadKeys(backup.KeyFiles{Identities: []string{writeFile(t, "token", identity)}, Patience: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	before := starts()
	for range 2 {
		_, _, err := backup.Load(t.Context(), found, h.job.Copies, keys.Identities)
		if !errors.Is(err, backup.ErrNoIdentity) || !strings.Contains(err.Error(), "age-plugin-gwdrtest did not answer within 100ms") {
			t.Errorf("silent: %v", err)
		}
	}
	if n := starts() - before; n > 1 {
		t.Errorf("a plugin that does not answer was started %d times", n)
	}
}
