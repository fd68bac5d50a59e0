package lab

import (
	"maps"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"gwdr/fleet/process"
	"gwdr/gateway"
	"gwdr/gateway/native"
	"gwdr/restore"
)

// TestRestoreEveryInstance: a restore is proven at every data plane of every region that follows, with the lab's keys; one that
// hangs, and so does not follow, is named.
func TestRestoreEveryInstance(t *testing.T) {
	u := newUser(t)
	u.want(0, "lab", "up", "--regions", "eu,us", "--instances", "2", "-q")
	t.Cleanup(func() { u.want(0, "lab", "down") })
	u.run("backup", "-q")
	lab, err := process.Open(filepath.Join(u.home, ".local", "state", "gwdr", "lab"))
	if err != nil {
		t.Fatal(err)
	}
	spoil := func() {
		t.Helper()
		client := &native.Client{URL: lab.ControlURL("eu"), Token: lab.AdminToken()}
		e := gateway.Entity{Ref: gateway.Ref{Kind: gateway.Setting, ID: "spoiled"}, Body: []byte(`{}`)}
		if _, err := client.Put(t.Context(), e, gateway.Condition{}); err != nil {
			t.Fatal(err)
		}
	}
	spoil()
	r := decode[restore.Result](t, u.want(0, "restore", "--yes", "--json").stdout)
	asked := map[string]bool{}
	for _, c := range r.DataPlane {
		asked[c.Name] = true
	}
	if want := []string{"edge", "eu-1", "eu-2", "us-1", "us-2"}; !slices.Equal(slices.Sorted(maps.Keys(asked)), want) || !r.Verified {
		t.Errorf("asked %v, want %v; verified %v", asked, want, r.Verified)
	}
	if got, want := restore.KeysTried(r.DataPlane), map[restore.Fate]int{restore.Live: 1, restore.Revoked: 1}; !maps.Equal(got, want) {
		t.Errorf("keys tried: %v", got)
	}
	spoil()
	processes, err := lab.Processes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	hung := processes[slices.IndexFunc(processes, func(p process.Process) bool { return p.ID == "us-2" })].PID
	if err := syscall.Kill(hung, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	failed := u.want(3, "restore", "--yes", "--json")
	if err := syscall.Kill(hung, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	contains(t, failed.stderr, "data plane does not serve the restored configuration: 1 of 5 instances: us-2 (http://127.0.0.1:")
	if r := decode[restore.Result](t, failed.stdout); r.Verified || r.Actual != r.Expected {
		t.Errorf("verified %v, digest %s, want %s", r.Verified, r.Actual, r.Expected)
	}
	contains(t, u.want(0, "restore").stdout, ": verified\n", "at 5 instances", "tried 1 live, 1 revoked; each as it should be")
}
