package reach

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// hung accepts connections, as the kernel does for a process that is stopped, and says nothing.
func hung(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

func TestAnswering(t *testing.T) {
	away := httptest.NewServer(http.RedirectHandler("http://127.0.0.1:1/", http.StatusFound)) // where nothing answers
	defer away.Close()
	failing := httptest.NewServer(http.NotFoundHandler())
	defer failing.Close()
	gone := httptest.NewServer(nil)
	gone.Close()
	address := strings.TrimPrefix(failing.URL, "http://")
	places := []string{gone.URL, away.URL, hung(t), address, failing.URL + "/health", "http://%"}
	if at := Answering(t.Context(), places); !slices.Equal(at, []string{away.URL, address, failing.URL + "/health"}) {
		t.Errorf("answering: %q", at)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if at := Answering(ended, places); at == nil || len(at) > 0 {
		t.Errorf("after the end: %q", at)
	}
}

func TestSilent(t *testing.T) {
	up := httptest.NewServer(http.NotFoundHandler())
	defer up.Close()
	if at := Silent(t.Context(), []string{up.URL}, time.Minute); at != nil {
		t.Errorf("silent: %q", at)
	}
	mute := hung(t)
	if at := Silent(t.Context(), []string{mute, up.URL}, time.Millisecond); !slices.Contains(at, mute) {
		t.Errorf("silent: %q", at)
	}
}
