package proxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gwdr/gateway"
)

const ms = gateway.Duration(time.Millisecond)

// checked is an upstream body with active checks as an edge has them, but faster.
func checked(urls ...string) gateway.UpstreamBody {
	body := bodyOf(urls...)
	body.Health = gateway.HealthCheck{Path: "/health", Interval: 10 * ms, Timeout: 200 * ms, Unhealthy: 2}
	return body
}

func TestRoundRobinSpreads(t *testing.T) {
	a, b, c := backend(t, "a"), backend(t, "b"), backend(t, "c")
	url := serve(t, newGateway(t, Options{}, upstreamOf("u", a.URL, b.URL, c.URL), open("r", "/", "u")))
	seen := map[string]int{}
	for range 30 {
		seen[get(t, url).Backend]++
	}
	if seen["a"] != 10 || seen["b"] != 10 || seen["c"] != 10 {
		t.Errorf("spread is %v", seen)
	}
}

func TestDeadEndpointCostsNoRequest(t *testing.T) {
	a := backend(t, "a")
	g := newGateway(t, Options{}, upstreamOf("u", deadURL(t), a.URL), open("r", "/{x...}", "u"))
	url, began := serve(t, g), time.Now()
	for i := range 20 {
		method, body := http.MethodGet, ""
		if i%2 == 0 { // no endpoint has seen it, so that even this may be made again
			method, body = http.MethodPost, strings.Repeat("x", 200<<10)
		}
		if got := do(t, method, url+"/p", body); got.Status != 200 || !strings.HasSuffix(got.Body, body) {
			t.Fatalf("%s: %d", method, got.Status)
		}
	}
	if retries, took := counted(t, g.metrics.retries), time.Since(began); retries < 1 || retries > 1+took.Seconds() { // it is tried again each second
		t.Errorf("%v retries in %s: the dead endpoint was not passed over", retries, took)
	}
}

// breaking is a server that drops the connection of each request once it has read it.
func breaking(t *testing.T) (url string, requests *atomic.Int32) {
	requests = new(atomic.Int32)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		_, _ = io.Copy(io.Discard, r.Body)
		panic(http.ErrAbortHandler)
	}))
	t.Cleanup(server.Close)
	return server.URL, requests
}

func TestRetryAfterABrokenConnection(t *testing.T) {
	for name, c := range map[string]struct {
		method string
		size   int
		status int
	}{
		"get":                         {"GET", 0, 200},
		"head":                        {"HEAD", 0, 200},
		"delete":                      {"DELETE", 0, 200},
		"put":                         {"PUT", 1000, 200},
		"put as large as can be kept": {"PUT", replayLimit, 200},
		"put too large":               {"PUT", replayLimit + 1, 502},
		"post":                        {"POST", 10, 502},
		"empty post":                  {"POST", 0, 502},
		"patch":                       {"PATCH", 10, 502},
	} {
		t.Run(name, func(t *testing.T) {
			bad, requests := breaking(t)
			good := backend(t, "good")
			body := bodyOf(bad, good.URL)
			body.Balance = gateway.Failover
			url := serve(t, newGateway(t, Options{}, entity(gateway.Upstream, "u", body), open("r", "/", "u")))
			got := do(t, c.method, url, strings.Repeat("x", c.size))
			if got.Status != c.status || requests.Load() != 1 {
				t.Errorf("status %d, broken endpoint asked %d times", got.Status, requests.Load())
			}
			if c.status == 200 && c.method != "HEAD" && len(got.Body) != len(c.method)+len(" / ")+c.size {
				t.Errorf("body came as %d bytes", len(got.Body))
			}
		})
	}
}

func TestRetriesHaveAnEnd(t *testing.T) {
	for retries, want := range map[int]int32{-1: 1, 0: 3, 1: 2, 3: 4} {
		var total int32
		var urls []string
		var counts []*atomic.Int32
		for range 5 {
			url, n := breaking(t)
			urls, counts = append(urls, url), append(counts, n)
		}
		body := bodyOf(urls...)
		body.Retries = retries
		url := serve(t, newGateway(t, Options{}, entity(gateway.Upstream, "u", body), open("r", "/", "u")))
		if got := get(t, url); got.Status != 502 {
			t.Errorf("status %d", got.Status)
		}
		for _, n := range counts {
			total += n.Load()
		}
		if total != want {
			t.Errorf("retries %d: %d attempts, want %d", retries, total, want)
		}
	}
}

func TestEndpointKilledMidway(t *testing.T) {
	var servers []*httptest.Server
	var urls []string
	for _, name := range []string{"a", "b"} {
		s := backend(t, name)
		servers, urls = append(servers, s), append(urls, s.URL)
	}
	url := serve(t, newGateway(t, Options{}, entity(gateway.Upstream, "u", checked(urls...)), open("r", "/", "u")))
	var clients sync.WaitGroup
	var failed, done atomic.Int32
	for range 8 {
		clients.Go(func() {
			for range 200 {
				if got := get(t, url); got.Status != 200 {
					failed.Add(1)
				}
				if done.Add(1) == 400 {
					servers[0].Listener.Close()
					servers[0].CloseClientConnections()
				}
			}
		})
	}
	clients.Wait()
	if failed.Load() != 0 {
		t.Errorf("%d of %d idempotent requests failed", failed.Load(), done.Load())
	}
}

func TestFailoverAndFailback(t *testing.T) {
	first, second := newSwitch(t, "first"), newSwitch(t, "second")
	body := checked(first.url, second.url)
	body.Balance = gateway.Failover
	g := newGateway(t, Options{}, entity(gateway.Upstream, "u", body), open("r", "/", "u"))
	url := serve(t, g)
	for _, step := range []struct {
		first, second mode
		want          string
	}{{answering, answering, "first"}, {unready, answering, "second"}, {answering, answering, "first"},
		{refusing, answering, "second"}, {answering, answering, "first"}, {hanging, answering, "second"},
		{answering, hanging, "first"}} {
		first.set(step.first)
		second.set(step.second)
		eventually(t, fmt.Sprintf("%s serves", step.want), func() bool { return get(t, url).Backend == step.want })
		for range 5 {
			if got := get(t, url); got.Backend != step.want {
				t.Fatalf("%+v: %s serves", step, got.Backend)
			}
		}
	}
}

func TestWhenNoneIsHealthy(t *testing.T) {
	only := newSwitch(t, "only")
	only.set(unready)
	closed, opened := checked(only.url), checked(only.url)
	opened.AllUnhealthy = gateway.FailOpen
	g := newGateway(t, Options{}, entity(gateway.Upstream, "closed", closed), entity(gateway.Upstream, "open", opened),
		open("closed", "/closed", "closed"), open("open", "/open", "open"))
	url := serve(t, g)
	eventually(t, "unhealthy", func() bool { return !g.Status().Endpoints[0].Healthy && !g.Status().Endpoints[1].Healthy })
	if got := get(t, url+"/open"); got.Backend != "only" {
		t.Errorf("open: %d %s", got.Status, got.Body)
	}
	if got := get(t, url+"/closed"); got.Status != 503 || got.Backend != "" || got.Header.Get("Retry-After") != "1" {
		t.Errorf("closed: %d %s, to come again after %q", got.Status, got.Body, got.Header.Get("Retry-After"))
	}
}

// An endpoint that nothing but its requests speaks against is tried when there is no other, unless a policy says otherwise.
func TestDeadEndpointIsTriedWhenItIsAlone(t *testing.T) {
	only := newSwitch(t, "only")
	url := serve(t, newGateway(t, Options{}, upstreamOf("u", only.url), open("r", "/", "u")))
	only.set(refusing)
	if got := get(t, url); got.Status != 502 {
		t.Errorf("down: %d", got.Status)
	}
	only.set(answering)
	if got := get(t, url); got.Backend != "only" {
		t.Errorf("up again: %d %s", got.Status, got.Body)
	}
}

func TestRequestLeavesAnEndpointThatFallsSilent(t *testing.T) {
	first, second := newSwitch(t, "first"), newSwitch(t, "second")
	body := checked(first.url, second.url)
	body.Balance, body.Timeout = gateway.Failover, gateway.Duration(time.Hour)
	url := serve(t, newGateway(t, Options{}, entity(gateway.Upstream, "u", body), open("r", "/", "u")))
	first.set(hanging)
	if got := get(t, url); got.Backend != "second" { // sent before the checks could tell
		t.Errorf("%d %s", got.Status, got.Body)
	}
}

func TestTimeouts(t *testing.T) {
	hung := newSwitch(t, "hung")
	hung.set(hanging)
	slow := bodyOf(hung.url)
	slow.Timeout = gateway.Duration(time.Hour)
	quick := bodyOf(hung.url)
	quick.Timeout = 30 * ms
	url := serve(t, newGateway(t, Options{}, entity(gateway.Upstream, "slow", slow), entity(gateway.Upstream, "quick", quick),
		open("upstream", "/upstream", "quick"), entity(gateway.Route, "route",
			gateway.RouteBody{Path: "/route", Upstream: "slow", Auth: gateway.AuthNone, Timeout: 30 * ms})))
	for _, path := range []string{"/upstream", "/route"} {
		if got := get(t, url+path); got.Status != 504 {
			t.Errorf("%s: %d %s", path, got.Status, got.Body)
		}
	}
}

func TestClientThatLeavesIsNoFailureOfTheEndpoint(t *testing.T) {
	hung := newSwitch(t, "hung")
	hung.set(hanging)
	g := newGateway(t, Options{}, upstreamOf("u", hung.url), open("r", "/", "u"))
	url := serve(t, g)
	for range gateway.BrokenLimit + 1 {
		ctx, cancel := context.WithCancel(t.Context())
		req, _ := http.NewRequestWithContext(ctx, "GET", url, nil)
		gone := make(chan struct{})
		go func() {
			_, _ = http.DefaultTransport.RoundTrip(req)
			close(gone)
		}()
		hung.await()
		cancel()
		<-gone
	}
	eventually(t, "all requests are over", func() bool { return counted(t, g.metrics.classes[4]) == gateway.BrokenLimit+1 })
	if !g.Status().Endpoints[0].Healthy {
		t.Error("the endpoint is passed over")
	}
}

// Neither is a client that does not send the whole request. It gets its answer even while it keeps its end open.
func TestUnfinishedRequestIsNoFailureOfTheEndpoint(t *testing.T) {
	body := bodyOf(backend(t, "a").URL)
	body.Timeout = gateway.Duration(time.Hour)
	g := newGateway(t, Options{}, entity(gateway.Upstream, "u", body), open("patient", "/patient", "u"), entity(gateway.Route, "r",
		gateway.RouteBody{Path: "/", Upstream: "u", Auth: gateway.AuthNone, Timeout: 100 * ms}))
	address := strings.TrimPrefix(serve(t, g), "http://")
	for name, c := range map[string]struct{ request, header, status string }{
		"stops":      {"POST /", "Content-Length: 100\r\n\r\nbegun", "408"},
		"stops kept": {"PUT /", "Content-Length: 100\r\n\r\nbegun", "408"},
		"malformed":  {"POST /patient", "Transfer-Encoding: chunked\r\n\r\n5\r\nbegun\r\nno chunk\r\n", "400"},
	} {
		for range gateway.BrokenLimit {
			conn, err := net.Dial("tcp", address)
			if err == nil {
				err = conn.SetDeadline(time.Now().Add(10 * time.Second))
			}
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: a\r\n%s", c.request, c.header)
			answer, err := io.ReadAll(conn) // the connection cannot be used again
			if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 "+c.status+" ") {
				t.Errorf("%s: %q, %v", name, answer, err)
			}
			conn.Close()
		}
		if !g.Status().Endpoints[0].Healthy {
			t.Errorf("%s: the endpoint is passed over", name)
		}
	}
}

func TestHealthThresholds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u, err := newUpstream("u", gateway.Encode(gateway.UpstreamBody{Endpoints: []gateway.Endpoint{{URL: "http://x"}},
			Health: gateway.HealthCheck{Path: "/", Unhealthy: 3, Healthy: 2}}))
		if err != nil {
			t.Fatal(err)
		}
		e := u.endpoints[0]
		c := &checker{upstream: u, endpoint: e, changed: func(*upstream, *endpoint, bool) {}}
		for i, step := range []struct {
			outcome outcome
			healthy bool
		}{{failed, true}, {silent, true}, {passed, true}, {failed, true}, {failed, true}, {silent, false}, {passed, false},
			{failed, false}, {passed, false}, {passed, true}} {
			c.note(step.outcome)
			if e.usable() != step.healthy {
				t.Fatalf("step %d: usable is %v", i, e.usable())
			}
		}
		u.failed(e, true)
		if e.usable() {
			t.Error("an endpoint out of reach is used")
		}
		c.note(passed)
		if !e.usable() {
			t.Error("checks that pass do not bring it back")
		}
		u.failed(e, true)
		time.Sleep(u.outlier.ejection)
		if !e.usable() {
			t.Error("it does not come back by itself")
		}
		u.failed(e, false)
		u.failed(e, false)
		u.worked(e)
		u.failed(e, false)
		if u.failed(e, false); !e.usable() {
			t.Error("failures that are not in a row count")
		}
		if u.failed(e, false); e.usable() {
			t.Error("failures in a row do not count")
		}
	})
}

func TestReplacedUpstreamKeepsWhatIsKnown(t *testing.T) {
	down, up := newSwitch(t, "down"), newSwitch(t, "up")
	down.set(unready)
	body := checked(down.url, up.url)
	g := newGateway(t, Options{}, entity(gateway.Upstream, "u", body), open("r", "/", "u"))
	eventually(t, "unhealthy", func() bool { return !g.Status().Endpoints[0].Healthy })
	body.Retries = 1
	body.Health.Interval = gateway.Duration(time.Hour)
	down.set(hanging) // so that the first check of the new one tells nothing soon
	update := gateway.Change{Op: gateway.Update, Entity: entity(gateway.Upstream, "u", body)}
	if err := g.Update(gateway.Batch{Revision: 2, Changes: []gateway.Change{update}}); err != nil {
		t.Fatal(err)
	}
	if s := g.Status().Endpoints; s[0].Healthy || !s[1].Healthy {
		t.Errorf("endpoints are %+v", s)
	}
}

// mode is how a switch behaves.
type mode int

const (
	answering mode = iota
	unready        // /health answers 503
	refusing       // nobody listens
	hanging        // connects, but never answers, as a stopped process
)

// switched is an upstream whose behaviour can be changed.
type switched struct {
	t       *testing.T
	name    string
	url     string
	mode    atomic.Int32
	arrived chan struct{}
	release chan struct{} // closed at the end of the test
	mu      sync.Mutex
	server  *http.Server
}

func newSwitch(t *testing.T, name string) *switched {
	s := &switched{t: t, name: name, arrived: make(chan struct{}, 1000), release: make(chan struct{})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.url = "http://" + l.Addr().String()
	s.listen(l)
	t.Cleanup(func() {
		close(s.release)
		s.server.Close()
	})
	return s
}

func (s *switched) listen(l net.Listener) {
	s.server = &http.Server{Handler: s}
	go s.server.Serve(l)
}

func (s *switched) set(m mode) {
	s.t.Helper()
	old := mode(s.mode.Swap(int32(m)))
	if old == refusing && m != refusing {
		l, err := net.Listen("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			s.t.Fatal(err)
		}
		s.listen(l)
	}
	if m == refusing && old != refusing {
		s.server.Close()
	}
}

// await returns once another request hangs.
func (s *switched) await() { <-s.arrived }

func (s *switched) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch m := mode(s.mode.Load()); {
	case m == hanging:
		s.arrived <- struct{}{}
		select {
		case <-r.Context().Done():
		case <-s.release:
		}
	case m == unready && r.URL.Path == "/health":
		w.WriteHeader(http.StatusServiceUnavailable)
	default:
		w.Header().Set("X-Backend", s.name)
		w.WriteHeader(http.StatusOK)
	}
}

func TestPutOnADeadIdleConnection(t *testing.T) {
	// a server that closes each connection after its first answer, without saying so
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			req, err := http.ReadRequest(bufio.NewReader(conn))
			if err == nil {
				_, _ = io.Copy(io.Discard, req.Body)
				io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			}
			conn.Close()
		}
	}()
	url := serve(t, newGateway(t, Options{}, upstreamOf("u", "http://"+l.Addr().String()), open("r", "/", "u")))
	for range 50 {
		if got := do(t, "PUT", url, "body"); got.Status != 200 {
			t.Fatalf("%d %s", got.Status, got.Body)
		}
	}
}
