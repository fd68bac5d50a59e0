package exec

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"gwdr/drills"
	"gwdr/fleet"
)

// TestMain makes this test binary an instance that can be broken, and a drill's guard.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && (os.Args[1] == "serve" || os.Args[1] == "guard") {
		run := serveInstance
		if os.Args[1] == "guard" {
			run = watchDrill
		}
		if err := run(os.Args[2], os.Args[3]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// serveInstance answers at addr, says in file which process it is, and ends when its directory is gone.
func serveInstance(addr, file string) error {
	go func() {
		for ; ; time.Sleep(time.Second) {
			if _, err := os.Stat(filepath.Dir(file)); err != nil {
				os.Exit(0)
			}
		}
	}()
	l, err := listen(addr)
	if err != nil {
		return err
	}
	if err := os.WriteFile(file+".new", []byte(strconv.Itoa(os.Getpid())), 0o600); err != nil {
		return err
	}
	if err := os.Rename(file+".new", file); err != nil {
		return err
	}
	return http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") }))
}

func watchDrill(dir, lease string) error {
	limit, err := time.ParseDuration(lease)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	r := &drills.Reverter{Log: log, Open: func(_ context.Context, u fleet.Undo) (fleet.Fleet, error) { return Reopen(u, os.Environ(), log) }}
	_, err = r.Watch(context.Background(), os.Stdin, os.Stdout, dir, limit)
	return err
}

// script is what a user would write for servers of one machine: ID.pid tells the process, ID.addr where it answers.
const script = `#!/bin/sh
set -eu
state() { ps -o stat= -p "$(cat "$1.pid")" | cut -c1; }
down() { case "$(state "$1")" in ""|Z) return 0 ;; *) return 1 ;; esac }
stopped() { test "$(state "$1")" = T; }
start() {
	rm -f "$1.pid"
	"$SERVER" serve "$(cat "$1.addr")" "$PWD/$1.pid" </dev/null >/dev/null 2>&1 &
	until test -e "$1.pid"; do sleep 0.02; done
}
case $DRILL_COMMAND in
list)
	comma=
	printf '['
	for f in *.addr; do
		id=${f%.addr} running=true
		if down "$id"; then running=false; fi
		printf '%s{"id":"%s","region":"%s","running":%s,"url":"http://%s"}' "$comma" "$id" "${id%-*}" $running "$(cat "$f")"
		comma=,
	done
	printf ']\n' ;;
inject)
	for t in $DRILL_TARGETS; do
		case $DRILL_KIND in
		kill) kill -KILL "$(cat "$t.pid")"; until down "$t"; do sleep 0.02; done ;;
		pause) kill -STOP "$(cat "$t.pid")"; until stopped "$t"; do sleep 0.02; done ;;
		esac
	done ;;
verify)
	for t in $DRILL_TARGETS; do
		case $DRILL_KIND in
		kill) down "$t" || exit 1 ;;
		pause) stopped "$t" || exit 1 ;;
		esac
	done
	echo "ps tells it of $DRILL_TARGETS" ;;
revert)
	for t in $DRILL_TARGETS; do
		if down "$t"; then start "$t"; else kill -CONT "$(cat "$t.pid")"; until ! stopped "$t"; do sleep 0.02; done; fi
	done ;;
esac
`

// world is three servers in two regions, and the commands that break them.
type world struct{ dir string }

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t.TempDir()}
	t.Cleanup(w.end)
	w.write(t, "drill.sh", script)
	for _, id := range []string{"us-east-1", "us-east-2", "us-west-1"} {
		w.write(t, id+".addr", freeAddr(t))
		w.start(t, id)
	}
	return w
}

func (w *world) write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// start lets the script do it, as a revert would.
func (w *world) start(t *testing.T, id string) {
	t.Helper()
	w.write(t, id+".pid", "2147483647") // nobody has it
	f := w.fleet(t, nil)
	_, err := f.run(t.Context(), f.commands, f.commands.Revert, request{Command: "revert", Fault: &requestFault{ID: "none", Kind: fleet.Kill},
		Targets: []fleet.Instance{{ID: id}}})
	if err != nil {
		t.Fatal(err)
	}
}

// end ends the servers that this test has started.
func (w *world) end() {
	files, _ := filepath.Glob(filepath.Join(w.dir, "*.pid"))
	for _, file := range files {
		text, _ := os.ReadFile(file)
		if pid, err := strconv.Atoi(string(text)); err == nil && pid > 1 && pid < 1<<31-1 {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

func (w *world) options(change func(*Options)) Options {
	executable, err := os.Executable()
	if err != nil {
		panic(err)
	}
	drill := []string{"./drill.sh"}
	o := Options{Name: "prod", State: filepath.Join(w.dir, "state"), Allow: true, Kinds: []fleet.FaultKind{fleet.Kill, fleet.Pause},
		List: drill, Inject: drill, Verify: drill, Revert: drill, Dir: w.dir, Environ: append(os.Environ(), "SERVER="+executable),
		Pass: []string{"SERVER"}, Timeout: MostTimeout, Log: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&o)
	}
	return o
}

func (w *world) fleet(t *testing.T, change func(*Options)) *Fleet {
	t.Helper()
	f, err := Open(w.options(change))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// instance returns one as the script lists it.
func (w *world) instance(t *testing.T, id string) fleet.Instance {
	t.Helper()
	all, err := w.fleet(t, nil).Instances(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range all {
		if in.ID == id {
			return in
		}
	}
	t.Fatalf("no %s in %+v", id, all)
	return fleet.Instance{}
}

// guard starts a drill's guard, a process of its own, over the fault.
func (w *world) guard(t *testing.T, u fleet.Undo) (beat func() error) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "20260101T000000Z-conformance-0000")
	line, err := json.Marshal(u)
	if err = errors.Join(err, os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, drills.UndoFile), append(line, '\n'), 0o600)); err != nil {
		t.Fatal(err)
	}
	executable := w.options(nil).Environ
	server := executable[len(executable)-1]
	g, err := (&drills.GuardCommand{Args: []string{"env", server, strings.TrimPrefix(server, "SERVER="), "guard"}}).Start(t.Context(), dir, u.Fault.Lease)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // it ends by itself, once it has reverted
		g.Abandon()
		<-g.Gone()
	})
	return g.Beat
}
