package e2e

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"gwdr/backup"
	"gwdr/backup/backuptest"
	"gwdr/backup/dir"
	"gwdr/gateway/gatewaytest"
)

// TestRehearsalByHand opens the record of a rehearsal without gwdr: it is signed like those of verifications.
func TestRehearsalByHand(t *testing.T) {
	env, folder := tools(t, "ssh-keygen", "tar"), t.TempDir()
	location := &dir.Location{Dir: filepath.Join(folder, "location")}
	if err := location.Init(t.Context()); err != nil {
		t.Fatal(err)
	}
	keys, copies := backuptest.NewKeys(t), []backup.Copy{{Name: "local", Location: location}}
	write(t, filepath.Join(folder, "gwdr.yaml"), []byte("gateway: gwdr+http://127.0.0.1:1\nstate: state\nlocations: {local: {url: \"file://"+location.Dir+"\", media: disk, site: dc1}}\n"+
		"keys: {recipients: ["+keys.RecipientIDs[0]+"], identity: identity, signing: signing, trusted: allowed_signers}\n"))
	signing, err := keys.Signer.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(folder, "identity"), []byte(keys.Identities[0].(*age.X25519Identity).String()+"\n"))
	write(t, filepath.Join(folder, "signing"), signing)
	write(t, filepath.Join(folder, "allowed_signers"), keys.Trusted.Marshal())
	if _, err := backup.Take(t.Context(), backup.Job{Source: gatewaytest.New(gatewaytest.Sample()...), Gateway: "test", Copies: copies, Keys: keys, Spool: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	gwdrCommand(t, folder)(0, "--config", filepath.Join(folder, "gwdr.yaml"), "-q", "restore", "--rehearse")
	found, err := filepath.Glob(filepath.Join(location.Dir, "gwdr1", "*", "attest", "*.tar"))
	if err != nil || len(found) != 1 {
		t.Fatalf("attestations: %v, %v", found, err)
	}
	command(t, env, nil, "tar", "-xf", found[0], "-C", folder)
	record := read(t, filepath.Join(folder, "attest.json"))
	out := command(t, env, record, "ssh-keygen", "-Y", "verify", "-f", filepath.Join(folder, "allowed_signers"), "-I", "gwdr", "-n", "gwdr-attest-v1",
		"-s", filepath.Join(folder, "attest.json.sig"))
	var a backup.Attestation
	if err := json.Unmarshal(record, &a); err != nil || a.Rehearsal == nil || a.Result != backup.ResultPass || !strings.Contains(out, "Good") {
		t.Errorf("%v: %s\n%s", err, out, record)
	}
}
