package backup_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"gwdr/backup"
	"gwdr/backup/backuptest"
)

// testRecipients tests the point with the identity files.
func (h *house) testRecipients(t *testing.T, f backup.Found, files backup.KeyFiles) []backup.RecipientTest {
	t.Helper()
	keys, err := backup.ReadKeys(files)
	if err != nil {
		t.Fatal(err)
	}
	return backup.TestRecipients(t.Context(), f, h.job.Copies, keys.Identities)
}

// wantTest wants the test's outcome, and a detail that holds the text.
func wantTest(t *testing.T, got backup.RecipientTest, tested, opens bool, detail string) {
	t.Helper()
	if got.Tested != tested || got.Opens != opens || !strings.Contains(got.Detail, detail) || (got.Detail == "") != opens {
		t.Errorf("%+v; want tested %t, opens %t, %q", got, tested, opens, detail)
	}
}

// TestRecipientsOneByOne: an identity that opens a point says nothing of the others.
func TestRecipientsOneByOne(t *testing.T) {
	operator, escrow, dropped := newIdentity(t), newIdentity(t), newIdentity(t)
	h, found := pointFor(t, operator.Recipient().String(), escrow.Recipient().String())
	mine, safe := writeFile(t, "identity", operator.String()), writeFile(t, "escrow", locked(t, escrow.String(), true))
	got := h.testRecipients(t, found, backup.KeyFiles{Identities: []string{mine, writeFile(t, "dropped", dropped.String())}})
	if len(got) != 2 || got[0].Recipient != operator.Recipient().String() || got[1].Recipient != escrow.Recipient().String() {
		t.Fatalf("tests of %+v", got)
	}
	wantTest(t, got[0], true, true, "")
	wantTest(t, got[1], false, false, "its identity is not at hand")
	p := &person{answers: []string{passphrase}}
	for _, test := range h.testRecipients(t, found, backup.KeyFiles{Identities: []string{safe, mine}, Ask: p.ask}) {
		wantTest(t, test, true, true, "")
	}
	got = h.testRecipients(t, found, backup.KeyFiles{Identities: []string{safe, mine}})
	wantTest(t, got[0], true, true, "")
	wantTest(t, got[1], false, false, "no passphrase that opens it")
	for _, test := range backup.TestRecipients(t.Context(), found, h.job.Copies, nil) {
		wantTest(t, test, false, false, "not at hand")
	}
}

// TestRecipientNotInPack: a point that names a recipient whom its pack was not encrypted for is found out.
func TestRecipientNotInPack(t *testing.T) {
	operator, escrow := newIdentity(t), newIdentity(t)
	h := newHouse(t, someEntities()...)
	h.job.Keys.Recipients = []age.Recipient{operator.Recipient()}
	h.job.Keys.RecipientIDs = []string{operator.Recipient().String(), escrow.Recipient().String()}
	h.take(t)
	got := backup.TestRecipients(t.Context(), h.find(t)[0], h.job.Copies, []age.Identity{escrow, operator})
	wantTest(t, got[0], true, true, "")
	wantTest(t, got[1], true, false, "its identity does not open pack")
}

// TestRecipientsOfDamaged: the test reads what was signed, from whichever copy has it, or says that nobody has.
func TestRecipientsOfDamaged(t *testing.T) {
	operator, escrow := newIdentity(t), newIdentity(t)
	h, found := pointFor(t, operator.Recipient().String())
	// Whoever can write to a location could swap the pack for one that is encrypted for himself.
	other, otherFound := pointFor(t, escrow.Recipient().String())
	object := found.PackObject(found.Packs[0])
	for _, m := range h.memories[:2] {
		m.Set(object, other.memories[0].Objects()[otherFound.PackObject(otherFound.Packs[0])])
	}
	wantTest(t, backup.TestRecipients(t.Context(), found, h.job.Copies, []age.Identity{operator})[0], true, true, "")
	h.memories[2].Set(object, nil)
	got := backup.TestRecipients(t.Context(), found, h.job.Copies, []age.Identity{operator})[0]
	wantTest(t, got, false, false, "no location has the beginning of pack")
	if !strings.Contains(got.Detail, backup.ErrIntegrity.Error()) {
		t.Error(got.Detail)
	}
	h.memories[0].Break(backuptest.Dead)
	wantTest(t, backup.TestRecipients(t.Context(), found, h.job.Copies, []age.Identity{operator})[0], false, false, "connection refused")
}

// TestPluginRecipients: a plugin's identity is tested for the only recipient of the plugin.
func TestPluginRecipients(t *testing.T) {
	plugged(t)
	escrow := newIdentity(t)
	identity, recipient := backuptest.PluginKey(t, backuptest.PluginWilling)
	_, second := backuptest.PluginKey(t, backuptest.PluginWilling)
	stranger, _ := backuptest.PluginKey(t, backuptest.PluginWilling)
	h, found := pointFor(t, escrow.Recipient().String(), recipient)
	token := writeFile(t, "token", identity)
	got := h.testRecipients(t, found, backup.KeyFiles{Identities: []string{token}})
	wantTest(t, got[0], false, false, "not at hand")
	wantTest(t, got[1], true, true, "")
	wantTest(t, h.testRecipients(t, found, backup.KeyFiles{Identities: []string{writeFile(t, "x", stranger), token}})[1], true, true, "")
	wantTest(t, h.testRecipients(t, found, backup.KeyFiles{Identities: []string{writeFile(t, "x", stranger)}})[1], true, false, "does not open")
	h2, two := pointFor(t, recipient, second)
	for _, test := range h2.testRecipients(t, two, backup.KeyFiles{Identities: []string{token}}) {
		wantTest(t, test, false, false, "the point has 2 recipients of age-plugin-gwdrtest")
	}
	t.Setenv("PATH", filepath.Join(t.TempDir(), "empty")+string(os.PathListSeparator))
	wantTest(t, h.testRecipients(t, found, backup.KeyFiles{Identities: []string{token}})[1], false, false, "not on the PATH")
}
