package store_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/server/v3/etcdmain"

	"gwdr/gateway"
	"gwdr/gateway/store"
)

// TestMain lets the test binary play the process that is killed, and an etcd where none is installed.
func TestMain(m *testing.M) {
	for variable, play := range map[string]func(store.Options){"GWDR_TEST_WRITER": writeUntilKilled, "GWDR_TEST_SWITCHER": switchUntilKilled,
		"GWDR_TEST_MEMBER": writeAsMember} {
		if text := os.Getenv(variable); text != "" {
			var o store.Options
			if err := json.Unmarshal([]byte(text), &o); err != nil {
				fmt.Println("error", err)
			}
			play(o)
			return
		}
	}
	if text := os.Getenv("GWDR_TEST_ETCD"); text != "" {
		var args []string
		if err := json.Unmarshal([]byte(text), &args); err != nil {
			fmt.Println("error", err)
		}
		etcdmain.Main(append([]string{"etcd"}, args...))
		return
	}
	os.Exit(m.Run())
}

// writeUntilKilled puts keys and says which were acknowledged, one id a line.
func writeUntilKilled(o store.Options) {
	s, err := store.Open(context.Background(), o)
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
		acked = append(acked, killAfter(t, "GWDR_TEST_WRITER", dir, 50*(round+1), 0)...)
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

// version returns a configuration that has half its entities, and no body, in common with the next version.
func version(n int) *gateway.State {
	s := gateway.NewState()
	for i := range 6000 {
		s.Put(entity(gateway.Key, fmt.Sprintf("%06d", i+3000*(n%2)), strings.Repeat(string(rune('a'+n%2)), 200)))
	}
	return s
}

// switchUntilKilled switches between two versions, and says which it is about to reach.
func switchUntilKilled(o store.Options) {
	s, err := store.Open(context.Background(), o)
	if err != nil {
		fmt.Println("error", err)
		return
	}
	_, now, err := s.State(context.Background())
	for n := 0; err == nil; n++ {
		fmt.Println(n)
		next := version(n)
		_, _, err = s.Apply(context.Background(), gateway.Diff(now, next), gateway.Bulk{Restore: true})
		now = next
	}
	fmt.Println("error", err)
}

// A store that is killed while thousands of entities change has all of the changes or none.
func TestKilledSwitchIsWhole(t *testing.T) {
	dir, seen := t.TempDir(), map[string]int{}
	whole := []string{version(0).Digest(), version(1).Digest()}
	for round := range 8 {
		killAfter(t, "GWDR_TEST_SWITCHER", dir, 2+round%3, 0)
		s := open(t, store.Options{Dir: dir})
		_, got := state(t, s)
		if !slices.Contains(whole, got.Digest()) {
			t.Fatalf("round %d: a part of a switch is left: %d entities", round, got.Len())
		}
		seen[got.Digest()]++
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("8 kills: %v of each version", slices.Collect(maps.Values(seen)))
}

// A store that held nothing, and is killed while a restore fills it, holds all of it or nothing.
func TestKilledFillIsWhole(t *testing.T) {
	seen := map[int]int{}
	for range 8 {
		dir := t.TempDir()
		killAfter(t, "GWDR_TEST_SWITCHER", dir, 1, rand.N(100*time.Millisecond))
		s := open(t, store.Options{Dir: dir})
		_, got := state(t, s)
		if n := got.Len(); n != 0 && n != version(0).Len() || s.Role().Mode != gateway.ModeLeader {
			t.Fatalf("%d entities, %+v", n, s.Role())
		}
		seen[got.Len()]++
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("8 kills: entities %v", seen)
}

// killAfter starts a child with the options of a store in its environment and kills it a while after its nth line. It returns all of
// its lines.
func killAfter(t *testing.T, variable, dir string, n int, while time.Duration) (acked []string) {
	t.Helper()
	child := playing(t, variable, place.options(t, store.Options{Dir: dir}))
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
			time.AfterFunc(while, func() { child.Process.Kill() })
		}
	}
	child.Wait()
	return acked
}
