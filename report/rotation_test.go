package report

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"gwdr/drills"
	"gwdr/internal/sshsig"
)

// TestVerifyAfterRotation: a run stays verifiable when its key, or that of its reviewer, is trusted no longer.
func TestVerifyAfterRotation(t *testing.T) {
	signer, reviewer := sshsig.NewSigner(""), sshsig.NewSigner("")
	_, dir := chain(t, 1, signer)
	manifest, err := os.ReadFile(filepath.Join(dir, drills.ManifestFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "manifest.json.sig"), reviewer.Sign(Namespace, manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	v := &verifier{dir: dir, out: &Verification{}}
	v.readReport(&v.result)
	for end, want := range map[time.Time]bool{v.result.Ended: true, v.result.Ended.Add(-2 * time.Second): false} {
		line := fmt.Sprintf("ops valid-before=%q %s\nreview valid-before=\"20010101Z\" %s\n", end.UTC().Format("20060102150405Z"), signer.Public(), reviewer.Public())
		trusted, err := sshsig.ParseTrusted([]byte(line))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Verify(dir, trusted); (err == nil) != want {
			t.Errorf("until %s: %+v, %v", end, got, err)
		}
	}
}
