// Package backuptest tests what keeps snapshots: Conformance is what every location must pass.
package backuptest

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gwdr/backup"
)

// Conformance tests the locations that open returns, each empty and of its own. What a location need not be able to do is
// tested if it says that it can.
func Conformance(t *testing.T, open func(t *testing.T) backup.Location) {
	for _, c := range []struct {
		name string
		test func(*testing.T, backup.Location)
	}{
		{"put, get", putGet},
		{"nothing there", nothingThere},
		{"same bytes are done", sameBytes},
		{"other bytes are refused", otherBytes},
		{"eight writers, one winner", race},
		{"eight writers of the same bytes", sameRace},
		{"list", list},
		{"truncated body never counts", truncated},
		{"broken body never counts", broken},
		{"cancelled put never counts", cancelled},
		{"bad names", badNames},
		{"many at once", concurrent},
		{"big object", big},
		{"probe", probe},
		{"remove", remove},
		{"list while objects come and go", listChanging},
		{"quarantine", quarantine},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

func put(ctx context.Context, l backup.Location, name, content string) error {
	return l.Put(ctx, name, strings.NewReader(content), int64(len(content)))
}

func mustPut(t *testing.T, l backup.Location, name, content string) {
	t.Helper()
	if err := put(t.Context(), l, name, content); err != nil {
		t.Fatalf("Put(%s): %v", name, err)
	}
}

func wantContent(t *testing.T, l backup.Location, name, want string) {
	t.Helper()
	r, err := l.Get(t.Context(), name)
	if err != nil {
		t.Fatalf("Get(%s): %v", name, err)
	}
	defer r.Close()
	got, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("read %s: %v", name, err)
	}
	if string(got) != want {
		t.Errorf("%s holds %.40q, want %.40q", name, got, want)
	}
}

func wantNothing(t *testing.T, l backup.Location, name string) {
	t.Helper()
	if r, err := l.Get(t.Context(), name); !errors.Is(err, backup.ErrNotExist) {
		if err == nil {
			r.Close()
		}
		t.Errorf("Get(%s) = %v, want ErrNotExist", name, err)
	}
	if names := mustList(t, l, ""); len(names) > 0 {
		t.Errorf("List() = %v, want nothing", names)
	}
}

func mustList(t *testing.T, l backup.Location, prefix string) []string {
	t.Helper()
	objects, err := l.List(t.Context(), prefix)
	if err != nil {
		t.Fatalf("List(%s): %v", prefix, err)
	}
	var names []string
	for _, o := range objects {
		names = append(names, fmt.Sprintf("%s %d", o.Name, o.Size))
		if o.Created.IsZero() {
			t.Errorf("%s has no time", o.Name)
		}
	}
	return names
}

func putGet(t *testing.T, l backup.Location) {
	mustPut(t, l, "gwdr1/a/empty", "")
	mustPut(t, l, "gwdr1/a/some", "content")
	wantContent(t, l, "gwdr1/a/empty", "")
	wantContent(t, l, "gwdr1/a/some", "content")
}

func nothingThere(t *testing.T, l backup.Location) { wantNothing(t, l, "gwdr1/none") }

func sameBytes(t *testing.T, l backup.Location) {
	mustPut(t, l, "gwdr1/a", "content")
	mustPut(t, l, "gwdr1/a", "content")
	wantContent(t, l, "gwdr1/a", "content")
}

func otherBytes(t *testing.T, l backup.Location) {
	mustPut(t, l, "gwdr1/a", "content")
	for _, other := range []string{"Content", "content and more", "cont", ""} {
		if err := put(t.Context(), l, "gwdr1/a", other); !errors.Is(err, backup.ErrExists) {
			t.Errorf("Put of %q = %v, want ErrExists", other, err)
		}
	}
	wantContent(t, l, "gwdr1/a", "content")
}

const writers = 8

func race(t *testing.T, l backup.Location) {
	for round := range 10 {
		name := fmt.Sprintf("gwdr1/race/%d", round)
		errs := together(func(i int) error { return put(t.Context(), l, name, fmt.Sprintf("writer %d", i)) })
		winner := -1
		for i, err := range errs {
			switch {
			case err == nil && winner >= 0:
				t.Errorf("round %d: writers %d and %d both won", round, winner, i)
			case err == nil:
				winner = i
			case !errors.Is(err, backup.ErrExists):
				t.Errorf("round %d: writer %d: %v, want ErrExists", round, i, err)
			}
		}
		if winner < 0 {
			t.Fatalf("round %d: nobody won", round)
		}
		wantContent(t, l, name, fmt.Sprintf("writer %d", winner))
	}
}

func sameRace(t *testing.T, l backup.Location) {
	for round := range 3 {
		for i, err := range together(func(int) error { return put(t.Context(), l, fmt.Sprintf("gwdr1/%d", round), "same") }) {
			if err != nil {
				t.Errorf("round %d: writer %d: %v", round, i, err)
			}
		}
	}
}

// together runs do in eight goroutines at once.
func together(do func(i int) error) []error {
	errs := make([]error, writers)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			<-start
			errs[i] = do(i)
		})
	}
	close(start)
	wg.Wait()
	return errs
}

func list(t *testing.T, l backup.Location) {
	for _, name := range []string{"gwdr1/b/2", "gwdr1/b/10", "gwdr1/a/x/y", "gwdr1/a.txt", "gwdr1/bb"} {
		mustPut(t, l, name, name)
	}
	for prefix, want := range map[string][]string{
		"":          {"gwdr1/a.txt 11", "gwdr1/a/x/y 11", "gwdr1/b/10 10", "gwdr1/b/2 9", "gwdr1/bb 8"},
		"gwdr1/b":   {"gwdr1/b/10 10", "gwdr1/b/2 9", "gwdr1/bb 8"},
		"gwdr1/b/":  {"gwdr1/b/10 10", "gwdr1/b/2 9"},
		"gwdr1/a/x": {"gwdr1/a/x/y 11"},
		"gwdr2/":    nil,
	} {
		if diff := cmp.Diff(want, mustList(t, l, prefix)); diff != "" {
			t.Errorf("List(%q): %s", prefix, diff)
		}
	}
}

func truncated(t *testing.T, l backup.Location) {
	for _, size := range []int64{8, 6} {
		if err := l.Put(t.Context(), "gwdr1/a", strings.NewReader("content"), size); err == nil {
			t.Errorf("Put of 7 bytes as %d succeeded", size)
		}
		wantNothing(t, l, "gwdr1/a")
	}
	mustPut(t, l, "gwdr1/a", "content")
}

// brokenBody fails at half of its content, whenever it is read.
type brokenBody struct {
	*strings.Reader
	half int
}

func (b *brokenBody) Read(p []byte) (int, error) {
	if b.Len() <= b.half {
		return 0, errors.New("disk is broken")
	}
	return b.Reader.Read(p[:min(len(p), b.Len()-b.half)])
}

func (b *brokenBody) WriteTo(w io.Writer) (int64, error) { return io.Copy(w, struct{ io.Reader }{b}) }

func broken(t *testing.T, l backup.Location) {
	content := strings.Repeat("content ", 1<<17)
	body := &brokenBody{Reader: strings.NewReader(content), half: len(content) / 2}
	if err := l.Put(t.Context(), "gwdr1/a", body, int64(len(content))); err == nil {
		t.Error("Put of a broken body succeeded")
	}
	wantNothing(t, l, "gwdr1/a")
}

func cancelled(t *testing.T, l backup.Location) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := put(ctx, l, "gwdr1/a", "content"); err == nil {
		t.Error("Put under a cancelled context succeeded")
	}
	wantNothing(t, l, "gwdr1/a")
}

func badNames(t *testing.T, l backup.Location) {
	for _, name := range []string{"", "/", "/etc/passwd", "../x", "gwdr1/../../x", "gwdr1//x", "gwdr1/", ".", ".hidden", "a\x00b"} {
		if err := put(t.Context(), l, name, "content"); err == nil {
			t.Errorf("Put(%q) succeeded", name)
		}
		if r, err := l.Get(t.Context(), name); err == nil {
			r.Close()
			t.Errorf("Get(%q) succeeded", name)
		}
	}
}

func concurrent(t *testing.T, l backup.Location) {
	const each = 10
	for i, err := range together(func(i int) error {
		for k := range each {
			if err := put(t.Context(), l, fmt.Sprintf("gwdr1/%d/%d", i, k), fmt.Sprint(i, k)); err != nil {
				return err
			}
			if _, err := l.List(t.Context(), "gwdr1/"); err != nil {
				return err
			}
		}
		return nil
	}) {
		if err != nil {
			t.Errorf("writer %d: %v", i, err)
		}
	}
	if n := len(mustList(t, l, "gwdr1/")); n != writers*each {
		t.Errorf("%d objects, want %d", n, writers*each)
	}
}

func big(t *testing.T, l backup.Location) {
	content := make([]byte, 32<<20+1)
	rand.Read(content)
	for range 2 { // the second put finds the first
		if err := l.Put(t.Context(), "gwdr1/big", bytes.NewReader(content), int64(len(content))); err != nil {
			t.Fatal(err)
		}
	}
	r, err := l.Get(t.Context(), "gwdr1/big")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, r); err != nil {
		t.Fatal(err)
	}
	if want := sha256.Sum256(content); !bytes.Equal(sum.Sum(nil), want[:]) {
		t.Error("big object came back with other bytes")
	}
	content[16<<20] ^= 1
	if err := l.Put(t.Context(), "gwdr1/big", bytes.NewReader(content), int64(len(content))); !errors.Is(err, backup.ErrExists) {
		t.Errorf("Put with one bit flipped = %v, want ErrExists", err)
	}
}

// probe checks that a location that can be probed is what the suite found it to be.
func probe(t *testing.T, l backup.Location) {
	prober, ok := l.(backup.Prober)
	if !ok {
		return
	}
	mustPut(t, l, "gwdr1/a", "content")
	for range 2 { // a probe leaves nothing that the next one trips over
		c, err := prober.Probe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !c.CreateOnly {
			t.Error("Probe says that the location is not create-only")
		}
		checkTests(t, c)
	}
	wantContent(t, l, "gwdr1/a", "content")
	if domain, err := prober.Domain(t.Context()); err != nil || domain == "" {
		t.Errorf("Domain() = %q, %v", domain, err)
	}
}
