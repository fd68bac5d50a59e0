package sftp

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// silence is how long a server may say nothing while something is asked of it. An fsync of a large object on a slow disk
// must fit in.
const silence = time.Minute

var (
	errSilent = fmt.Errorf("server said nothing for %s", silence)
	errClosed = errors.New("server closed it")
	// errGivenUp is why others lose the connection: this one's context has ended.
	errGivenUp = errors.New("another operation over it was given up")
	errUnused  = errors.New("it is not used any more")
)

// link is the connection beneath a session. It remembers when the other end was last heard, and what ended it.
type link struct {
	net.Conn
	heard atomic.Int64 // UnixNano

	mu  sync.Mutex
	end error
}

func newLink(conn net.Conn) *link {
	l := &link{Conn: conn}
	l.heard.Store(time.Now().UnixNano())
	return l
}

func (l *link) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	if n > 0 {
		l.heard.Store(time.Now().UnixNano())
	}
	if err != nil {
		l.note(err)
	}
	return n, err
}

func (l *link) Write(p []byte) (int, error) {
	n, err := l.Conn.Write(p)
	if err != nil {
		l.note(err)
	}
	return n, err
}

// cut closes the connection, whatever it is at, for that reason.
func (l *link) cut(why error) {
	l.note(why)
	l.Conn.Close()
}

// note keeps the first reason: those after it are its consequences.
func (l *link) note(why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.end == nil {
		l.end = why
	}
	if l.end == io.EOF {
		l.end = errClosed
	}
}

// ended returns what ended the connection, or nil. Whoever fails because it ended sees that.
func (l *link) ended() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.end
}

// quietFor is how long the other end has said nothing, since began at most.
func (l *link) quietFor(began time.Time) time.Duration {
	return time.Since(later(began, time.Unix(0, l.heard.Load())))
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
