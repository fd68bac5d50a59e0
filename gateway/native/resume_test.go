package native_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gwdr/gateway"
	"gwdr/gateway/admin"
	"gwdr/gateway/native"
	"gwdr/gateway/proxy"
	"gwdr/gateway/store"
)

// counter counts the bytes that a control plane sends, and its connections can be broken.
type counter struct {
	net.Listener
	sent  atomic.Int64
	mu    sync.Mutex
	conns []net.Conn
}

func (c *counter) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conns = append(c.conns, conn)
	return &counted{conn, &c.sent}, nil
}

// cut breaks all connections.
func (c *counter) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		conn.Close()
	}
	c.conns = nil
}

type counted struct {
	net.Conn
	sent *atomic.Int64
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.sent.Add(int64(n))
	return n, err
}

// TestWatchResumes: a data plane whose watch breaks reads what was changed since, over real connections, and not the whole state.
func TestWatchResumes(t *testing.T) {
	st, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	put := func(id string, size int) {
		t.Helper()
		body := gateway.Encode(strings.Repeat("x", size))
		if _, _, err := st.Put(t.Context(), gateway.Entity{Ref: gateway.Ref{Kind: gateway.Setting, ID: id}, Body: body}, gateway.Condition{}); err != nil {
			t.Fatal(err)
		}
	}
	put("large", 1<<20)
	asked := map[string]*atomic.Int64{"/v1/state": new(atomic.Int64), "/v1/watch": new(atomic.Int64)}
	api := (&admin.Server{Store: st}).Handler()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked[r.URL.Path].Add(1)
		api.ServeHTTP(w, r)
	}))
	line := &counter{Listener: server.Listener}
	server.Listener = line
	server.Start()
	defer server.Close()
	plane, err := proxy.New(proxy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer plane.Close()
	ctx, cancel := context.WithCancel(t.Context())
	var following sync.WaitGroup
	following.Go(func() { plane.Follow(ctx, &native.Client{URL: server.URL, HTTP: native.NewHTTP()}) })
	defer following.Wait()
	defer cancel()
	has := func(id string) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
			if _, s := plane.State(); time.Now().After(deadline) {
				t.Fatalf("%s never came", id)
			} else if _, ok := s.Get(gateway.Ref{Kind: gateway.Setting, ID: id}); ok {
				return
			}
		}
	}
	has("large")
	whole := line.sent.Load()
	for i := range 3 {
		line.cut()
		put(fmt.Sprint(i), 100)
		has(fmt.Sprint(i))
	}
	if more := line.sent.Load() - whole; whole < 1<<20 || more > 20<<10 || asked["/v1/state"].Load() != 1 || asked["/v1/watch"].Load() < 2 {
		t.Errorf("%d bytes at first, %d more for three changes; states read: %d, watches: %d", whole, more,
			asked["/v1/state"].Load(), asked["/v1/watch"].Load())
	}
	if err := st.Compact(t.Context(), headOf(t, st)); err != nil {
		t.Fatal(err)
	}
	line.cut()
	put("at last", 100)
	has("at last")
}

func headOf(t *testing.T, st *store.Store) int64 {
	t.Helper()
	revision, err := st.Revision(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return revision
}
