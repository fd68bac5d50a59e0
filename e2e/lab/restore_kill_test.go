package lab

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gwdr/e2e/shell"
	"gwdr/gateway"
	"gwdr/gateway/native"
	"gwdr/restore"
)

// TestRestoreKill kills restores 100 times, some of which make all changes at once and some piece by piece. At once, all or none
// of them are there; otherwise what is left is old or new, entity by entity. Another restore finishes it, and nothing is left of the killed
// ones, neither processes nor files.
func TestRestoreKill(t *testing.T) {
	s := newShop(t)
	s.manyKeys(1_500)
	s.run("backup", "-q") // three directories on one device: 3-2-1 is not met, and gwdr says so
	target := s.serve("target")
	k := &killing{shop: s, want: s.state(s.client), client: &native.Client{URL: target.admin, HTTP: native.NewHTTP()},
		args: []string{"restore", "--to", "gwdr+" + target.admin, "--revocations", "accept-risk", "--yes", "--json"}}
	k.whole = s.timed(k.args)
	files, running := s.files(), len(shell.Processes(binary, ""))
	if within := k.kill("at once", 60); within > 0 {
		t.Errorf("%d kills left a part of changes that are made at once", within)
	}
	if within := k.kill("in pieces", 40, "--rate=2500"); within == 0 {
		t.Error("no kill came while changes were made")
	}
	if left := shell.Left(binary, running, 10*time.Second); len(left) > running {
		t.Errorf("left behind: %v", left)
	}
	if left := s.files(); !slices.Equal(left, files) {
		t.Errorf("files are %v, were %v", left, files)
	}
}

// killing is restores of the wanted state that are killed.
type killing struct {
	*shop
	client *native.Client // of the gateway that is restored to
	want   *gateway.State
	args   []string
	whole  time.Duration // that a restore takes
}

// kill kills n restores with further arguments, each into the empty gateway, and finishes them. It returns how many left some of
// the changes made.
func (k *killing) kill(how string, n int, more ...string) (within int) {
	k.t.Helper()
	undo := gateway.Diff(k.want, gateway.NewState())
	args := append(slices.Clone(k.args), more...)
	early, late, again := 0, 0, 0
	for killed := 0; killed < n; {
		if err := k.client.Apply(k.t.Context(), undo); err != nil {
			k.t.Fatal(err)
		}
		if !k.killAfter(k.whole/2+rand.N(k.whole/2), args) {
			continue
		}
		killed++
		k.settle()
		left := k.state(k.client)
		for e := range left.All() {
			if body, wanted := k.want.Get(e.Ref); !wanted || !bytes.Equal(body, e.Body) {
				k.t.Fatalf("%s is neither what it was nor what it should be", e.Ref)
			}
		}
		switch left.Len() {
		case 0:
			early++
		case k.want.Len():
			late++
		default:
			within++
		}
		if k.finish(k.args, k.want.Digest()) {
			again++
		}
		if got := k.state(k.client); len(gateway.Diff(k.want, got)) > 0 {
			k.t.Fatalf("after %d entities of %d, another restore leads to %d", left.Len(), k.want.Len(), got.Len())
		}
	}
	k.t.Logf("%s: %d kills of a restore of %d entities: %d before the first change, %d within, %d after the last; %d times the gateway was still busy with what the killed one had sent",
		how, n, k.want.Len(), early, within, late, again)
	return within
}

// settle waits until the gateway knows that the restore that filled it is gone: it holds nothing then, or all.
func (k *killing) settle() {
	k.t.Helper()
	eventually(k.t, time.Minute, "the gateway is no longer filled", func() bool {
		status, err := k.client.Brief(k.t.Context())
		return err == nil && status.Mode == gateway.ModeLeader
	})
}

// finish restores at once, though the gateway may still make the changes that the killed restore sent, and reports whether it
// did.
func (s *shop) finish(args []string, digest string) (busy bool) {
	s.t.Helper()
	r := s.want(0, args...)
	if result := decode[restore.Result](s.t, r.stdout); !result.Verified || result.Actual != digest {
		s.t.Fatalf("result %+v", result)
	}
	return strings.Contains(r.stderr, "still busy")
}

// manyKeys fills the gateway.
func (s *shop) manyKeys(n int) {
	s.t.Helper()
	put := func(k gateway.Kind, id string, body any) gateway.Change {
		return gateway.Change{Op: gateway.Create, Entity: gateway.Entity{Ref: gateway.Ref{Kind: k, ID: id}, Body: gateway.Encode(body)}}
	}
	changes := []gateway.Change{put(gateway.Consumer, "acme", gateway.ConsumerBody{Name: "Acme"})}
	for range n {
		token := gateway.NewToken()
		changes = append(changes, put(gateway.Key, token.ID, gateway.KeyBody{Consumer: "acme", Hash: token.Hash(), Created: time.Now().UTC()}))
	}
	if err := s.client.Apply(s.t.Context(), changes); err != nil {
		s.t.Fatal(err)
	}
}

// state is what the gateway holds.
func (s *shop) state(client *native.Client) *gateway.State {
	s.t.Helper()
	e, err := client.Export(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return e.State
}

// timed runs gwdr, and returns how long that took.
func (s *shop) timed(args []string) time.Duration {
	s.t.Helper()
	begun := time.Now()
	s.want(0, args...)
	return time.Since(begun)
}

// killAfter kills gwdr after a while, and reports whether it had not ended by then.
func (s *shop) killAfter(while time.Duration, args []string) bool {
	s.t.Helper()
	cmd := s.command(args...)
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	timer := time.AfterFunc(while, func() { cmd.Process.Kill() })
	defer timer.Stop()
	if err := cmd.Wait(); err != nil && cmd.ProcessState.Exited() {
		s.t.Fatalf("restore: %v", err)
	}
	return !cmd.ProcessState.Exited()
}

// files returns the names of all files in the user's home folder, but for those of the gateways, and the notes of what each restored
// store descends from.
func (s *shop) files() (names []string) {
	s.t.Helper()
	err := filepath.WalkDir(s.home, func(path string, entry fs.DirEntry, err error) error {
		name := strings.TrimPrefix(path, s.home+"/")
		if entry != nil && entry.IsDir() && (name == "gateway" || name == "target" || entry.Name() == "stores") {
			return fs.SkipDir
		}
		names = append(names, name)
		return err
	})
	if err != nil {
		s.t.Fatal(fmt.Errorf("list files: %w", err))
	}
	return names
}
