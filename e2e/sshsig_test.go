package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gwdr/internal/sshsig"
)

const namespace = "gwdr-test"

// TestForeignKeys: keys that gwdr does not sign with are refused.
func TestForeignKeys(t *testing.T) {
	env, dir := tools(t, "ssh-keygen"), t.TempDir()
	for name, args := range map[string][]string{
		"passphrase": {"-t", "ed25519", "-N", "secret"},
		"ecdsa":      {"-t", "ecdsa", "-N", ""},
	} {
		path := filepath.Join(dir, name)
		command(t, env, nil, "ssh-keygen", append(args, "-q", "-f", path)...)
		if _, err := sshsig.ParseSigner(read(t, path)); err == nil {
			t.Errorf("%s: key was accepted", name)
		}
	}
}

// TestOpenSSH has ssh-keygen check our signature, and us its own, made with our key file.
func TestOpenSSH(t *testing.T) {
	env, dir := tools(t, "ssh-keygen"), t.TempDir()
	signer := sshsig.NewSigner("gwdr")
	key, err := signer.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	trusted := sshsig.Trusted{}.Trust("ops", signer.Public(), namespace)
	message := []byte("what was signed\n")
	for name, content := range map[string][]byte{
		"key": key, "allowed_signers": trusted.Marshal(), "message": message, "ours.sig": signer.Sign(namespace, message),
	} {
		write(t, filepath.Join(dir, name), content)
	}
	allowed := filepath.Join(dir, "allowed_signers")
	out := command(t, env, message, "ssh-keygen", "-Y", "verify", "-f", allowed, "-I", "ops", "-n", namespace, "-s", filepath.Join(dir, "ours.sig"))
	if !strings.Contains(out, "Good") || !strings.Contains(out, signer.Public().Fingerprint()) {
		t.Errorf("ssh-keygen -Y verify said %q", out)
	}
	for _, hash := range []string{"sha256", "sha512"} {
		path := filepath.Join(dir, hash)
		write(t, path, message)
		command(t, env, nil, "ssh-keygen", "-Y", "sign", "-O", "hashalg="+hash, "-f", filepath.Join(dir, "key"), "-n", namespace, path)
		theirs := read(t, path+".sig")
		if _, err := trusted.Verify(namespace, message, theirs); err != nil {
			t.Errorf("%s: %v", hash, err)
		}
		if ours := signer.Sign(namespace, message); hash == "sha512" && !bytes.Equal(ours, theirs) {
			t.Errorf("signatures differ:\n%s%s", ours, theirs)
		}
	}
}

func command(t *testing.T, env []string, stdin []byte, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command("env", append([]string{name}, args...)...) // looks for the tool in the path of env
	cmd.Env, cmd.Stdin = env, bytes.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestWindowsAsOpenSSH: ssh-keygen and gwdr take the same times for those of a key, in any time zone.
func TestWindowsAsOpenSSH(t *testing.T) {
	env, dir := tools(t, "ssh-keygen"), t.TempDir()
	signer, message := sshsig.NewSigner(""), []byte("what was signed\n")
	signature := filepath.Join(dir, "sig")
	write(t, signature, signer.Sign(namespace, message))
	for i, options := range []string{
		`valid-after="20250101Z"`, `valid-before="202601011200Z"`, `valid-after="20250101",valid-before="20260101123059"`,
		`namespaces="gwdr-test",valid-before="20260101Z"`, `VALID-BEFORE="20260101z"`,
	} {
		file := []byte("ops " + options + " " + signer.Public().String() + "\n")
		trusted, err := sshsig.ParseTrusted(file)
		if err != nil {
			t.Fatal(err)
		}
		for j, content := range [][]byte{file, trusted.Marshal()} {
			allowed := filepath.Join(dir, fmt.Sprint("allowed", i, j))
			write(t, allowed, content)
			for _, second := range []string{"20241231235959", "20250101000000", "20250101000001", "20251231235959", "20260101000000", "20260101000001",
				"20260101120000", "20260101120001", "20260101123059", "20260101123100"} {
				at, err := time.Parse("20060102150405", second)
				if err != nil {
					t.Fatal(err)
				}
				cmd := exec.Command("env", "ssh-keygen", "-Y", "verify", "-f", allowed, "-I", "ops", "-n", namespace, "-s", signature, "-O", "verify-time="+second+"Z")
				cmd.Env, cmd.Stdin = env, bytes.NewReader(message)
				theirs := cmd.Run()
				_, ours := trusted.At(at).Verify(namespace, message, read(t, signature))
				if (theirs == nil) != (ours == nil) {
					t.Errorf("%s at %s: ssh-keygen says %v, gwdr %v", content, second, theirs, ours)
				}
			}
		}
	}
	for _, bad := range []string{`valid-before="20260101",valid-before="20270101"`, `valid-after="20270101",valid-before="20260101"`, `valid-before="2026"`,
		`valid-before=""`, `valid-until="20270101"`} {
		file := []byte("ops " + bad + " " + signer.Public().String() + "\n")
		allowed := filepath.Join(dir, "bad")
		write(t, allowed, file)
		cmd := exec.Command("env", "ssh-keygen", "-Y", "verify", "-f", allowed, "-I", "ops", "-n", namespace, "-s", signature, "-O", "verify-time=20250601")
		cmd.Env, cmd.Stdin = env, bytes.NewReader(message)
		if err := cmd.Run(); err == nil {
			t.Errorf("ssh-keygen accepts %s", file)
		}
		if _, err := sshsig.ParseTrusted(file); err == nil {
			t.Errorf("gwdr accepts %s", file)
		}
	}
}
