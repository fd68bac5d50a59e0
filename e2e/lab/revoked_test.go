package lab

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"gwdr/e2e/shell"
	"gwdr/gateway"
	"gwdr/gateway/native"
	"gwdr/restore"
)

// lostRegion is a door whose region goes down with all that it had, soon after a key was revoked.
type lostRegion struct {
	*door
	victim native.Issued // the key
	keys   string        // file with the secrets that whoever restores has
}

func newLostRegion(t *testing.T) *lostRegion {
	l := &lostRegion{door: newDoor(t)}
	l.victim = l.issue()
	return l
}

func (l *lostRegion) issue() native.Issued {
	l.t.Helper()
	key, err := l.client.IssueKey(l.t.Context(), "", nil, time.Time{})
	if err != nil {
		l.t.Fatal(err)
	}
	return key
}

// revoke revokes the victim, and returns the revision.
func (l *lostRegion) revoke() int64 {
	l.t.Helper()
	if err := l.client.RevokeKey(l.t.Context(), l.victim.ID, "drill"); err != nil {
		l.t.Fatal(err)
	}
	status, err := l.client.Brief(l.t.Context())
	if err != nil {
		l.t.Fatal(err)
	}
	return status.Revision
}

// destroy ends the control plane without notice, and deletes its directory.
func (l *lostRegion) destroy() {
	l.t.Helper()
	l.lose()
	if left := waitForExit(l.gateway.pid, 10*time.Second); left {
		l.t.Fatalf("control plane %d still runs", l.gateway.pid)
	}
	if err := os.RemoveAll(filepath.Join(l.home, "gateway")); err != nil {
		l.t.Fatal(err)
	}
}

// waitForExit waits until the process runs the binary no more, and reports whether it still does.
func waitForExit(pid int, limit time.Duration) bool {
	for deadline := time.Now().Add(limit); ; time.Sleep(5 * time.Millisecond) {
		_, runs := shell.Processes(binary, "")[pid]
		if !runs || time.Now().After(deadline) {
			return runs
		}
	}
}

// restore starts a new gateway and restores into it, with keys to prove it. No secret is told, and nothing is left behind.
func (l *lostRegion) restore(args ...string) (*glass, restore.Result) {
	l.t.Helper()
	l.keys = l.write("keys", l.token+"\n"+l.revoked+" # long ago\n"+l.victim.Token+"\n")
	if err := os.Chmod(l.keys, 0o600); err != nil {
		l.t.Fatal(err)
	}
	g := l.serveFrom("new")
	before := l.settled()
	args = append([]string{"restore", "--to", "gwdr+" + g.admin, "--probe-keys", l.keys}, args...)
	plan := l.want(0, append(args, "--plan")...)
	r := l.want(0, append(args, "--json")...)
	l.t.Log(plan.stdout)
	for _, secret := range []string{l.token, l.revoked, l.victim.Token} {
		if strings.Contains(r.stdout+r.stderr+plan.stdout+plan.stderr, secret[21:60]) {
			l.t.Error("a secret is told")
		}
	}
	if left := l.settled(); !slices.Equal(left, before) {
		l.t.Errorf("files left behind: %v", slices.DeleteFunc(left, func(name string) bool { return slices.Contains(before, name) }))
	}
	result := decode[restore.Result](l.t, r.stdout)
	for _, c := range result.DataPlane {
		if c.Key != "" {
			l.t.Log(c)
		}
	}
	return g, result
}

// settled returns the names of all files but those of gateways, and of what a restore keeps for the next backup.
func (l *lostRegion) settled() []string {
	return slices.DeleteFunc(l.files(), func(name string) bool {
		return strings.HasPrefix(name, "new") || strings.HasPrefix(name, "plane") || strings.HasPrefix(name, ".local/state/gwdr/backup/stores/")
	})
}

// verify checks what came of it: the proof, and what clients see.
func (l *lostRegion) verify(g *glass, r restore.Result, victim int, fates map[restore.Fate]int) {
	l.t.Helper()
	l.serves(g)
	g.wants(victim, "/door", l.victim.Token)
	if got := restore.KeysTried(r.DataPlane); !maps.Equal(got, fates) {
		l.t.Errorf("keys tried: %v, want %v", got, fates)
	}
	if !r.Verified || r.Actual != r.Expected {
		l.t.Errorf("result %+v", r)
	}
}

// ends proves that with the gateways everything is gone.
func (l *lostRegion) ends(gateways ...*glass) {
	l.t.Helper()
	for _, g := range gateways {
		g.stop()
	}
	if left := shell.Left(binary, 0, 10*time.Second); len(left) > 0 {
		l.t.Errorf("left behind: %v", left)
	}
}

// TestRevokedKeyDrill: a key is revoked after the last point, and the region is lost. Whoever knows of the revocation is
// heard: the key does not work in the restored gateway, and the others do what they did.
func TestRevokedKeyDrill(t *testing.T) {
	t.Run("the log knows", func(t *testing.T) {
		l := newLostRegion(t)
		l.run("backup", "-q")
		f := l.follow()
		f.committed(l.revoke())
		l.destroy()
		f.stop(syscall.SIGKILL)
		g, r := l.restore()
		l.verify(g, r, 401, map[restore.Fate]int{restore.Live: 1, restore.Revoked: 2})
		l.ends(g)
	})
	t.Run("a data plane knows", func(t *testing.T) {
		l := newLostRegion(t)
		plane := l.followed()
		l.destroy()
		plane.wants(401, "/door", l.victim.Token) // it serves on, by its last good configuration
		plane.wants(200, "/door", l.token)
		g, r := l.restore("--witness", "gwdr+"+plane.admin)
		l.verify(g, r, 401, map[restore.Fate]int{restore.Live: 1, restore.Revoked: 2})
		l.ends(g, plane)
	})
	t.Run("a dead data plane knew", func(t *testing.T) {
		l := newLostRegion(t)
		plane := l.followed()
		l.onDisk() // a moment later
		l.destroy()
		plane.kill()
		g, r := l.restore("--witness", filepath.Join(l.home, "plane"))
		l.verify(g, r, 401, map[restore.Fate]int{restore.Live: 1, restore.Revoked: 2})
		l.ends(g)
	})
	t.Run("nobody knows", testNobodyKnows)
	t.Run("nobody knows of a key in doubt", testKeyInDoubt)
}

// followed takes a point, has a data plane follow the control plane, and revokes the victim, which the plane learns.
func (l *lostRegion) followed() *glass {
	l.t.Helper()
	l.run("backup", "-q")
	plane := l.serveFrom("plane", "--role", "data", "--control", l.gateway.admin)
	eventually(l.t, time.Minute, "the data plane serves", func() bool { return plane.get("/door", l.victim.Token) == 200 })
	l.revoke()
	eventually(l.t, time.Minute, "the data plane knows", func() bool { return plane.get("/door", l.victim.Token) == 401 })
	return plane
}

// onDisk waits until the last good configuration that the data plane leaves has the revocation.
func (l *lostRegion) onDisk() {
	l.t.Helper()
	eventually(l.t, time.Minute, "the data plane's directory has the revocation", func() bool {
		known, _, err := restore.LastGood(filepath.Join(l.home, "plane")).Revocations(l.t.Context())
		return err == nil && slices.ContainsFunc(known, func(e gateway.Entity) bool { return e.ID == l.victim.ID })
	})
}

// testNobodyKnows: then the key works again, and the result says since when that may be so.
func testNobodyKnows(t *testing.T) {
	l := newLostRegion(t)
	l.run("backup", "-q")
	l.revoke()
	l.destroy()
	g, r := l.restore()
	l.verify(g, r, 200, map[restore.Fate]int{restore.Live: 2, restore.Revoked: 1})
	if d := r.Doubt; d == nil || !d.Since.Equal(r.Time) || d.Working != 2 || d.Policy != restore.FailClosed {
		t.Errorf("doubt %+v", d)
	}
	l.ends(g)
}

// testKeyInDoubt: the key was issued after the last moment of which all revocations are known, as parts of the log are lost, among
// them that with its revocation. It does not work, unless somebody takes the risk.
func testKeyInDoubt(t *testing.T) {
	l := newLostRegion(t)
	l.run("backup", "-q")
	f := l.follow()
	lost := l.segmentsOf(func() { f.committed(l.set("lost")) })
	l.victim = l.issue()
	f.committed(l.set("kept"))
	lost = append(lost, l.segmentsOf(func() { f.committed(l.revoke()) })...)
	f.committed(l.set("last"))
	l.destroy()
	f.stop(syscall.SIGKILL)
	for _, file := range lost {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	g, r := l.restore("--allow-gap")
	l.verify(g, r, 401, map[restore.Fate]int{restore.Live: 1, restore.Revoked: 2})
	if d := r.Doubt; d == nil || !slices.Equal(d.Issued, []string{l.victim.ID}) {
		t.Errorf("doubt %+v", d)
	}
	g.stop()
	if err := os.RemoveAll(filepath.Join(l.home, "new")); err != nil {
		t.Fatal(err)
	}
	g, r = l.restore("--allow-gap", "--revocations", "accept-risk")
	l.verify(g, r, 200, map[restore.Fate]int{restore.Live: 2, restore.Revoked: 1})
	l.ends(g)
}

// segmentsOf returns the files of the log that come while f runs, at all locations.
func (l *lostRegion) segmentsOf(f func()) (added []string) {
	l.t.Helper()
	before := l.segments(0)
	f()
	return slices.DeleteFunc(l.segments(len(before)+1), func(name string) bool { return slices.Contains(before, name) })
}

// segments waits until there are so many files of the log, and each location has all of them.
func (l *lostRegion) segments(least int) (all []string) {
	l.t.Helper()
	eventually(l.t, time.Minute, "all locations have the log", func() bool {
		all = nil
		var sizes []int
		for _, location := range []string{"one", "two", "three"} {
			names, err := filepath.Glob(filepath.Join(l.home, location, "gwdr1", "*", "log", "*.tar"))
			if err != nil {
				l.t.Fatal(err)
			}
			all, sizes = append(all, names...), append(sizes, len(names))
		}
		return len(all) >= least && slices.Min(sizes) == slices.Max(sizes)
	})
	return all
}
