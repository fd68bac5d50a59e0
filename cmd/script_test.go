package cmd

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"gwdr/backup/backuptest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"age-plugin-gwdrtest": func() { os.Exit(backuptest.PluginMain(os.Args, "")) }, "gwdr": func() {
		executable, err := exec.LookPath("gwdr") // os.Executable would name the test binary
		if err != nil {
			panic(err)
		}
		os.Exit(run(os.Args[1:], invocation{os.Stdin, os.Stdout, os.Stderr, os.Getenv, executable}))
	}})
}

// TestScript runs each file of testdata/script as a user would type it.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("XDG_STATE_HOME", "")
			env.Setenv("XDG_CONFIG_HOME", "")
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){"exits": exits},
	})
}

// exits CODE ARGS... runs gwdr with ARGS and wants the exit code; stdout and stderr can be matched afterwards.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: exits CODE ARGS...")
	}
	err := ts.Exec("gwdr", args[1:]...)
	code := "0"
	if exit := (*exec.ExitError)(nil); err != nil {
		if !errors.As(err, &exit) {
			ts.Fatalf("run gwdr: %v", err)
		}
		code = strconv.Itoa(exit.ExitCode())
	}
	if code != args[0] {
		ts.Fatalf("gwdr %v: exit code %s, want %s", args[1:], code, args[0])
	}
}
