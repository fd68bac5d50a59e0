package sftp_test

import (
	"bytes"
	"io"
	"net"
	"sync"
	"time"
)

// newPipe returns both ends of a connection in memory. Unlike net.Pipe's it holds what was not read yet: both sides of
// SSH begin to speak at once.
func newPipe() (net.Conn, net.Conn) {
	a, b := &stream{}, &stream{}
	a.changed, b.changed = sync.NewCond(&a.mu), sync.NewCond(&b.mu)
	return &pipeEnd{in: a, out: b}, &pipeEnd{in: b, out: a}
}

// stream is one direction.
type stream struct {
	mu      sync.Mutex
	changed *sync.Cond
	bytes.Buffer
	closed bool
}

const mostHeld = 1 << 20

func (s *stream) read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.Len() == 0 && !s.closed {
		s.changed.Wait()
	}
	if s.closed {
		return 0, io.EOF
	}
	s.changed.Broadcast()
	return s.Buffer.Read(p)
}

func (s *stream) write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.Len() > mostHeld && !s.closed {
		s.changed.Wait()
	}
	if s.closed {
		return 0, io.ErrClosedPipe
	}
	s.changed.Broadcast()
	return s.Buffer.Write(p)
}

func (s *stream) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.changed.Broadcast()
}

type pipeEnd struct{ in, out *stream }

func (e *pipeEnd) Read(p []byte) (int, error)  { return e.in.read(p) }
func (e *pipeEnd) Write(p []byte) (int, error) { return e.out.write(p) }

func (e *pipeEnd) Close() error {
	e.in.close()
	e.out.close()
	return nil
}

func (e *pipeEnd) LocalAddr() net.Addr              { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }
func (e *pipeEnd) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 22} }
func (e *pipeEnd) SetDeadline(time.Time) error      { return nil }
func (e *pipeEnd) SetReadDeadline(time.Time) error  { return nil }
func (e *pipeEnd) SetWriteDeadline(time.Time) error { return nil }
