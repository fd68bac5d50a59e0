//go:build linux

package gateway

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"gwdr/e2e/shell"
	"gwdr/gateway"
	"gwdr/gateway/native"
)

// server is a gwdr serve. Started again, it has the directory, the addresses and the flags that it had.
type server struct {
	t             testing.TB
	dir           string
	words         []string // of its command, but for what is above and below
	Listen, Admin string
	cmd           *exec.Cmd
	stdin         io.Closer // it ends with the test's process, however that ends
	log           bytes.Buffer
}

// serve starts gwdr serve with the flags, at addresses of its choice.
func serve(t testing.TB, flags ...string) *server {
	t.Helper()
	return serveIn(t, t.TempDir(), append([]string{binary, "serve"}, flags...)...)
}

// serveIn is serve with a directory that is there already, and the whole command.
func serveIn(t testing.TB, dir string, words ...string) *server {
	t.Helper()
	s := &server{t: t, dir: dir, words: words, Listen: "127.0.0.1:0", Admin: "127.0.0.1:0"}
	s.start()
	return s
}

func (s *server) start() {
	s.t.Helper()
	s.launch()
	s.awaitReady()
}

func (s *server) ready() string { return filepath.Join(s.dir, "ready.json") }

// launch starts the process, which may not serve before others run, too.
func (s *server) launch() {
	s.t.Helper()
	if s.cmd == nil {
		s.t.Cleanup(s.close)
	}
	if err := os.RemoveAll(s.ready()); err != nil {
		s.t.Fatal(err)
	}
	words := append(s.words[:len(s.words):len(s.words)], "--data", s.dir, "--listen", s.Listen, "--admin", s.Admin,
		"--ready-file", s.ready(), "--exit-on-stdin-eof")
	s.cmd = exec.Command(words[0], words[1:]...)
	s.cmd.Env, s.cmd.Stderr = []string{"HOME=" + s.dir}, &s.log
	var err error
	if s.stdin, err = s.cmd.StdinPipe(); err != nil {
		s.t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) awaitReady() {
	s.t.Helper()
	shell.Eventually(s.t, 30*time.Second, func() error {
		text, err := os.ReadFile(s.ready())
		if err != nil {
			return err
		}
		return json.Unmarshal(text, s)
	})
}

// close ends the process, and tells what it said if the test failed.
func (s *server) close() {
	s.end(syscall.SIGTERM)
	if s.t.Failed() {
		s.t.Logf("%v:\n%s", s.words[1:], s.log.String())
	}
}

// end sends the signal and waits for the end. What has ended already stays ended.
func (s *server) end(how syscall.Signal) {
	s.t.Helper()
	if s.cmd.ProcessState != nil {
		return
	}
	if err := s.cmd.Process.Signal(how); err != nil {
		s.t.Error(err)
	}
	defer s.stdin.Close()
	if err := s.cmd.Wait(); how != syscall.SIGKILL && s.cmd.ProcessState.ExitCode() != 0 && s.cmd.ProcessState.ExitCode() != 130 {
		s.t.Errorf("gwdr serve: %v\n%s", err, s.log.String())
	}
}

func (s *server) client() *native.Client { return &native.Client{URL: "http://" + s.Admin} }

// put stores what is at the references kind/id: a body of the gateway's, or JSON as it is.
func (s *server) put(kind gateway.Kind, id string, body any) {
	s.t.Helper()
	if _, err := s.client().Put(s.t.Context(), entity(kind, id, body), gateway.Condition{}); err != nil {
		s.t.Fatal(err)
	}
}

func entity(kind gateway.Kind, id string, body any) gateway.Entity {
	text, isText := body.(string)
	if !isText {
		text = string(gateway.Encode(body))
	}
	return gateway.Entity{Ref: gateway.Ref{Kind: kind, ID: id}, Body: []byte(text)}
}

// issue makes an API key.
func (s *server) issue(scopes ...string) native.Issued {
	s.t.Helper()
	key, err := s.client().IssueKey(s.t.Context(), "", scopes, time.Time{})
	if err != nil {
		s.t.Fatal(err)
	}
	return key
}

// awaits waits until the data plane answers a GET with the status.
func (s *server) awaits(path, token string, want int) {
	s.t.Helper()
	shell.Eventually(s.t, 30*time.Second, func() error {
		got, err := s.get(path, token)
		if err == nil && got != want {
			err = fmt.Errorf("GET %s: status %d, want %d", path, got, want)
		}
		return err
	})
}

// get asks the data plane by a connection of its own.
func (s *server) get(path, token string) (status int, err error) {
	req, err := http.NewRequest(http.MethodGet, "http://"+s.Listen+path, nil)
	if err != nil {
		return 0, err
	}
	req.Close = true
	if token != "" {
		req.Header.Set("X-Api-Key", token)
	}
	resp, err := once.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

var once = &http.Client{Timeout: 5 * time.Second}

// endpoints is a list of them that serve at the addresses.
func endpoints(addresses ...string) (list []gateway.Endpoint) {
	for i, a := range addresses {
		list = append(list, gateway.Endpoint{URL: "http://" + a, Priority: i})
	}
	return list
}
