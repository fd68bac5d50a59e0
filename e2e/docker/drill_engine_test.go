//go:build linux

package docker

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestDrillContainerRemoved removes a target for good during the drill: it says that its fault is gone and ends, and the
// other target is as it was.
func TestDrillContainerRemoved(t *testing.T) {
	w := newWorld(t, false)
	before, u := w.facts("us-east-2"), w.user(t)
	cmd, out, errs := u.broken(w)
	daemon.must(t, "DELETE", "/containers/us-east-1?force=true", nil, nil)
	d := u.ended(5, cmd, out, errs)
	if !d.Clean || d.Verdict != "aborted" || !strings.Contains(d.Reason, "us-east-1") {
		t.Errorf("drill: %+v", d)
	}
	if diff := cmp.Diff(before, w.facts("us-east-2")); diff != "" {
		t.Errorf("the other container (-before +after):\n%s", diff)
	}
	u.want(0, "report", "verify", d.Evidence)
	if err := u.nothingLeft(); err != nil {
		t.Error(err)
	}
}

// TestDrillDaemonRestarted restarts the engine during the drill, which holds on to the fault or aborts: in the end nothing of
// it is left.
func TestDrillDaemonRestarted(t *testing.T) {
	w := newWorld(t, true)
	before, u := w.allFacts(), w.user(t)
	cmd, out, errs := u.broken(w)
	w.restart()
	d := u.ended(-1, cmd, out, errs)
	if !d.Clean || d.Verdict == "error" || d.Verdict == "pass" && !d.Faults[0].Verified {
		t.Errorf("drill: %+v", d)
	}
	t.Log(d.Verdict, d.Reason)
	for _, name := range []string{"us-east-1", "us-east-2"} {
		if diff := cmp.Diff(before[name], w.facts(name)); diff != "" {
			t.Errorf("%s (-before +after):\n%s", name, diff)
		}
	}
	u.want(0, "report", "verify", d.Evidence)
	if err := u.nothingLeft(); err != nil {
		t.Error(err)
	}
}

// ended waits for the end of a drill, and fails the test unless it has the code; -1 is any.
func (u *user) ended(want int, cmd *exec.Cmd, out, errs *bytes.Buffer) (d drill) {
	u.t.Helper()
	cmd.Wait()
	if err := json.Unmarshal(out.Bytes(), &d); err != nil || want >= 0 && cmd.ProcessState.ExitCode() != want {
		u.t.Fatalf("exit code %d, want %d: %v\n%s\n%s", cmd.ProcessState.ExitCode(), want, err, out, errs)
	}
	return d
}
