package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"gwdr/backup"
)

// TestSFTPBackup takes a backup to a directory, to a bucket, and to an SSH server, and heals what rots there.
func TestSFTPBackup(t *testing.T) {
	h, s := newHouse(t), startSSHD(t)
	h.job.Copies[1].Location = s.open()
	h.job.Policy.Copies = 3
	if result := h.take(t); !result.Complete() || !result.Policy.Satisfied {
		t.Errorf("result: %+v", result)
	}
	v, err := backup.Verify(t.Context(), h.job.Copies, h.job.Keys, backup.VerifyOptions{All: true})
	if err != nil || !v.Sound() || v.Decrypted != 1 {
		t.Errorf("Verify = %+v, %v", v, err)
	}
	flip(t, s.dir, "packs")
	v, err = backup.Verify(t.Context(), h.job.Copies, h.job.Keys, backup.VerifyOptions{All: true})
	if err != nil || v.Sound() || !v.Restorable() || len(v.Locations[1].Problems) != 1 {
		t.Errorf("Verify = %+v, %v", v, err)
	}
}

// TestSFTPInit follows the hints from a host that is not known to a location that is ready, with keys and known hosts
// where ssh has them.
func TestSFTPInit(t *testing.T) {
	gwdr, s, home := buildGWDR(t), startSSHD(t), t.TempDir()
	env := append(tools(t, "ssh-keyscan", "ssh-keygen"), "HOME="+home, "SSH_AUTH_SOCK=")
	if err := os.Mkdir(filepath.Join(home, ".ssh"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(home, ".ssh", "id_ed25519"), read(t, s.key))
	url, _, _ := strings.Cut(s.url(), "?")
	init := func(code int) string {
		t.Helper()
		var stderr bytes.Buffer
		cmd := exec.Command(gwdr, "init", "--location", "nas="+url+",media=nas")
		cmd.Dir, cmd.Env, cmd.Stderr = home, env, &stderr
		out, _ := cmd.Output()
		if got := cmd.ProcessState.ExitCode(); got != code {
			t.Fatalf("exit code %d, want %d\n%s%s", got, code, out, stderr.String())
		}
		return string(out) + stderr.String()
	}
	// follow runs the commands in a hint.
	follow := func(text string) {
		t.Helper()
		_, hint, _ := strings.Cut(text, "hint: ")
		for _, command := range regexp.MustCompile(`'(ssh-key[^']*)'`).FindAllStringSubmatch(hint, -1) {
			cmd := exec.Command("sh", "-c", command[1])
			cmd.Env = env
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", command[1], err, out)
			}
		}
	}
	unknown := init(1)
	if !strings.Contains(unknown, "is unknown: ssh-ed25519 SHA256:") {
		t.Errorf("unknown host: %s", unknown)
	}
	s.knowHost(s.key + ".pub") // some other key
	write(t, filepath.Join(home, ".ssh", "known_hosts"), read(t, s.known))
	changed := init(1)
	if !strings.Contains(changed, "has changed: ssh-ed25519 SHA256:") {
		t.Errorf("changed host: %s", changed)
	}
	follow(changed)
	if text := init(0); !strings.Contains(text, "sftp host SHA256:") {
		t.Errorf("init said %s", text)
	}
	if _, err := os.Stat(filepath.Join(s.dir, ".gwdr-location")); err != nil {
		t.Error(err)
	}
}
