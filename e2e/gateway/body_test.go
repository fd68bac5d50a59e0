//go:build linux

package gateway

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"gwdr/e2e/shell"
	"gwdr/gateway"
)

// A large body passes through, whether its length is known or not, and is at no time in memory.
func TestLargeBody(t *testing.T) {
	shell.New(t, binary)
	target := newTarget(t)
	const large, most = 100 << 20, 16 << 20
	for name, length := range map[string]int64{"length": large, "chunks": -1} {
		bytes, peak := target.bytes.Load(), target.peak()
		body := io.LimitReader(zeros{}, large)
		req, err := http.NewRequest(http.MethodPost, "http://"+target.Listen+"/open", body)
		if err != nil {
			t.Fatal(err)
		}
		req.ContentLength = length
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got := target.bytes.Load() - bytes; resp.StatusCode != 200 || got != large {
			t.Errorf("%s: status %d, %d bytes reached the backend", name, resp.StatusCode, got)
		}
		if more := target.peak() - peak; more > most {
			t.Errorf("%s: the gateway took %d MiB of memory for it", name, more>>20)
		}
		target.isWell(t, target.whole.Load())
	}
}

// A body that is larger than its route lets pass is refused, at once where that is said, and reaches no backend as if it were whole.
func TestBodyTooLarge(t *testing.T) {
	shell.New(t, binary)
	target := newTarget(t)
	target.put(gateway.Route, "small", `{"path":"/small","upstream":"back","auth":"none","max_body":1000}`)
	target.awaits("/small", "", 200)
	for _, sent := range []string{
		fmt.Sprintf("Content-Length: %d\r\n\r\n", 100<<20),
		"Transfer-Encoding: chunked\r\n\r\nfff\r\n" + strings.Repeat("x", 0xfff) + "\r\n0\r\n\r\n",
	} {
		before := target.whole.Load()
		if got, err := target.send("POST /small HTTP/1.1\r\nHost: a\r\n" + sent); err != nil || got != 413 {
			t.Errorf("%.40q: status %d, %v, want 413", sent, got, err)
		}
		target.isWell(t, before)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// peak is the most memory that the process has had, in bytes, by proc_pid_status(5).
func (s *server) peak() (size int) {
	s.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		s.t.Fatal(err)
	}
	_, line, _ := bytes.Cut(text, []byte("VmHWM:"))
	if _, err := fmt.Sscanf(string(line), "%d kB", &size); err != nil {
		s.t.Fatal(err)
	}
	return size << 10
}
