package proxy

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"gwdr/gateway"
)

// TestSlowBodies: a client must keep to the rate, but may pause, and does not answer for an endpoint that does not read.
func TestSlowBodies(t *testing.T) {
	for name, c := range map[string]struct {
		first  int // bytes at once
		pieces int // how many follow
		size   int // of each
		every  time.Duration
		idle   time.Duration // of the endpoint, before it reads
		status int
		took   time.Duration
	}{
		"at the rate":     {0, 60, 100, time.Second, 0, 200, time.Minute},
		"with pauses":     {0, 10, 1000, 9 * time.Second, 0, 200, 90 * time.Second},
		"nothing":         {0, 1, 1, time.Hour, 0, 408, 10 * time.Second},
		"below the rate":  {0, 1000, 30, time.Second, 0, 408, 13900 * time.Millisecond}, // each second takes 0.7 of the credit
		"much, then none": {1 << 20, 1, 1, time.Hour, 0, 408, 10 * time.Second},
		"idle endpoint":   {1 << 20, 10, 100, time.Second, 5 * time.Minute, 200, 5*time.Minute + 10*time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBubble(t, func(_ http.ResponseWriter, r *http.Request) {
					wait(r.Context(), c.idle)
					io.Copy(io.Discard, r.Body)
				}, func(r *gateway.RouteBody, _ *gateway.UpstreamBody) {
					r.MinBodyRate, r.Timeout = 100, gateway.Duration(time.Hour)
				})
				reader, writer := io.Pipe()
				go func() {
					writer.Write(make([]byte, c.first))
					for range c.pieces {
						wait(t.Context(), c.every)
						writer.Write(make([]byte, c.size))
					}
					writer.Close()
				}()
				start := time.Now()
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://front/", reader)
				if err != nil {
					t.Fatal(err)
				}
				resp, err := b.client.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				if resp.StatusCode != c.status || time.Since(start) != c.took {
					t.Errorf("%d after %s, want %d after %s", resp.StatusCode, time.Since(start), c.status, c.took)
				}
				if slow := counted(t, b.gateway.metrics.slowBodies) == 1; slow != (c.status == 408) {
					t.Errorf("counted as slow: %t", slow)
				}
				reader.Close() // the rest is for nobody
			})
		})
	}
}

// TestSlowBodyOfAnAnswerThatBegan ends the answer, too.
func TestSlowBodyOfAnAnswerThatBegan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, func(w http.ResponseWriter, r *http.Request) {
			control := http.NewResponseController(w)
			if err := errors.Join(control.EnableFullDuplex(), control.Flush()); err != nil {
				t.Error(err)
			}
			io.Copy(io.Discard, r.Body)
		}, func(r *gateway.RouteBody, _ *gateway.UpstreamBody) { r.MinBodyRate = 100 })
		reader, writer := io.Pipe()
		go writer.Write([]byte("hello"))
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://front/", reader)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		resp, err := b.client.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		_, err = io.Copy(io.Discard, resp.Body)
		if resp.StatusCode != 200 || err == nil || time.Since(start) != bodyGrace {
			t.Errorf("%s, %v after %s", resp.Status, err, time.Since(start))
		}
		reader.Close()
	})
}

// TestSlowBodiesThatAreValidated: the route's rate, and its timeout, are also those of a body that is read before anybody is asked.
func TestSlowBodiesThatAreValidated(t *testing.T) {
	for name, c := range map[string]struct {
		rate    int64
		timeout time.Duration
		took    time.Duration
	}{"rate": {100, time.Hour, bodyGrace}, "timeout": {0, 5 * time.Minute, 5 * time.Minute}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBubble(t, func(http.ResponseWriter, *http.Request) { t.Error("the endpoint was asked") }, func(r *gateway.RouteBody, _ *gateway.UpstreamBody) {
					r.Methods, r.Path, r.Spec, r.Validate = []string{"POST"}, "/orders/{order}", "shop", true
					r.MinBodyRate, r.Timeout = c.rate, gateway.Duration(c.timeout)
				})
				if err := b.gateway.Update(gateway.Batch{Revision: 2, Changes: []gateway.Change{put(specEntity("shop", shopSpec))}}); err != nil {
					t.Fatal(err)
				}
				reader, writer := io.Pipe()
				go writer.Write([]byte(`{"item":`))
				start := time.Now()
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://front/orders/7", reader)
				if err != nil {
					t.Fatal(err)
				}
				resp, err := b.client.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				if resp.StatusCode != 408 || time.Since(start) != c.took {
					t.Errorf("%d after %s", resp.StatusCode, time.Since(start))
				}
				reader.Close()
			})
		})
	}
}

// TestNothingIsReadAfterTheAnswer: a timer that ends late does not touch what is not the exchange's any more. A stream of HTTP/2 is gone
// by then.
func TestNothingIsReadAfterTheAnswer(t *testing.T) {
	g := newGateway(t, Options{}, upstreamOf("u", deadURL(t)), open("r", "/", "u"))
	served := make(chan *exchange, 1)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := g.live.Load()
		x := &exchange{gateway: g, route: c.routes["r"], upstream: c.upstreams["u"], start: time.Now()}
		x.serve(w, r)
		served <- x
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	body, writer := io.Pipe()
	go writer.Write([]byte("x")) // which the client closes once it is answered
	resp, err := server.Client().Post(server.URL, "text/plain", body)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.ProtoMajor != 2 || resp.StatusCode != http.StatusBadGateway {
		t.Fatalf("%s %s, %v", resp.Proto, resp.Status, err)
	}
	(<-served).stopReading() // would panic
}
