package link

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
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
		switch {
		case now.Mode == Refuse || now.Mode == Reset:
			p.abort()
			return nil, false
		case now.flow(there).Drop:
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

// The directions of a link, for those who ask for the way back.
const there, back = false, true

// hold reads what a client sends into a black hole, into the spare capacity of early, until that is over. It returns
// false when the client is gone.
func hold(client *net.TCPConn, early []byte, over <-chan struct{}) ([]byte, bool) {
	if len(early) == cap(early) {
		<-over
		return early, true
	}
	n, err := client.Read(early[len(early):cap(early)])
	early = early[:len(early)+n]
	return early, err == nil || isTimeout(err)
}

// carry copies both ways until both ends have finished, or one has failed, which resets the other.
func (l *Link) carry(p *pair, early []byte) {
	var failed atomic.Bool
	pump := func(dst, src *net.TCPConn, early []byte) {
		back := src == p.upstream
		if err := l.pump(dst, src, early, back); err != nil {
			failed.Store(true)
			l.untilCarried(!back)
		}
		if failed.Load() { // also if the other way failed: a reset is read once, and what follows looks like a good end
			p.abort()
			return
		}
		dst.CloseWrite()
	}
	var running sync.WaitGroup
	running.Go(func() { pump(p.upstream, p.client, early) })
	pump(p.client, p.upstream, nil)
	running.Wait()
}

// untilCarried waits for as long as a direction is dropped: no news of the other end arrives by it, no reset either.
func (l *Link) untilCarried(back bool) {
	for {
		now := l.act()
		now.acting.Done() // it only waits
		if !now.flow(back).Drop {
			return
		}
		<-now.over
	}
}

// pump copies early and then src to dst, as the link says at any time, back if dst is the client. It returns nil at the end of
// src.
func (l *Link) pump(dst, src *net.TCPConn, early []byte, back bool) error {
	for {
		src.SetReadDeadline(time.Time{}) // before looking at the phase, so that no interruption is lost
		now := l.act()
		err := l.copy(dst, src, early, now, back)
		now.acting.Done()
		if !isTimeout(err) {
			return err
		}
		if !now.flow(back).Drop {
			early = nil
		}
	}
}

// copy does so for one phase. The error wraps os.ErrDeadlineExceeded when that is over.
func (l *Link) copy(dst, src *net.TCPConn, early []byte, now *phase, back bool) error {
	switch f := now.flow(back); {
	case f.Drop:
		<-now.over
		return os.ErrDeadlineExceeded
	case f != (Flow{}):
		return l.shape(dst, src, early, now, back)
	}
	if _, err := dst.Write(early); err != nil {
		return err
	}
	_, err := io.Copy(dst, src) // a splice on Linux: the bytes stay in the kernel
	return err
}

// isTimeout reports whether a deadline was the cause, by which a link wakes whoever waits.
func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
