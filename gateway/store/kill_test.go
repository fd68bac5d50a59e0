package store_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"gwdr/gateway"
	"gwdr/gateway/store"
)

// TestMain lets the test binary play the process that is killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv("GWDR_TEST_WRITER"); dir != "" {
		writeUntilKilled(dir)
		return
	}
	os.Exit(m.Run())
}

// writeUntilKilled puts keys and says which were acknowledged, one id a line.
func writeUntilKilled(dir string) {
	s, err := store.Open(context.Background(), store.Options{Dir: dir})
	if err != nil {
		fmt.Println("error", err)
		return
	}
	for i := 0; ; i++ {
		id := fmt.Sprintf("%d-%d", os.Getpid(), i)
		if _, _, err := s.Put(context.Background(), entity(gateway.Key, id, id), gateway.Condition{}); err != nil {
			fmt.Println("error", err)
			return
		}
		fmt.Println(id)
	}
}

// A store that is killed in the middle of writes, again and again, keeps everything it acknowledged and its identity.
func TestKilledStoreKeepsAcknowledgedWrites(t *testing.T) {
	dir := t.TempDir()
	var acked []string
	for round := range 4 {
		acked = append(acked, killAfter(t, dir, 50*(round+1))...)
	}
	s := open(t, store.Options{Dir: dir})
	_, got := state(t, s)
	for _, id := range acked {
		if body, ok := got.Get(gateway.Ref{Kind: gateway.Key, ID: id}); !ok || string(body) != id {
			t.Errorf("acknowledged key %s is lost", id)
		}
	}
	if role := s.Role(); role.Mode != gateway.ModeLeader || role.Epoch != 1 || s.Fresh() {
		t.Errorf("role %+v, fresh %v", role, s.Fresh())
	}
}

// killAfter starts a writer and kills it while it writes. It returns the ids that the writer had acknowledged.
func killAfter(t *testing.T, dir string, n int) (acked []string) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(exe)
	child.Env = append(os.Environ(), "GWDR_TEST_WRITER="+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "error") {
			t.Fatal(lines.Text())
		}
		if acked = append(acked, lines.Text()); len(acked) == n {
			child.Process.Kill()
		}
	}
	child.Wait()
	return acked
}
