package lab

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// glass is a `gwdr serve` that a test starts, watches, and ends as it likes.
type glass struct {
	served
	u     *user
	cmd   *exec.Cmd
	stdin io.Closer
	log   string
	ended chan struct{} // closed when the process has
}

// serveFrom starts a gateway in a directory of its own, with further arguments, and returns once it serves.
func (u *user) serveFrom(name string, args ...string) *glass {
	u.t.Helper()
	ready := filepath.Join(u.home, name+".ready")
	os.Remove(ready)
	log := u.log(name)
	defer log.Close()
	cmd := exec.Command(binary, append([]string{"serve", "--data", filepath.Join(u.home, name), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0",
		"--ready-file", ready, "--exit-on-stdin-eof"}, args...)...)
	cmd.Dir, cmd.Env, cmd.Stderr = u.home, u.env, log
	stdin, err := cmd.StdinPipe()
	if err != nil {
		u.t.Fatal(err)
	}
	g := &glass{u: u, cmd: cmd, stdin: stdin, log: log.Name(), ended: make(chan struct{})}
	if err := cmd.Start(); err != nil {
		u.t.Fatal(err)
	}
	go func() {
		defer close(g.ended)
		cmd.Wait()
	}()
	u.t.Cleanup(g.stop)
	for {
		raw, err := os.ReadFile(ready)
		var at struct{ Listen, Admin string }
		if err == nil && json.Unmarshal(raw, &at) == nil {
			g.served = served{cmd.Process.Pid, "http://" + at.Listen, "http://" + at.Admin}
			return g
		}
		select {
		case <-g.ended:
			u.t.Fatalf("gateway %s ended: %s", name, g.stderr())
		case <-time.After(time.Millisecond):
		}
	}
}

// stop ends the gateway, and waits for that.
func (g *glass) stop() {
	g.stdin.Close()
	<-g.ended
}

func (g *glass) stderr() string {
	raw, _ := os.ReadFile(g.log)
	return string(raw)
}

// get returns the status of a request at the data plane, or 0.
func (g *glass) get(path, token string) int {
	req, err := http.NewRequest(http.MethodGet, g.listen+path, nil)
	if err != nil {
		g.u.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}
