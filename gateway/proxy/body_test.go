package proxy

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"gwdr/gateway"
)

// lastBytes is a body that comes with its end, as the server's does, and that the server has closed by the next Read.
type lastBytes struct{ over bool }

func (b *lastBytes) Read(p []byte) (int, error) {
	if b.over {
		return 0, http.ErrBodyReadAfterClose
	}
	b.over = true
	return copy(p, "whole"), io.EOF
}

// TestBodyEndsOnce: the transport reads past the end of a body with a length. If the endpoint has answered by then, the server
// has closed the body; an error of that Read would break off the connection, and with it the answer under way.
func TestBodyEndsOnce(t *testing.T) {
	b := &onceBody{Reader: &lastBytes{}}
	if text, err := io.ReadAll(b); string(text) != "whole" || err != nil {
		t.Fatalf("%q, %v", text, err)
	}
	if n, err := b.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("after the end: %d, %v", n, err)
	}
	if b.broke.Load() {
		t.Error("counted as a client that broke off")
	}
}

// TestAnswerBeforeTheEndOfTheBody: an endpoint may begin to answer while it reads, and yet gets all of the body, unaltered.
func TestAnswerBeforeTheEndOfTheBody(t *testing.T) {
	for name, length := range map[string]int64{"with a length": 300 << 10, "chunked": -1} {
		t.Run(name, func(t *testing.T) {
			begun := make(chan struct{})
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				control := http.NewResponseController(w)
				if err := errors.Join(control.EnableFullDuplex(), control.Flush()); err != nil {
					t.Error(err)
				}
				sum := sha256.New()
				n, err := io.Copy(sum, r.Body)
				fmt.Fprintf(w, "%d %v %x", n, err, sum.Sum(nil))
			}))
			t.Cleanup(server.Close)
			url := serve(t, newGateway(t, Options{}, upstreamOf("u", server.URL), open("r", "/", "u")))
			body := bytes.Repeat([]byte("0123456789abcde\n"), 300<<10/16)
			reader, writer := io.Pipe()
			go func() {
				_, _ = writer.Write(body[:1000]) // the reader sees it if it breaks
				<-begun
				_, err := writer.Write(body[1000:])
				writer.CloseWithError(err)
			}()
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, reader)
			if err != nil {
				t.Fatal(err)
			}
			req.ContentLength = length
			resp, err := http.DefaultTransport.RoundTrip(req)
			close(begun)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			got, err := io.ReadAll(resp.Body)
			if want := fmt.Sprintf("%d %v %x", len(body), error(nil), sha256.Sum256(body)); string(got) != want || err != nil {
				t.Errorf("%v; got %s\nwant %s", err, got, want)
			}
			if !resp.Close {
				t.Error("the connection is to be used again, although the body may not have been read to its end")
			}
		})
	}
}

// TestMaxBody: a body that says that it is too large costs nothing; one that turns out to be reaches no endpoint as if it was whole.
func TestMaxBody(t *testing.T) {
	whole := make(chan int, 100)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if text, err := io.ReadAll(r.Body); err == nil {
			whole <- len(text)
		}
	}))
	t.Cleanup(server.Close)
	g := newGateway(t, Options{}, upstreamOf("u", server.URL), open("any", "/any", "u"), entity(gateway.Route, "r",
		gateway.RouteBody{Path: "/", Upstream: "u", Auth: gateway.AuthNone, MaxBody: 1000}))
	url := serve(t, g)
	for _, c := range []struct {
		method, path string
		size         int
		length       int64
		status       int
	}{
		{"PUT", "/", 1000, 1000, 200}, {"PUT", "/", 1000, -1, 200}, {"POST", "/", 1001, 1001, 413}, {"POST", "/", 1001, -1, 413},
		{"POST", "/", 300 << 10, -1, 413}, {"POST", "/any", 300 << 10, -1, 200}, {"GET", "/", 0, 0, 200},
	} {
		req, err := http.NewRequestWithContext(t.Context(), c.method, url+c.path, bytes.NewReader(make([]byte, c.size)))
		if err != nil {
			t.Fatal(err)
		}
		req.ContentLength = c.length
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Errorf("%+v: %v", c, err)
			continue
		}
		resp.Body.Close()
		if resp.StatusCode != c.status {
			t.Errorf("%+v: %d", c, resp.StatusCode)
		}
		if c.status == 200 {
			if got := <-whole; got != c.size {
				t.Errorf("%+v: %d came", c, got)
			}
		}
	}
	if len(whole) > 0 {
		t.Errorf("an endpoint took %d bytes for whole", <-whole)
	}
	if s := g.Status().Endpoints[0]; !s.Healthy {
		t.Error("the endpoint is passed over for what clients sent")
	}
}
