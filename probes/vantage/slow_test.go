package vantage

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// oneConnection is a listener to which somebody has connected, and nobody else will.
type oneConnection struct {
	next chan net.Conn
	over chan struct{}
}

func (l oneConnection) Accept() (net.Conn, error) {
	select {
	case c := <-l.next:
		return c, nil
	case <-l.over:
		return nil, net.ErrClosed
	}
}

func (l oneConnection) Close() error { close(l.over); return nil }
func (oneConnection) Addr() net.Addr { return &net.TCPAddr{} }

// TestABodyThatNeverComes keeps no connection of the agent: neither with the token nor without it.
func TestABodyThatNeverComes(t *testing.T) {
	for name, request := range map[string]string{
		"a stranger":       "POST /v1/sessions HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n{",
		"a stranger's GET": "GET /v1 HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n{",
		"the controller":   "POST /v1/sessions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer " + token + "\r\nContent-Length: 1000\r\n\r\n{",
		"without a plan":   "DELETE /v1/sessions/1 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer " + token + "\r\nContent-Length: 1000\r\n\r\n{",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ours, theirs := net.Pipe()
				l := oneConnection{make(chan net.Conn, 1), make(chan struct{})}
				l.next <- theirs
				server := &http.Server{Handler: (&Agent{Token: token, Log: slog.New(slog.DiscardHandler)}).Handler(), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
				go server.Serve(l)
				defer server.Close()
				began := time.Now()
				if err := ours.SetDeadline(began.Add(10 * askLimit)); err != nil {
					t.Fatal(err)
				}
				if _, err := io.WriteString(ours, request); err != nil {
					t.Fatal(err)
				}
				_, err := io.Copy(io.Discard, ours) // until the agent ends the connection
				if waited := time.Since(began); errors.As(err, new(net.Error)) || waited > askLimit+time.Second {
					t.Errorf("the agent kept the connection for %s: %v", waited, err)
				}
			})
		})
	}
}
