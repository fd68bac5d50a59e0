package lab

import (
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gwdr/backup"
	"gwdr/gateway"
	"gwdr/gateway/native"
)

// shop is a gateway of the user's with three locations, one of them elsewhere.
type shop struct {
	*user
	gateway served
	client  *native.Client
}

// newShop starts the gateway with further arguments.
func newShop(t testing.TB, serve ...string) *shop {
	u := newUser(t)
	gw := u.serve("gateway", serve...)
	args := []string{"init", "--file", filepath.Join(u.home, "gwdr.yaml"), "--gateway", "gwdr+" + gw.admin, "--site", "dc1"}
	for _, name := range []string{"one", "two", "three"} {
		args = append(args, "--location", fmt.Sprintf("%s=file://%s,media=%s,site=dc-%s", name, filepath.Join(u.home, name), name, name))
	}
	u.want(0, args...)
	return &shop{u, gw, &native.Client{URL: gw.admin, HTTP: native.NewHTTP()}}
}

// put stores a document of about so many bytes that do not compress.
func (s *shop) put(id string, size int) {
	s.t.Helper()
	random := rand.New(rand.NewPCG(1, uint64(size)))
	var text strings.Builder
	for text.Len() < size {
		fmt.Fprintf(&text, "%016x", random.Uint64())
	}
	body := fmt.Appendf(nil, `{"openapi":"3.0.3","info":{"title":%q,"version":"1"},"paths":{}}`, text.String())
	ref := gateway.Ref{Kind: gateway.Spec, ID: id}
	if _, err := s.client.Put(s.t.Context(), gateway.Entity{Ref: ref, Body: body}, gateway.Condition{}); err != nil {
		s.t.Fatal(err)
	}
}

// small runs gwdr where the directory, with what is in it, lies on a file system of its own with room for so many more
// bytes. The file system ends with the process.
func (s *shop) small(dir string, room int, args ...string) result {
	s.t.Helper()
	script := `mkdir "$2.copy" && cp -a "$2/." "$2.copy/" && mount -t tmpfs -o size=$(( $(du -sk "$2.copy" | cut -f 1) * 1024 + $1 )) tmpfs "$2" &&
		cp -a "$2.copy/." "$2/" && rm -r "$2.copy" && shift 2 && exec "$@"`
	cmd := exec.Command("unshare", append([]string{"-rm", "sh", "-c", script, "sh", fmt.Sprint(room), dir, binary}, args...)...)
	cmd.Dir, cmd.Env = s.home, s.env
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err == nil {
		s.t.Fatalf("gwdr %v did with %d bytes in %s:\n%s", args, room, dir, out.String())
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// points returns how many points there are, and fails the test if one of them is not whole.
func (s *shop) points() int {
	s.t.Helper()
	v := decode[backup.Verification](s.t, s.run("backup", "verify", "--all", "--json").stdout)
	if !v.Restorable() || v.Decrypted != v.Points {
		s.t.Errorf("verification: %+v", v)
	}
	return v.Points
}

// TestLocationFull: a location without room costs its copy; with room it catches up.
func TestLocationFull(t *testing.T) {
	s := newShop(t)
	s.put("a", 10_000)
	s.run("backup", "-q")
	s.put("b", 400_000)
	r := s.small(filepath.Join(s.home, "two"), 200_000, "backup")
	if r.code != 3 {
		t.Errorf("exit code %d", r.code)
	}
	contains(t, r.stderr, "location two failed", "no space left on device")
	if n := s.points(); n != 2 {
		t.Errorf("%d points, want 2", n)
	}
	result := decode[backup.Result](t, s.run("backup", "--json").stdout)
	for _, l := range result.Locations {
		if !l.OK || l.Error != "" {
			t.Errorf("%s did not catch up: %+v", l.Name, l)
		}
	}
	if n := s.points(); n != 3 {
		t.Errorf("%d points, want 3", n)
	}
}

// TestSpoolFull: without room for the spool there is no backup and no harm.
func TestSpoolFull(t *testing.T) {
	s := newShop(t)
	s.put("a", 10_000)
	s.run("backup", "-q")
	s.put("b", 400_000)
	for _, full := range []string{"--full", "--full=false"} { // everything, or what has changed
		r := s.small(filepath.Join(s.home, ".local", "state", "gwdr"), 100_000, "backup", full)
		if r.code != 1 {
			t.Errorf("exit code %d", r.code)
		}
		contains(t, r.stderr, "no space left on device")
		if n := s.points(); n != 1 {
			t.Errorf("%d points, want 1", n)
		}
	}
	s.run("backup", "-q")
	if n := s.points(); n != 2 {
		t.Errorf("%d points, want 2", n)
	}
}
