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
