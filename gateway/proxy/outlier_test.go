package proxy

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gwdr/gateway"
)

func withOutlier(o gateway.Outlier) func(*gateway.UpstreamBody) {
	return func(b *gateway.UpstreamBody) { b.Outlier = &o }
}

func TestEjectionsGrowAndAreForgiven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := balanced(t, "", withOutlier(gateway.Outlier{Failures: 2}), 1, 1)
		e := u.endpoints[0]
		lasts := func() (d time.Duration) {
			for range 2 {
				u.answered(e, 503)
			}
			for ; e.isEjected(time.Now()); d += time.Second {
				u.answered(e, 200) // of a request from before: it does not bring it back
				time.Sleep(time.Second)
			}
			return d
		}
		for i := range 13 {
			if got, want := lasts(), time.Duration(min(i+1, longest))*time.Second; got != want {
				t.Fatalf("ejection %d lasts %s, want %s", i+1, got, want)
			}
		}
		time.Sleep(110 * time.Second) // makes up for eleven of thirteen
		if got := lasts(); got != 3*time.Second {
			t.Errorf("after a good time: %s", got)
		}
	})
}

func TestBadAnswersEjectOnlyByPolicy(t *testing.T) {
	plain, strict := balanced(t, "", nil, 1, 1), balanced(t, "", withOutlier(gateway.Outlier{}), 1, 1)
	for _, u := range []*upstream{plain, strict} {
		e := u.endpoints[0]
		for _, status := range []int{500, 502, 404, 503, 504, 500} {
			u.answered(e, status)
		}
	}
	if plain.endpoints[0].isEjected(time.Now()) || !strict.endpoints[0].isEjected(time.Now()) {
		t.Error("without a policy, or with one, three bad answers in a row do something else")
	}
}

func TestEjectionsHaveACap(t *testing.T) {
	for percent, want := range map[int]int{0: 2, 20: 1, 100: 5, 10: 0} {
		u := balanced(t, "", withOutlier(gateway.Outlier{MaxEjected: percent}), 1, 1, 1, 1, 1)
		for _, e := range u.endpoints {
			u.failed(e, true)
		}
		if got := u.ejected(time.Now()); got != want {
			t.Errorf("at most %d%%: %d of 5 are ejected, want %d", percent, got, want)
		}
	}
	u := balanced(t, "", withOutlier(gateway.Outlier{MaxEjected: 100}), 1)
	u.failed(u.endpoints[0], true)
	if e := u.pick(0, nil); e != nil {
		t.Error("what is ejected by a policy is picked")
	}
	if got := u.comesBack(); got <= 0 || got > time.Second {
		t.Errorf("it comes back in %s", got)
	}
}

// TestWhatIsUnderWayIsCounted until the end of the response: also when it is broken off, never comes, or is an upgrade.
func TestWhatIsUnderWayIsCounted(t *testing.T) {
	release := make(chan struct{})
	back := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/abort":
			panic(http.ErrAbortHandler)
		case "/torn":
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, "begun")
			return
		case "/hang":
			<-r.Context().Done()
			return
		case "/upgrade":
			conn, buf, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
			buf.ReadString('\n')
			return
		}
		io.WriteString(w, "begun")
		http.NewResponseController(w).Flush()
		<-release
	}))
	t.Cleanup(back.Close)
	body := bodyOf(back.URL)
	body.Timeout = 200 * ms
	g := newGateway(t, Options{}, entity(gateway.Upstream, "u", body), open("r", "/{x...}", "u"))
	url := serve(t, g)
	under := &g.live.Load().upstreams["u"].endpoints[0].load.inFlight
	over := func(what string) {
		t.Helper()
		eventually(t, what+" is over", func() bool { return under.Load() == 0 })
	}
	for _, path := range []string{"/abort", "/torn", "/hang"} {
		if resp, err := http.Get(url + path); err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
		over(path)
	}
	resp, err := http.Get(url + "/stream")
	if err != nil {
		t.Fatal(err)
	}
	if under.Load() != 1 {
		t.Errorf("%d while a stream is open", under.Load())
	}
	close(release)
	resp.Body.Close()
	over("stream")
	testUpgradeIsCounted(t, url, under)
	over("upgrade")
}

func testUpgradeIsCounted(t *testing.T, url string, under *atomic.Int64) {
	conn, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "GET /upgrade HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
	if resp, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || resp.StatusCode != 101 {
		t.Fatalf("%v, %v", resp, err)
	}
	if under.Load() != 1 {
		t.Errorf("%d while an upgraded connection is open", under.Load())
	}
	io.WriteString(conn, "bye\n")
}
