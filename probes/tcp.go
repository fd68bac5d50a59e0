package probes

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http/httptrace"
	"net/url"
	"time"
)

// tcpSender connects again and again, sends Request.Send, and reads until what is expected was said.
type tcpSender struct {
	request Request
	address string
}

func newTCPSender(r Request, u *url.URL) (sender, error) {
	if u.Port() == "" || u.Path != "" {
		return nil, errors.New("not a URL like tcp://HOST:PORT")
	}
	if err := onlyQuery(u); err != nil {
		return nil, err
	}
	return &tcpSender{request: r, address: u.Host}, nil
}

func (s *tcpSender) close() {}

func (s *tcpSender) send(ctx context.Context, deadline time.Time, sample *Sample) {
	p, ctx := watch(ctx, deadline)
	p.end(sample, s.converse(ctx, p))
}

func (s *tcpSender) converse(ctx context.Context, p *progress) error {
	c, err := dial(ctx, s.request, "tcp", s.address)
	if err != nil {
		return err
	}
	defer c.Close()
	reads := s.request.Want.readsBody()
	if t, ok := c.(*net.TCPConn); ok && (reads || len(s.request.Send) == 0) {
		t.SetLinger(0) // else the port of each attempt is taken for a minute; what was not sent yet would be lost
	}
	p.gotConn(httptrace.GotConnInfo{})
	if _, err := c.Write(s.request.Send); err != nil {
		return err
	}
	if !reads {
		return nil
	}
	return s.read(c, p)
}

// read reads until the expectation holds. A connection that ends before any answer is reset.
func (s *tcpSender) read(c net.Conn, p *progress) error {
	var said []byte
	chunk := make([]byte, 4<<10)
	for len(said) <= maxBody {
		n, err := c.Read(chunk)
		if n > 0 {
			p.gotFirstByte()
			said = append(said, chunk[:n]...)
			if s.request.Want.found(said) {
				return nil
			}
		}
		if errors.Is(err, io.EOF) && len(said) > 0 {
			break
		}
		if err != nil {
			return err
		}
	}
	return s.request.Want.checkBody(said)
}

// dial makes a connection for r, whose reads and writes end when ctx is due to.
func dial(ctx context.Context, r Request, network, address string) (net.Conn, error) {
	c, err := r.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		if err := c.SetDeadline(deadline); err != nil {
			c.Close()
			return nil, err
		}
	}
	return c, nil
}
