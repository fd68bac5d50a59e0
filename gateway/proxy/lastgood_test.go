package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gwdr/gateway"
)

func lastGood(t testing.TB) Options {
	return Options{LastGood: filepath.Join(t.TempDir(), "last-good.ndjson")}
}

func TestStartFromLastGood(t *testing.T) {
	b := backend(t, "b")
	o := lastGood(t)
	key, text := keyEntity(nil, nil)
	first := newGateway(t, o, upstreamOf("u", b.URL), key, entity(gateway.Route, "r", gateway.RouteBody{Path: "/r", Upstream: "u"}))
	for i, change := range []gateway.Change{put(entity(gateway.Revocation, key.ID, gateway.RevocationBody{})), put(open("s", "/s", "u"))} {
		if err := first.Update(gateway.Batch{Revision: int64(i) + 2, Changes: []gateway.Change{change}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := first.Close(); err != nil { // writes without delay
		t.Fatal(err)
	}
	second := newGateway(t, o)
	if err := second.LoadLastGood(); err != nil {
		t.Fatal(err)
	}
	a, z := first.Status(), second.Status()
	if a.Digest != z.Digest || z.Store != "a" || z.Revision != 3 || z.Epoch != 1 || !z.Ready {
		t.Errorf("came back as %+v, was %+v", z, a)
	}
	url := serve(t, second)
	if s, r := get(t, url+"/s"), get(t, url+"/r", "X-Api-Key", text); s.Status != 200 || r.Status != 401 {
		t.Errorf("/s %d, revoked key %d", s.Status, r.Status)
	}
	if info, err := os.Stat(o.LastGood); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestLastGoodIsWrittenSoon(t *testing.T) {
	o := lastGood(t)
	g := newGateway(t, o, upstreamOf("u"), open("r", "/r", "u"))
	eventually(t, "written", func() bool {
		_, s, err := readState(o.LastGood)
		return err == nil && s.Digest() == g.Status().Digest
	})
}

func TestNoLastGood(t *testing.T) {
	g := newGateway(t, lastGood(t))
	if err := g.LoadLastGood(); !errors.Is(err, fs.ErrNotExist) || g.Ready() {
		t.Errorf("error %v, ready %v", err, g.Ready())
	}
}

func TestTornLastGoodIsNeverLoaded(t *testing.T) {
	o := lastGood(t)
	older, newer := gateway.NewState(upstreamOf("u")), gateway.NewState(upstreamOf("u"), open("r", "/r", "u"))
	for i, s := range []*gateway.State{older, newer} {
		if err := writeState(o.LastGood, gateway.Header{Store: "a", Revision: int64(i)}, s); err != nil {
			t.Fatal(err)
		}
	}
	whole, err := os.ReadFile(o.LastGood)
	if err != nil {
		t.Fatal(err)
	}
	expect := func(what string, content []byte, want *gateway.State) {
		t.Helper()
		if err := os.WriteFile(o.LastGood, content, 0o600); err != nil {
			t.Fatal(err)
		}
		g, err := New(Options{LastGood: o.LastGood})
		if err != nil {
			t.Fatal(err)
		}
		err = g.LoadLastGood()
		if err := g.Close(); err != nil {
			t.Fatal(err)
		}
		if want == nil {
			if err == nil || g.Ready() {
				t.Fatalf("%s: error %v, ready %v", what, err, g.Ready())
			}
			return
		}
		if err != nil || g.Status().Digest != want.Digest() {
			t.Fatalf("%s: error %v, status %+v", what, err, g.Status())
		}
	}
	previousBytes, err := os.ReadFile(previous(o.LastGood))
	if err != nil {
		t.Fatal(err)
	}
	expect("whole", whole, newer)
	for n := 0; n < len(whole)-1; n += 7 {
		if err := os.WriteFile(previous(o.LastGood), previousBytes, 0o600); err != nil {
			t.Fatal(err)
		}
		expect(fmt.Sprintf("cut at %d", n), whole[:n], older)
	}
	if err := os.WriteFile(previous(o.LastGood), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	expect("both torn", whole[:len(whole)/2], nil)
	if err := os.Remove(previous(o.LastGood)); err != nil {
		t.Fatal(err)
	}
	expect("torn without another", bytes.Repeat([]byte{0}, len(whole)), nil)
}

const childFile = "GWDR_TEST_CHILD_FILE"

// TestChildThatWrites is the child of the next test: it writes one state after the other until it is killed.
func TestChildThatWrites(t *testing.T) {
	file := os.Getenv(childFile)
	if file == "" {
		return // run by itself it has nothing to do
	}
	s := gateway.NewState(upstreamOf("u"))
	for i := range 1_000_000 {
		s.Put(open(fmt.Sprint(i%200), fmt.Sprintf("/%d/%s", i, strings.Repeat("x", i%300)), "u"))
		if err := writeState(file, gateway.Header{Store: "a", Revision: int64(i + 1)}, s); err != nil {
			t.Fatal(err)
		}
	}
}

func TestKilledWhileWriting(t *testing.T) {
	o := lastGood(t)
	var revision int64
	for round := range 8 {
		child := exec.Command(os.Args[0], "-test.run=^TestChildThatWrites$")
		child.Env = append(os.Environ(), childFile+"="+o.LastGood)
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the child writes", func() bool {
			h, _, err := readState(o.LastGood)
			return err == nil && h.Revision != revision
		})
		eventually(t, "the next one is half written", func() bool {
			info, err := os.Stat(o.LastGood + ".new")
			return err == nil && info.Size() >= int64(round)*4000 // another moment each time
		})
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = child.Wait()
		h, _, err := readState(o.LastGood) // not even the previous one is needed
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		revision = h.Revision
		g := newGateway(t, Options{LastGood: o.LastGood})
		if err := g.LoadLastGood(); err != nil {
			t.Fatal(err)
		}
	}
}
