package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"gwdr/gateway"
)

// drip answers with a byte each so often, until nobody wants more.
func drip(w http.ResponseWriter, r *http.Request, times int, every time.Duration) {
	for i := 0; i < times && r.Context().Err() == nil; i++ {
		io.WriteString(w, "x")
		http.NewResponseController(w).Flush()
		wait(r.Context(), every)
	}
}

func bounded(total, idle time.Duration) func(*gateway.RouteBody, *gateway.UpstreamBody) {
	return func(_ *gateway.RouteBody, u *gateway.UpstreamBody) {
		u.TotalTimeout, u.IdleTimeout = gateway.Duration(total), gateway.Duration(idle)
	}
}

// TestResponsesAreBounded by how long they take as a whole, and by how long they are silent.
func TestResponsesAreBounded(t *testing.T) {
	for name, c := range map[string]struct {
		total, idle  time.Duration
		times        int
		every        time.Duration
		wait         time.Duration // before the header
		status, read int
		took         time.Duration
	}{
		"neither":             {0, 0, 10, time.Minute, 0, 200, 10, 10 * time.Minute},
		"in time":             {time.Minute, 10 * time.Second, 5, 9 * time.Second, 0, 200, 5, 45 * time.Second},
		"too long":            {time.Minute, 10 * time.Second, 100, 9 * time.Second, 0, 200, 7, time.Minute},
		"silent":              {time.Minute, 10 * time.Second, 3, 11 * time.Second, 0, 200, 1, 10 * time.Second},
		"no header in total":  {5 * time.Second, 0, 1, 0, time.Hour, 504, 0, 5 * time.Second},
		"idle is of the body": {0, time.Second, 1, 0, 20 * time.Second, 200, 1, 20 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBubble(t, func(w http.ResponseWriter, r *http.Request) {
					wait(r.Context(), c.wait)
					drip(w, r, c.times, c.every)
				}, bounded(c.total, c.idle))
				start := time.Now()
				resp, err := b.get(t, t.Context(), "/")
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				text, err := io.ReadAll(resp.Body)
				if resp.StatusCode != c.status || c.status == 200 && len(text) != c.read || time.Since(start) != c.took {
					t.Errorf("%d with %d bytes after %s", resp.StatusCode, len(text), time.Since(start))
				}
				whole := c.status != 200 || c.read == c.times
				if (err == nil) != whole || counted(t, b.gateway.metrics.cut) > 0 == whole {
					t.Errorf("whole: %v, %v, %v were cut", whole, err, counted(t, b.gateway.metrics.cut))
				}
			})
		})
	}
}

// TestClientThatTakesNothing holds a response only for its total time, which does not go on in the connection's next.
func TestClientThatTakesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/large" {
				w.Header().Set("Content-Length", fmt.Sprint(10<<20)) // else the reverse proxy flushes, and a mutex keeps time from going on
				w.Write(make([]byte, 10<<20))
			}
		}, bounded(time.Minute, time.Second))
		resp, err := b.get(t, t.Context(), "/large")
		if err != nil {
			t.Fatal(err)
		}
		under := &b.gateway.live.Load().upstreams["u"].endpoints[0].load.inFlight
		time.Sleep(59 * time.Second)
		if synctest.Wait(); under.Load() != 1 {
			t.Error("it was given up early")
		}
		time.Sleep(time.Second)
		if synctest.Wait(); under.Load() != 0 {
			t.Error("it is still held")
		}
		resp.Body.Close()
		for range 5 {
			resp, err := b.get(t, t.Context(), "/small")
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			time.Sleep(50 * time.Second)
		}
	})
}

func TestUpgradesAreNotBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, func(w http.ResponseWriter, r *http.Request) {
			conn, buf, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
			line, _ := buf.ReadString('\n')
			io.WriteString(conn, line)
		}, bounded(time.Minute, time.Second))
		conn, err := b.front.dial(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
		reader := bufio.NewReader(conn)
		if resp, err := http.ReadResponse(reader, nil); err != nil || resp.StatusCode != 101 {
			t.Fatalf("%v, %v", resp, err)
		}
		time.Sleep(time.Hour)
		io.WriteString(conn, "hello\n")
		if line, err := reader.ReadString('\n'); line != "hello\n" || err != nil {
			t.Errorf("%q, %v", line, err)
		}
	})
}
