package backup_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"gwdr/backup"
	"gwdr/backup/backuptest"
	"gwdr/backup/dir"
	"gwdr/gateway"
)

const (
	crashDirVariable   = "GWDR_TEST_CRASH_DIR"
	crashRoundVariable = "GWDR_TEST_CRASH_ROUND"
)

const pluginLogVariable = "GWDR_TEST_PLUGIN_LOG"

// TestMain lets the test binary be the process that TestKill kills, and the age plugin of backuptest.
func TestMain(m *testing.M) {
	if backuptest.IsPlugin(os.Args) {
		os.Exit(backuptest.PluginMain(os.Args, os.Getenv(pluginLogVariable)))
	}
	if root := os.Getenv(crashDirVariable); root != "" {
		os.Exit(takeInChild(root))
	}
	os.Exit(m.Run())
}

func takeInChild(root string) int {
	keys, err := backup.FindKeys(filepath.Join(root, "keys"))
	if err == nil {
		err = takeInDirs(root, keys)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func takeInDirs(root string, files backup.KeyFiles) error {
	keys, err := backup.ReadKeys(files)
	if err != nil {
		return err
	}
	source, err := crashSource(os.Getenv(crashRoundVariable))
	if err != nil {
		return err
	}
	io.ReadAll(os.Stdin) // the starting signal: the clock starts when the process runs
	job := backup.Job{Source: source, Gateway: "test", Copies: crashCopies(root), Keys: keys,
		Policy: backuptest.Policy(), Spool: filepath.Join(root, "spool")}
	_, err = backup.Take(context.Background(), job)
	return err
}

func crashCopies(root string) []backup.Copy {
	copies, _ := backuptest.Copies()
	for i := range copies {
		copies[i].Location = &dir.Location{Dir: filepath.Join(root, copies[i].Name)}
	}
	return copies
}

// crashSource is the gateway after so many changes: the same each time. Each fifth time it has forgotten them.
func crashSource(round string) (*backuptest.Source, error) {
	n, err := strconv.Atoi(round)
	if err != nil {
		return nil, err
	}
	random := rand.NewChaCha8([32]byte{})
	var entities []gateway.Entity
	for i := range 60 {
		body := make([]byte, 20<<10)
		random.Read(body)
		entities = append(entities, backuptest.Entity(gateway.Spec, fmt.Sprint(i), base64.StdEncoding.EncodeToString(body)))
	}
	source := backuptest.NewSource("store", entities...)
	for i := range n {
		source.Put(backuptest.Entity(gateway.Route, fmt.Sprint(i%7), fmt.Sprint(i)))
	}
	if n%5 == 4 {
		source.Compact()
	}
	return source, nil
}

// TestKill kills a backup at 200 moments, full ones and such of changes: every point that is there afterwards is whole, and
// shows the gateway as it was at its revision; the next backup works; nothing half-done stays.
func TestKill(t *testing.T) {
	root := t.TempDir()
	if _, err := backup.GenerateKeys(filepath.Join(root, "keys")); err != nil {
		t.Fatal(err)
	}
	for _, c := range crashCopies(root) {
		if err := c.Location.(*dir.Location).Init(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	// How long a run takes in peace: of everything, of changes.
	whole := map[bool]time.Duration{true: runChild(t, root, 0, 0), false: runChild(t, root, 1, 0)}
	const kills, attempts = 200, 800
	killed, checked := 0, map[string]bool{}
	for i := 2; killed < kills && i < attempts; i++ {
		full := i%5 == 4
		// Moments spread over the whole run, each with some chance in it.
		at := time.Duration((float64(i%19) + rand.Float64()) / 19 * float64(whole[full]))
		if took := runChild(t, root, i, at); took > 0 {
			whole[full] = min(whole[full], took)
			continue
		}
		killed++
		checkPoints(t, root, checked)
	}
	if killed < kills {
		t.Errorf("only %d runs were killed in %d attempts", killed, attempts)
	}
	runChild(t, root, 1000, 0)
	checkPoints(t, root, checked)
	checkSpotless(t, root)
	t.Logf("%d kills, %d points found whole", killed, len(checked))
}

// runChild runs a backup in a process, kills it after the given time if that is not 0, and returns how long it took, or
// 0 if it was killed.
func runChild(t *testing.T, root string, round int, kill time.Duration) time.Duration {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashDirVariable+"="+root, fmt.Sprintf("%s=%d", crashRoundVariable, round))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	started := time.Now()
	stdin.Close()
	if kill > 0 {
		timer := time.AfterFunc(kill, func() { cmd.Process.Kill() })
		defer timer.Stop()
	}
	err = cmd.Wait()
	if err != nil && (kill == 0 || cmd.ProcessState.Exited()) {
		t.Fatalf("backup in child: %v", err)
	}
	if err != nil {
		return 0
	}
	return time.Since(started)
}

// checkPoints makes sure that every point that can be found, and was not checked before, is whole at each location that
// has it.
func checkPoints(t *testing.T, root string, checked map[string]bool) {
	t.Helper()
	keys := crashKeys(t, root)
	found, problems := backup.Find(t.Context(), crashCopies(root), keys.Trusted)
	for _, p := range problems {
		t.Errorf("problem at %s: %s: %v", p.Copy, p.Object, p.Err)
	}
	if len(found) == 0 {
		t.Error("no point is left")
	}
	for _, f := range found {
		if key := fmt.Sprint(f.SHA256, f.Copies); checked[key] {
			continue
		} else {
			checked[key] = true
		}
		source, err := crashSource(fmt.Sprint(f.Revision - 1))
		if err != nil {
			t.Fatal(err)
		}
		export, err := source.Export(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range crashCopies(root) {
			if !slices.Contains(f.Copies, c.Name) {
				continue
			}
			state, _, err := backup.Load(t.Context(), f, []backup.Copy{c}, keys.Identities)
			if err != nil || state.Digest() != export.State.Digest() {
				t.Errorf("point %s at %s is not whole: %v", f.Name, c.Name, err)
			}
		}
	}
}

// checkSpotless makes sure that nothing is left of the crashes but what does no harm.
func checkSpotless(t *testing.T, root string) {
	t.Helper()
	v, err := backup.Verify(t.Context(), crashCopies(root), crashKeys(t, root), backup.VerifyOptions{All: true})
	if err != nil || !v.Sound() {
		t.Errorf("Verify = %+v, %v", v, err)
	}
	for _, pattern := range []string{"lineages/*/pending/*", "lineages/.tmp*", "lineages/*/.tmp*", "lineages/*/log/.tmp*"} {
		if left, _ := filepath.Glob(filepath.Join(root, "spool", pattern)); len(left) > 0 {
			t.Errorf("the spool holds %v", left)
		}
	}
	for pattern, want := range map[string]int{"lineages/*": 1, "lineages/*/log/*": 1, "lineages/*/listing-*": 1} {
		if there, _ := filepath.Glob(filepath.Join(root, "spool", pattern)); len(there) != want {
			t.Errorf("the spool holds %v, want %d", there, want)
		}
	}
}

func crashKeys(t *testing.T, root string) backup.Keys {
	t.Helper()
	files, err := backup.FindKeys(filepath.Join(root, "keys"))
	if err != nil {
		t.Fatal(err)
	}
	keys, err := backup.ReadKeys(files)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}
