package exec

import (
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// TestNiceness: a service that a command starts again has not the priority of the drill. To give oneself one takes a privilege.
func TestNiceness(t *testing.T) {
	w := &world{t.TempDir()}
	w.write(t, "drill.sh", script)
	runtime.LockOSThread() // which is not unlocked: the thread ends with the test
	if err := unix.Setpriority(unix.PRIO_PROCESS, 0, -5); err != nil && os.Geteuid() == 0 {
		t.Fatal(err)
	}
	_, err := w.hostile(t, "list", `ps -o ni= -p $$ >&2; exit 3`).Instances(t.Context())
	wants(t, err, "exit status 3: it said: 0")
}
