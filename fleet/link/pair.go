package link

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// pair is a connection that a link has accepted, and the one that it made for it.
type pair struct {
	client *net.TCPConn
	cancel context.CancelFunc // of the dial

	mu       sync.Mutex
	upstream *net.TCPConn // nil until dialled
	aborted  bool
}

// attach sets the far end, unless the pair was aborted meanwhile.
func (p *pair) attach(upstream *net.TCPConn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.aborted {
		upstream.SetLinger(0)
		upstream.Close()
		return false
	}
	p.upstream = upstream
	return true
}

// abort resets both ends.
func (p *pair) abort() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.aborted = true
	p.cancel()
	for _, conn := range []*net.TCPConn{p.client, p.upstream} {
		if conn != nil {
			conn.SetLinger(0)
			conn.Close()
		}
	}
}

// close ends both ends in good order.
func (p *pair) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cancel()
	p.client.Close()
	if p.upstream != nil {
		p.upstream.Close()
	}
}

// interrupt makes whoever reads from either end look at the link's state again. No byte is lost: a splice writes out
// what it has read before it reads again.
func (p *pair) interrupt() {
	p.mu.Lock()
	defer p.mu.Unlock()
	past := time.Unix(1, 0)
	p.client.SetReadDeadline(past)
	if p.upstream != nil {
		p.upstream.SetReadDeadline(past)
	}
}

// serve carries one connection to its end.
func (l *Link) serve(client *net.TCPConn) {
	ctx, cancel := context.WithCancel(context.Background())
	p := &pair{client: client, cancel: cancel}
	defer p.close()
	if !l.add(p) {
		p.abort()
		return
	}
	defer l.remove(p)
	early, ok := l.admit(p)
	if !ok {
		return
	}
	upstream, err := l.dial(ctx)
	if err != nil {
		l.log.Debug("dial for link", "error", err)
		p.abort()
		return
	}
	if p.attach(upstream) {
		l.carry(p, early)
	}
}

// admit waits until the link lets new connections through, and returns what the client has sent by then. It returns
// false if the connection is over: the client left, or the link resets.
func (l *Link) admit(p *pair) (early []byte, ok bool) {
	for {
		p.client.SetReadDeadline(time.Time{}) // before looking at the phase, so that no interruption is lost
		now := l.act()
		now.acting.Done() // it only waits
		switch now.Mode {
		case Refuse, Reset:
			p.abort()
			return nil, false
		case Blackhole:
			if early == nil {
				early = make([]byte, 0, 16<<10)
			}
			if early, ok = hold(p.client, early, now.over); !ok {
				return nil, false
			}
		default:
			return early, true
		}
	}
}

// hold reads what a client sends into a black hole, into the spare capacity of early, until that is over. It returns
// false when the client is gone.
func hold(client *net.TCPConn, early []byte, over <-chan struct{}) ([]byte, bool) {
	if len(early) == cap(early) {
		<-over
		return early, true
	}
	n, err := client.Read(early[len(early):cap(early)])
	early = early[:len(early)+n]
	return early, err == nil || errors.Is(err, os.ErrDeadlineExceeded)
}

// carry copies both ways until both ends have finished, or one has failed, which resets the other.
func (l *Link) carry(p *pair, early []byte) {
	pump := func(dst, src *net.TCPConn, early []byte) {
		if err := l.pump(dst, src, early, src == p.upstream); err != nil {
			p.abort()
			return
		}
		dst.CloseWrite()
	}
	var there sync.WaitGroup
	there.Go(func() { pump(p.upstream, p.client, early) })
	pump(p.client, p.upstream, nil)
	there.Wait()
}

// pump copies early and then src to dst, as the link says at any time, back if dst is the client. It returns nil at the end of
// src.
func (l *Link) pump(dst, src *net.TCPConn, early []byte, back bool) error {
	for {
		src.SetReadDeadline(time.Time{}) // before looking at the phase, so that no interruption is lost
		now := l.act()
		err := l.copy(dst, src, early, now, back)
		now.acting.Done()
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		if now.Mode != Blackhole {
			early = nil
		}
	}
}

// copy does so for one phase. The error wraps os.ErrDeadlineExceeded when that is over.
func (l *Link) copy(dst, src *net.TCPConn, early []byte, now *phase, back bool) error {
	if now.Mode == Blackhole || now.Mode == OneWay && back {
		<-now.over
		return os.ErrDeadlineExceeded
	}
	if _, err := dst.Write(early); err != nil {
		return err
	}
	if now.Mode == Latency {
		return l.delay(dst, src, now.Delay)
	}
	_, err := io.Copy(dst, src) // a splice on Linux: the bytes stay in the kernel
	return err
}

// chunk is what was read at once, and when it is to arrive.
type chunk struct {
	due  time.Time
	data []byte // empty at the end
}

// delay copies from src to dst, each piece after the delay. It returns nil at the end of src. What it has read when it
// is interrupted is still delivered in time.
func (l *Link) delay(dst, src *net.TCPConn, delay time.Duration) error {
	way := make(chan chunk, 64)
	written := make(chan error, 1)
	go func() { written <- l.deliver(dst, src, way) }()
	var err error
	for err == nil {
		data := make([]byte, 16<<10)
		var n int
		n, err = src.Read(data)
		if n > 0 || errors.Is(err, io.EOF) {
			way <- chunk{time.Now().Add(delay), data[:n]}
		}
	}
	close(way)
	if werr := <-written; werr != nil {
		return werr
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// deliver writes chunks when they are due. After a failure it stops the reader and drops the rest.
func (l *Link) deliver(dst, src *net.TCPConn, way <-chan chunk) error {
	var failed error
	for c := range way {
		if failed != nil {
			continue
		}
		select {
		case <-time.After(time.Until(c.due)):
			_, failed = dst.Write(c.data)
		case <-l.closing:
			failed = net.ErrClosed
		}
		if failed != nil {
			src.SetReadDeadline(time.Unix(1, 0))
		}
	}
	return failed
}
