package process

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestMain makes this test binary what the lab runs: a supervisor, links and an echo upstream that are the real ones, and
// a gateway that does only what the lab needs to see.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && (os.Args[1] == "lab" || os.Args[1] == "serve") {
		if err := runChild(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func runChild(args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	flags := flag.NewFlagSet(args[1], flag.ContinueOnError)
	dir, topology := flags.String("dir", "", ""), flags.String("topology", "", "")
	bytes := flags.Int64("bytes", 0, "")
	file := flags.String("file", "", "")
	flags.String("log-level", "", "")
	owner, untilEOF := flags.Bool("owner-stdin", false, ""), flags.Bool("exit-on-stdin-eof", false, "")
	if args[0] == "serve" {
		return fakeGateway(ctx, args[1:])
	}
	if err := flags.Parse(args[2:]); err != nil {
		return err
	}
	if *untilEOF {
		exitAtEOF()
	}
	switch args[1] {
	case "supervise":
		s := Supervision{Dir: *dir, Executable: executablePath(), Ready: os.Stdout, Log: log}
		if *owner {
			s.Owner = os.Stdin
		}
		if err := json.Unmarshal([]byte(*topology), &s.Topology); err != nil {
			return err
		}
		return Supervise(ctx, s)
	case "links":
		return RunLinks(ctx, *file, log)
	case "press":
		return RunPressure(ctx, *bytes)
	case "echo":
		return RunEcho(ctx, *file)
	}
	return fmt.Errorf("unknown command %q", args)
}

func executablePath() string {
	path, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return path
}

func exitAtEOF() {
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
}

// fakeGateway has a store that is a file, knows when it was taken away, and takes a "restore".
func fakeGateway(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("serve", flag.ContinueOnError)
	values := map[string]*string{}
	for _, name := range []string{
		"role", "data", "admin", "listen", "token-file", "control-token-file", "instance", "region", "replication",
		"peer", "control", "drain", "clock-file", "cluster",
	} {
		values[name] = flags.String(name, "", "")
	}
	flags.Bool("leader", false, "")
	untilEOF := flags.Bool("exit-on-stdin-eof", false, "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *untilEOF {
		exitAtEOF()
	}
	member := newFakeMember(*values["region"], *values["cluster"])
	if err := member.listen(ctx); err != nil {
		return err
	}
	store := fakeStore{*values["data"]}
	if *values["role"] == "control" {
		if err := store.open(); err != nil {
			return err
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, r *http.Request) {
		json.NewEncoder(w).Encode(map[string]string{"mode": store.mode()})
	})
	mux.HandleFunc("POST /v1/apply", member.quorum(func(w http.ResponseWriter, r *http.Request) {
		store.restore()
		w.Write([]byte("{}"))
	}))
	mux.HandleFunc("GET /health", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /ready", func(http.ResponseWriter, *http.Request) {})
	if listen := *values["listen"]; listen != "" {
		l, err := net.Listen("tcp", listen)
		if err != nil {
			return err
		}
		go serveOn(ctx, l, fakeClock(*values["clock-file"]))
	}
	return serve(ctx, *values["admin"], mux)
}

// fakeClock answers with the time of a clock that may be set wrong.
func fakeClock(file string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		text, _ := os.ReadFile(file)
		offset, _ := time.ParseDuration(string(text))
		w.Header().Set("Date", time.Now().Add(offset).UTC().Format(http.TimeFormat))
	}
}

type fakeStore struct{ dir string }

func (s fakeStore) content() string  { return filepath.Join(s.dir, "store", "content") }
func (s fakeStore) identity() string { return filepath.Join(s.dir, "store-id") }

func (s fakeStore) open() error {
	_, err := os.Stat(s.identity())
	if errors.Is(err, fs.ErrNotExist) {
		return s.restore()
	}
	return os.MkdirAll(filepath.Dir(s.content()), 0o700)
}

func (s fakeStore) restore() error {
	return errors.Join(os.MkdirAll(filepath.Dir(s.content()), 0o700),
		os.WriteFile(s.content(), []byte(time.Now().String()), 0o600), os.WriteFile(s.identity(), []byte(rand.Text()+" 1\n"), 0o600))
}

func (s fakeStore) mode() string {
	if _, err := os.Stat(s.content()); err != nil {
		return modeBlank
	}
	return "leader"
}
