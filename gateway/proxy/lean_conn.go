package proxy

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/textproto"
	"strings"
	"syscall"
	"time"
)

var (
	errLongHeader = errors.New("the response header is longer than 10 MiB")
	errSwitched   = errors.New("the endpoint switches protocols, which nobody asked for")
	errStatus     = errors.New("the response has a status below 100")
)

// mostHeader is how long the header of a response may be with all informational ones before it, in bytes: as http.Transport has it.
const mostHeader = 10 << 20

// leanConn is a connection to an endpoint, which has one request at a time.
type leanConn struct {
	net.Conn
	lean    *lean
	address string
	in      *bufio.Reader
	out     *bufio.Writer
	left    int64     // bytes that may still be read
	since   time.Time // when it became idle
	reused  bool      // it was idle before this request
	heard   bool      // something of the answer has come
	peek    peek
}

func newLeanConn(conn net.Conn, l *lean, address string) *leanConn {
	c := &leanConn{Conn: conn, lean: l, address: address}
	c.in, c.out = bufio.NewReaderSize(c, l.usual.ReadBufferSize), bufio.NewWriterSize(conn, l.usual.WriteBufferSize) // a trailer must fit in
	c.peek.at(conn)
	return c
}

// Read implements io.Reader, within what is left.
func (c *leanConn) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, errLongHeader
	}
	n, err := c.Conn.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	c.heard = c.heard || n > 0
	return n, err
}

// isQuiet reports whether the idle connection is there, and nothing came that nobody asked for: it would be taken for the next answer.
func (c *leanConn) isQuiet() bool { return c.peek.isQuiet() }

// ask makes a request. The connection is kept once the body of the response is read to its end, and closed if that goes wrong, or the request's
// context ends.
func (c *leanConn) ask(req *http.Request, inform *inform) (*http.Response, error) {
	ctx := req.Context()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	resp, err := c.exchange(req, inform)
	if err != nil {
		stop()
		c.Close()
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, err
	}
	c.left = math.MaxInt64
	body := &leanBody{ReadCloser: resp.Body, conn: c, ctx: ctx, stop: stop, keep: !resp.Close}
	if resp.Body == http.NoBody {
		body.end(true)
	} else {
		resp.Body = body
	}
	return resp, nil
}

func (c *leanConn) exchange(req *http.Request, inform *inform) (*http.Response, error) {
	c.left = mostHeader
	if err := c.write(req); err != nil {
		return nil, err
	}
	if err := c.out.Flush(); err != nil {
		return nil, err
	}
	if _, err := c.in.Peek(1); err != nil { // ReadResponse does not tell an end before the answer from one in the middle of it
		return nil, err
	}
	for {
		resp, err := http.ReadResponse(c.in, req)
		if err == nil {
			err = checkStatus(resp)
		}
		switch {
		case err != nil:
			return nil, err
		case resp.StatusCode >= 200:
			return resp, nil
		}
		_ = inform.got(resp.StatusCode, textproto.MIMEHeader(resp.Header)) // fails for a switch only
	}
}

// checkStatus finds a status that cannot be passed on: a server writes none below 100, and after a switch that the client did not ask for
// comes what it cannot read.
func checkStatus(resp *http.Response) error {
	switch {
	case resp.StatusCode < 100:
		return errStatus
	case resp.StatusCode == http.StatusSwitchingProtocols && len(resp.Request.Header["Upgrade"]) == 0:
		return errSwitched
	}
	return nil
}

// write writes the header of a request, as http.Request.Write does, but in any order. Errors of the connection show when it is flushed.
func (c *leanConn) write(req *http.Request) error {
	c.line(req.Method, " ", req.URL.RequestURI(), " HTTP/1.1")
	c.line("Host: ", cmp.Or(req.Host, req.URL.Host))
	if req.Method == http.MethodPut { // of which a server expects a body (RFC 9110, section 8.6)
		c.line("Content-Length: 0")
	}
	for name, values := range req.Header {
		if isOfMessage(name) {
			continue
		}
		for _, value := range values {
			switch {
			case strings.ContainsAny(value, "\r\n"): // net/http has read it, or a route's body was checked
				return fmt.Errorf("header %s holds the end of a line", name)
			case value != "" || name != "User-Agent": // an empty one is for net/http, which would send its own
				c.line(name, ": ", value)
			}
		}
	}
	c.line()
	return nil
}

func (c *leanConn) line(parts ...string) {
	for _, part := range parts {
		_, _ = c.out.WriteString(part) // the error stays for Flush
	}
	_, _ = c.out.WriteString("\r\n")
}

// isOfMessage reports whether a header is said for the message, whatever the client's was like.
func isOfMessage(name string) bool {
	return name == "Host" || name == "Content-Length" || name == "Transfer-Encoding" || name == "Trailer"
}

// leanBody is the body of a response. It is read and closed by one goroutine.
type leanBody struct {
	io.ReadCloser
	conn *leanConn
	ctx  context.Context // of the request
	stop func() bool     // lets the connection outlive ctx
	keep bool            // the connection may have another request
	over bool
}

// Read implements io.Reader.
func (b *leanBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.end(err == io.EOF)
		if err != io.EOF && b.ctx.Err() != nil {
			err = context.Cause(b.ctx)
		}
	}
	return n, err
}

// Close implements io.Closer.
func (b *leanBody) Close() error {
	b.end(false)
	return nil
}

// end lets go of the connection, once; whole: the body was read to its end.
func (b *leanBody) end(whole bool) {
	if b.over {
		return
	}
	b.over = true
	if b.stop() && whole && b.keep && b.conn.in.Buffered() == 0 {
		b.conn.lean.keep(b.conn)
		return
	}
	b.conn.Close()
}

// peek looks at what came on a connection, and leaves it there.
type peek struct {
	raw   syscall.RawConn // nil: the connection has none, as in tests
	look  func(fd uintptr) bool
	quiet bool
}

func (p *peek) at(conn net.Conn) {
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return
	}
	p.raw = raw
	p.look = func(fd uintptr) bool {
		var one [1]byte
		_, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK)
		p.quiet = err == syscall.EAGAIN || err == syscall.EINTR
		return true
	}
}

func (p *peek) isQuiet() bool {
	if p.raw == nil {
		return true
	}
	p.quiet = false
	return p.raw.Read(p.look) == nil && p.quiet
}
