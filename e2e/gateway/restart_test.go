//go:build linux

package gateway

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gwdr/e2e/shell"
	"gwdr/gateway"
)

// Each data plane of a fleet behind an edge is stopped and started again, one after the other, and no request fails: neither those that
// may be made twice, nor those that may not, of which each is made once.
func TestRollingRestart(t *testing.T) {
	shell.New(t, binary)
	for _, balance := range []string{gateway.RoundRobin, gateway.Failover} {
		t.Run(balance, func(t *testing.T) {
			f := newFleet(t, balance)
			traffic := f.load()
			for i, s := range f.data {
				traffic.more(200)
				s.end(syscall.SIGTERM)
				s.start()
				s.awaits("/.gwdr/ready", "", 200)
				f.takesBack(i)
			}
			traffic.more(200)
			traffic.end()
		})
	}
}

// fleet is three data planes of one control plane, behind an edge.
type fleet struct {
	t     *testing.T
	token string
	data  []*server
	edge  *server
	shop  *shop
}

func newFleet(t *testing.T, balance string) *fleet {
	t.Helper()
	f := &fleet{t: t, shop: &shop{served: map[string]int{}}}
	back := httptest.NewServer(f.shop)
	t.Cleanup(back.Close)
	control := serve(t, "--role", "control")
	control.put(gateway.Upstream, "shop", gateway.UpstreamBody{Endpoints: endpoints(back.Listener.Addr().String())})
	control.put(gateway.Route, "orders", gateway.RouteBody{Path: "/orders/{id}", Upstream: "shop"})
	f.token = control.issue().Token
	var addresses []string
	for range 3 {
		s := serve(t, "--role", "data", "--control", "http://"+control.Admin, "--drain-notice", "1s")
		s.awaits("/orders/first", f.token, 200)
		f.data, addresses = append(f.data, s), append(addresses, s.Listen)
	}
	f.edge = edge(t, gateway.UpstreamBody{Endpoints: endpoints(addresses...), Balance: balance,
		Health: gateway.HealthCheck{Path: "/.gwdr/ready", Interval: gateway.Duration(50 * time.Millisecond), Timeout: gateway.Duration(2 * time.Second)}})
	f.edge.awaits("/orders/first", f.token, 200)
	return f
}

// edge is a data plane without a control plane that passes everything on to the upstream.
func edge(t *testing.T, to gateway.UpstreamBody) *server {
	t.Helper()
	dir := t.TempDir()
	file, err := os.Create(filepath.Join(dir, "last-good.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	err = gateway.WriteStream(file, gateway.Header{Store: "edge", Revision: 1, Epoch: 1, Time: time.Now()}, gateway.NewState(
		entity(gateway.Upstream, "fleet", to),
		entity(gateway.Route, "all", gateway.RouteBody{Path: "/{rest...}", Upstream: "fleet", Auth: gateway.AuthNone})))
	if err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	return serveIn(t, dir, binary, "serve", "--role", "data")
}

// takesBack waits until the edge sends requests to the data plane.
func (f *fleet) takesBack(i int) {
	f.t.Helper()
	shell.Eventually(f.t, 20*time.Second, func() error {
		all, err := f.edge.client().Endpoints(f.t.Context())
		if err == nil && !all[i].Healthy {
			err = fmt.Errorf("%+v", all[i])
		}
		return err
	})
}

// shop is the backend: it counts the orders.
type shop struct {
	mu     sync.Mutex
	served map[string]int // by id of the order
}

func (s *shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Method == http.MethodPost {
		s.served[r.URL.Path]++
	}
}

// traffic is clients that ask again once they have an answer, by connections that they keep.
type traffic struct {
	fleet   *fleet
	stop    chan struct{}
	running sync.WaitGroup
	mu      sync.Mutex
	done    int
	failed  map[string]int
	posted  map[string]bool // orders that were acknowledged
}

const clients = 4 // of each method

func (f *fleet) load() *traffic {
	t := &traffic{fleet: f, stop: make(chan struct{}), failed: map[string]int{}, posted: map[string]bool{}}
	for i := range clients {
		t.running.Go(func() { t.ask(http.MethodGet, i) })
		t.running.Go(func() { t.ask(http.MethodPost, i) })
	}
	return t
}

func (t *traffic) ask(method string, client int) {
	c := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{}}
	defer c.CloseIdleConnections()
	for n := 0; ; n++ {
		select {
		case <-t.stop:
			return
		default:
		}
		order := fmt.Sprintf("/orders/%d-%d", client, n)
		t.note(method, order, t.once(c, method, order))
	}
}

// once makes one request, and says why it was no success.
func (t *traffic) once(c *http.Client, method, order string) string {
	var body io.Reader
	if method == http.MethodPost {
		body = struct{ io.Reader }{strings.NewReader(`{"item":"tea"}`)} // of a type that no transport could send twice
	}
	req, err := http.NewRequest(method, "http://"+t.fleet.edge.Listen+order, body)
	if err != nil {
		return err.Error()
	}
	req.Header.Set("Authorization", "Bearer "+t.fleet.token)
	resp, err := c.Do(req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return fmt.Sprintf("%s %s %v", resp.Status, text, err)
	}
	return ""
}

func (t *traffic) note(method, order, problem string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.done++
	if problem != "" {
		t.failed[method+" "+problem]++
	} else if method == http.MethodPost {
		t.posted[order] = true
	}
}

// more waits until so many more requests have ended.
func (t *traffic) more(n int) {
	t.fleet.t.Helper()
	until := t.count() + n
	shell.Eventually(t.fleet.t, 30*time.Second, func() error {
		if have := t.count(); have < until {
			return fmt.Errorf("%d requests of %d", have, until)
		}
		return nil
	})
}

func (t *traffic) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.done
}

// end stops the clients, and fails the test for each request that failed, and each order that was not made once.
func (t *traffic) end() {
	close(t.stop)
	t.running.Wait()
	for problem, times := range t.failed {
		t.fleet.t.Errorf("%d times: %s", times, problem)
	}
	t.fleet.shop.mu.Lock()
	defer t.fleet.shop.mu.Unlock()
	for order, times := range t.fleet.shop.served {
		if times > 1 || !t.posted[order] {
			t.fleet.t.Errorf("order %s was made %d times; acknowledged: %v", order, times, t.posted[order])
		}
	}
	t.fleet.t.Logf("%d requests", t.done)
}
