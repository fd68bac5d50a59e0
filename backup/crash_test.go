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
	"testing"
	"time"

	"gwdr/backup"
	"gwdr/backup/backuptest"
	"gwdr/backup/dir"
	"gwdr/gateway"
)

const crashDirVariable = "GWDR_TEST_CRASH_DIR"

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
	io.ReadAll(os.Stdin) // the starting signal: the clock starts when the process runs
	job := backup.Job{Source: backuptest.NewSource("store", crashEntities()...), Copies: crashCopies(root), Keys: keys,
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

// crashEntities makes a pack of a few MiB, the same each time.
func crashEntities() []gateway.Entity {
	random := rand.NewChaCha8([32]byte{})
	var entities []gateway.Entity
	for i := range 300 {
		body := make([]byte, 20<<10)
		random.Read(body)
		entities = append(entities, backuptest.Entity(gateway.Spec, fmt.Sprint(i), base64.StdEncoding.EncodeToString(body)))
	}
	return entities
}

// TestKill kills a backup at many moments: every point that is there afterwards is whole, and the next backup works.
func TestKill(t *testing.T) {
	root := t.TempDir()
	if _, err := backup.GenerateKeys(filepath.Join(root, "keys")); err != nil {
		t.Fatal(err)
	}
	for _, c := range crashCopies(root) {
		if err := c.Location.(*dir.Location).Init(); err != nil {
			t.Fatal(err)
		}
	}
	whole := runChild(t, root, 0) // one run in peace
	const kills, attempts = 12, 100
	killed := 0
	for i := 0; killed < kills && i < attempts; i++ {
		// Moments spread over the whole run, each with some chance in it.
		at := time.Duration((float64(i%kills) + rand.Float64()) / kills * float64(whole))
		if took := runChild(t, root, at); took > 0 {
			whole = min(whole, took)
			continue
		}
		killed++
		checkPoints(t, root)
	}
	if killed < kills {
		t.Errorf("only %d runs were killed in %d attempts", killed, attempts)
	}
	runChild(t, root, 0)
	checkSpotless(t, root)
}

// runChild runs a backup in a process, kills it after the given time if that is not 0, and returns how long it took, or
// 0 if it was killed.
func runChild(t *testing.T, root string, kill time.Duration) time.Duration {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashDirVariable+"="+root)
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

// checkPoints makes sure that every point that can be found is whole.
func checkPoints(t *testing.T, root string) {
	t.Helper()
	keys := crashKeys(t, root)
	found, problems := backup.Find(t.Context(), crashCopies(root), keys.Trusted)
	for _, p := range problems {
		t.Errorf("problem at %s: %s: %v", p.Copy, p.Object, p.Err)
	}
	if len(found) == 0 {
		t.Error("no point is left")
	}
	want := gateway.NewState(crashEntities()...).Digest()
	for _, f := range found {
		for _, c := range crashCopies(root) { // each that has the point has its pack
			if !slices.Contains(f.Copies, c.Name) {
				continue
			}
			state, _, err := backup.Load(t.Context(), f, []backup.Copy{c}, keys.Identities)
			if err != nil || state.Digest() != want {
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
	for _, pattern := range []string{"lineages/*/pending/*", "lineages/.tmp*", "lineages/*/.tmp*"} {
		if left, _ := filepath.Glob(filepath.Join(root, "spool", pattern)); len(left) > 0 {
			t.Errorf("the spool holds %v", left)
		}
	}
	if lineages, _ := filepath.Glob(filepath.Join(root, "spool", "lineages", "*")); len(lineages) != 1 {
		t.Errorf("there are the lineages %v, want one", lineages)
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
