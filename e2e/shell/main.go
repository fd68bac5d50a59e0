package shell

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"testing"
)

// Main builds gwdr, for a package two folders below its source, says in binary where it is, and runs the tests of the package. It returns
// the code to exit with. Every process of a test runs this very file, and so can be found by it.
func Main(m *testing.M, binary *string) (code int) {
	dir, err := os.MkdirTemp("", "gwdr-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if signal.Ignored(os.Interrupt) { // as under nohup: children would ignore it too, but not what is handled here
		signal.Notify(make(chan os.Signal, 1), os.Interrupt)
	}
	*binary = filepath.Join(dir, "gwdr")
	build := exec.Command("go", "build", "-o", *binary, ".")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build gwdr: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// Need ends a test where something is missing that it takes: root, or commands. In CI that is a failure.
func Need(t testing.TB, root bool, commands ...string) {
	t.Helper()
	var problem error
	if root && os.Getuid() != 0 {
		problem = errors.New("root")
	}
	for _, command := range commands {
		_, err := exec.LookPath(command)
		problem = errors.Join(problem, err)
	}
	switch {
	case problem == nil:
	case os.Getenv("CI") == "true":
		t.Fatalf("needed: %v", problem)
	default:
		t.Skipf("needed: %v", problem)
	}
}
