package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"
)

// handbook is docs/keys.md on a machine with a gateway, whose commands are run as they stand there.
type handbook struct {
	t      *testing.T
	home   string
	env    []string
	blocks map[string][]string // of commands, by the heading above them
}

func newHandbook(t *testing.T) *handbook {
	t.Helper()
	b := &handbook{t: t, home: t.TempDir(), blocks: map[string][]string{}}
	doc := string(read(t, filepath.Join(repository(), "docs", "keys.md")))
	for _, section := range regexp.MustCompile(`(?m)^##+ `).Split(doc, -1)[1:] {
		heading, text, _ := strings.Cut(section, "\n")
		for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(text, -1) {
			b.blocks[heading] = append(b.blocks[heading], block[1])
		}
	}
	b.env = append(tools(t, "age", "ssh-keygen", "zstd"), "HOME="+b.home, "TERM=dumb") // which asks the terminal nothing
	for _, variable := range slices.Clone(b.env) {
		if path, ok := strings.CutPrefix(variable, "PATH="); ok { // the last one counts
			b.env = append(b.env, "PATH="+filepath.Dir(buildGWDR(t))+string(os.PathListSeparator)+path)
		}
	}
	b.gwdr(0, "init", "--site", "dc1")
	b.edit("gwdr.yaml", `(?m)^gateway:.*`, ``) // the lab's
	b.edit("gwdr.yaml", `copies: 3, media: 2, offsite: 1`, `copies: 1, media: 1, offsite: 0`)
	b.gwdr(0, "lab", "up", "--regions", "a", "--instances", "1", "--replication", "none")
	t.Cleanup(func() { b.gwdr(0, "lab", "down") })
	return b
}

func (b *handbook) path(name string) string { return filepath.Join(b.home, name) }

// gwdr runs gwdr without a terminal, wants the exit code, and returns what it wrote to both streams.
func (b *handbook) gwdr(code int, args ...string) (stdout, stderr string) {
	b.t.Helper()
	cmd := exec.Command("env", append([]string{"gwdr"}, args...)...) // looks in the PATH of the env
	var out, errs strings.Builder
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = b.home, b.env, &out, &errs
	if err := cmd.Run(); cmd.ProcessState.ExitCode() != code {
		b.t.Fatalf("gwdr %v: %v, want exit code %d\n%s%s", args, err, code, &out, &errs)
	}
	return out.String(), errs.String()
}

// edit does by hand what the commands leave to the reader.
func (b *handbook) edit(name, pattern, replacement string) {
	b.t.Helper()
	before := read(b.t, b.path(name))
	after := regexp.MustCompile(pattern).ReplaceAll(before, []byte(replacement))
	if bytes.Equal(before, after) {
		b.t.Fatalf("%s does not match %s:\n%s", name, pattern, before)
	}
	write(b.t, b.path(name), after)
}

// run runs a block of commands at a terminal, where each prompt gets its answer, and returns what the terminal showed.
func (b *handbook) run(heading string, block int, dialog ...[2]string) string {
	b.t.Helper()
	if len(b.blocks[heading]) <= block {
		b.t.Fatalf("%q has %d blocks of commands", heading, len(b.blocks[heading]))
	}
	return b.at(b.blocks[heading][block], 0, dialog...)
}

// at runs the commands at a terminal and wants the exit code.
func (b *handbook) at(commands string, code int, dialog ...[2]string) string {
	b.t.Helper()
	cmd := exec.CommandContext(b.t.Context(), "bash", "-euo", "pipefail", "-c", commands)
	cmd.Dir, cmd.Env = b.home, b.env
	terminal, err := pty.Start(cmd)
	if err != nil {
		b.t.Fatal(err)
	}
	defer terminal.Close()
	var shown bytes.Buffer
	answered := 0
	for buffer := make([]byte, 4096); ; {
		n, err := terminal.Read(buffer)
		shown.Write(buffer[:n])
		for len(dialog) > 0 {
			i := bytes.Index(shown.Bytes()[answered:], []byte(dialog[0][0]))
			if i < 0 {
				break
			}
			answered += i + len(dialog[0][0])
			answer := dialog[0][1] + "\n"
			if dialog[0][1] == interrupt { // there is no line after it, which might be read first
				answer = interrupt
			}
			if _, err := terminal.WriteString(answer); err != nil {
				b.t.Fatal(err)
			}
			dialog = dialog[1:]
		}
		if err != nil { // on Linux EIO says that the last process has gone
			if pathError := (*os.PathError)(nil); n == 0 && (!errors.As(err, &pathError) || pathError.Err != syscall.EIO) {
				b.t.Fatal(err)
			}
			break
		}
	}
	err = cmd.Wait()
	if got := cmd.ProcessState.ExitCode(); got != code || len(dialog) > 0 {
		b.t.Fatalf("%s\nexit code %d, want %d (%v); not asked: %v\n%s", commands, got, code, err, dialog, &shown)
	}
	return shown.String()
}

// verified wants the newest points to be opened by the identity, or not.
func (b *handbook) verified(code, decrypted int, identity string, args ...string) {
	b.t.Helper()
	config := string(read(b.t, b.path("gwdr.yaml")))
	config = regexp.MustCompile(`(?m)^  identity:.*`).ReplaceAllString(config, "  identity: gwdr-keys/"+identity)
	write(b.t, b.path("other.yaml"), []byte(config))
	var v struct{ Decrypted, Points int }
	out, _ := b.gwdr(code, append([]string{"--config", "other.yaml", "--json", "backup", "verify"}, args...)...)
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		b.t.Fatal(err)
	}
	if v.Decrypted != decrypted {
		b.t.Errorf("%s opens %d of %d points, want %d", identity, v.Decrypted, v.Points, decrypted)
	}
}

// restoreScript opens every point with restore.sh and the identity.
func (b *handbook) restoreScript(identity string) {
	b.t.Helper()
	points, err := filepath.Glob(b.path("gwdr-backups/gwdr1/*/points/*.tar"))
	if err != nil || len(points) == 0 {
		b.t.Fatalf("points: %v, %v", points, err)
	}
	for _, point := range points {
		cmd := exec.CommandContext(b.t.Context(), "sh", filepath.Join(filepath.Dir(filepath.Dir(point)), "restore.sh"), point,
			"gwdr-keys/"+identity, "gwdr-keys/allowed_signers", b.t.TempDir())
		cmd.Dir, cmd.Env = b.home, b.env
		if out, err := cmd.CombinedOutput(); err != nil {
			b.t.Errorf("restore.sh %s: %v\n%s", point, err, out)
		}
	}
}

// TestKeysByHand goes through docs/keys.md: replaced recipients and signers, escrow, passphrases.
func TestKeysByHand(t *testing.T) {
	b := newHandbook(t)
	b.gwdr(0, "backup")
	b.verified(0, 1, "identity")

	const replace = "Add a recipient, or replace one"
	b.run(replace, 0)
	for _, identity := range []string{"identity", "identity-2", "escrow"} {
		b.verified(0, 1, identity)
	}
	b.verified(8, 1, "identity-2", "--all") // the first point was not for it
	b.run(replace, 1)
	b.verified(8, 0, "identity")            // the dropped recipient does not open the new point,
	b.verified(8, 2, "identity", "--all")   // but still the older ones
	b.verified(0, 3, "escrow", "--all")     // and escrow all
	b.verified(8, 2, "identity-2", "--all") // what was taken since it came

	b.run("Replace the signing key", 0)
	b.verified(0, 4, "escrow", "--all")
	b.restoreScript("escrow")
	stolen := read(t, b.path("gwdr-keys/allowed_signers"))
	b.edit("gwdr-keys/allowed_signers", `valid-before="[0-9]*Z"`, `valid-before="20200101Z"`)
	b.verified(8, 1, "escrow", "--all") // the old key's points are from after its time: they do not count
	write(t, b.path("gwdr-keys/allowed_signers"), stolen)

	b.run("The identity is lost", 0)
	b.run("Does each of them still open it?", 0)
}

// interrupt is Ctrl-C.
const interrupt = "\x03"

// TestPassphrasesByHand has age and ssh-keygen set passphrases, and gwdr ask for them.
func TestPassphrasesByHand(t *testing.T) {
	b := newHandbook(t)
	const secret = "correct horse"
	b.run("Give an identity or the signing key a passphrase", 0, [2]string{"Enter passphrase", secret}, [2]string{"Confirm passphrase", secret},
		[2]string{"Enter new passphrase", secret}, [2]string{"again", secret})
	_, shown := b.gwdr(2, "backup")
	if !strings.Contains(shown, "there is no terminal to ask at") || !strings.Contains(shown, "hint: set GWDR_KEYS_PASSPHRASE_FILE") {
		t.Errorf("without a terminal: %s", shown)
	}
	shown = b.at("gwdr backup && gwdr backup list", 0, [2]string{"Passphrase of ", secret})
	shown += b.at("gwdr backup verify", 0, [2]string{"Passphrase of ", "wrong"}, [2]string{"That was wrong. Passphrase of ", secret})
	shown += b.at("gwdr backup verify", 2, [2]string{"Passphrase of ", "w1"}, [2]string{"That was wrong", "w2"}, [2]string{"That was wrong", "w3"})
	for _, command := range []string{"gwdr backup", "gwdr backup verify", "gwdr restore"} {
		if out := b.at(command, 130, [2]string{"Passphrase of ", interrupt}); !strings.Contains(out, "gwdr: interrupted\r\n") {
			t.Errorf("%s, interrupted: %s", command, out)
		}
	}
	shown += b.at("gwdr restore --yes", 0, [2]string{"Passphrase of ", secret})
	write(t, b.path("passphrase"), []byte(secret+"\n"))
	b.edit("gwdr.yaml", `(?m)^  signing:`, "  passphrase_file: passphrase\n  signing:")
	b.gwdr(0, "backup")
	b.verified(0, 2, "identity", "--all")
	write(t, b.path("passphrase"), []byte("tr0ub4dor\n"))
	for _, args := range [][]string{{"backup"}, {"backup", "verify"}, {"restore", "--yes"}, {"restore", "--plan", "--json"}} {
		out, errs := b.gwdr(2, args...)
		shown += out + errs
	}
	if strings.Contains(shown, secret) || strings.Contains(shown, "tr0ub4dor") || strings.Contains(shown, "AGE-SECRET-KEY") {
		t.Errorf("a secret was shown:\n%s", shown)
	}
}
