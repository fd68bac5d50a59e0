package cmd

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"gwdr/backup/backuptest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){targetProgram: serveTarget, "age-plugin-gwdrtest": func() { os.Exit(backuptest.PluginMain(os.Args, "")) }, "gwdr": func() {
		executable, err := exec.LookPath("gwdr") // os.Executable would name the test binary
		if err != nil {
			panic(err)
		}
		os.Exit(run(os.Args[1:], invocation{os.Stdin, os.Stdout, os.Stderr, os.Getenv, executable, os.Environ()}))
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
			env.Setenv("MONITOR", startMonitor(env))
			env.Defer(func() { endLab(env) })
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){"exits": exits, "hold": hold, "document": document},
	})
}

// endLab ends the lab that a script which failed leaves behind.
func endLab(env *testscript.Env) {
	if _, err := os.Stat(filepath.Join(env.WorkDir, ".local/state/gwdr/lab")); err != nil {
		return
	}
	down := exec.Command("gwdr", "lab", "down")
	down.Dir, down.Env = env.WorkDir, env.Vars
	_ = down.Run() // there may be none
}

// startMonitor starts a monitor whose URL has the secret "0f1e2d3c" in its path, and which writes the pings that it gets to
// the file pings: path, and body on one line.
func startMonitor(env *testscript.Env) string {
	var mu sync.Mutex
	monitor := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		body, _ := io.ReadAll(r.Body)
		f, err := os.OpenFile(filepath.Join(env.WorkDir, "pings"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			return
		}
		defer f.Close()
		fmt.Fprintf(f, "%s %s %s\n", r.Method, r.URL.Path, strings.ReplaceAll(string(body), "\n", " "))
	}))
	env.Defer(monitor.Close)
	return monitor.URL + "/0f1e2d3c"
}

// hold FILE holds the lock on FILE until the end of the script.
func hold(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: hold FILE")
	}
	f, err := os.OpenFile(ts.MkAbs(args[0]), os.O_RDWR, 0)
	ts.Check(err)
	ts.Defer(func() { f.Close() })
	ts.Check(syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB))
}

// document SCHEMA wants exactly one JSON document of the schema on the last command's stdout.
func document(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: document SCHEMA")
	}
	d := json.NewDecoder(strings.NewReader(ts.ReadFile("stdout")))
	var v struct {
		Schema string `json:"schema"`
	}
	ts.Check(d.Decode(&v))
	if err := d.Decode(&struct{}{}); v.Schema != args[0] || !errors.Is(err, io.EOF) {
		ts.Fatalf("stdout has the schema %q and then %v, want %s alone", v.Schema, err, args[0])
	}
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
