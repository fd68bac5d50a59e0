package native

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"gwdr/gateway"
)

// pipes is a listener whose connections are made in memory, where time is simulated.
type pipes struct {
	made   chan net.Conn
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.made:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.made <- theirs:
		return ours, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// A gateway that says that it works on a large Apply is waited for; one that says nothing is not.
func TestWorkIsNotSilence(t *testing.T) {
	for name, test := range map[string]struct {
		every time.Duration
		err   error
		took  time.Duration
	}{"works": {40 * time.Second, nil, 200 * time.Second}, "hangs": {time.Hour, errNoAnswer, answerWithin}} {
		synctest.Test(t, func(t *testing.T) {
			l := &pipes{make(chan net.Conn), make(chan struct{})}
			server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body)
				for range 5 {
					select {
					case <-time.After(test.every):
						w.WriteHeader(http.StatusProcessing)
					case <-r.Context().Done():
						return
					}
				}
				fmt.Fprint(w, `{"revision":7}`)
			})}
			go server.Serve(l)
			transport := &http.Transport{DialContext: l.dial}
			c := &Client{URL: "http://gateway", HTTP: &http.Client{Transport: transport}}
			begun := time.Now()
			revision, err := c.ApplyBulk(t.Context(), []gateway.Change{{Op: gateway.Delete, Entity: gateway.Entity{Ref: gateway.Ref{Kind: gateway.Key, ID: "k"}}}}, gateway.Bulk{})
			if !errors.Is(err, test.err) || (err == nil) != (test.err == nil) || time.Since(begun) != test.took || err == nil && revision != 7 {
				t.Errorf("%s: revision %d after %s: %v", name, revision, time.Since(begun), err)
			}
			transport.CloseIdleConnections()
			server.Close()
		})
	}
}
