package link

import (
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"
)

// door is where clients connect.
type door struct {
	*net.TCPListener
	accepting chan struct{}           // closed once nobody accepts any more
	fillers   map[string]*net.TCPConn // our own connections that fill the kernel's queue while connecting hangs, by their address
}

// listen is called with l.mu held, or before the link is shared.
func (l *Link) listen() error {
	listener, err := net.Listen("tcp", l.spec.Listen)
	if err != nil {
		return fmt.Errorf("listen for link %s: %w", l.spec.ID, err)
	}
	l.door = &door{TCPListener: listener.(*net.TCPListener)}
	l.open(nil)
	return nil
}

// open lets clients in. Those from ignored addresses are hung up on.
func (l *Link) open(ignored map[string]*net.TCPConn) {
	d := l.door
	d.accepting = make(chan struct{})
	l.running.Go(func() { l.accept(d, ignored) })
}

// unlisten is called with l.mu held. The port is closed only once no Accept uses it.
func (l *Link) unlisten() {
	if l.door != nil {
		l.door.Close()
		<-l.door.accepting
		l.door.hangUp()
		l.door = nil
	}
}

// hears makes connecting hang, or work again, with l.mu held. The port stays taken all along, so that nobody is refused.
func (l *Link) hears(hangs bool) error {
	d := l.door
	if d == nil || hangs == (d.fillers != nil) {
		return nil
	}
	if !hangs {
		ignored := d.fillers
		d.hangUp()
		err := errors.Join(d.queue(deep), d.SetDeadline(time.Time{}))
		l.open(ignored)
		return err
	}
	d.SetDeadline(time.Unix(1, 0))
	<-d.accepting
	if err := d.queue(1); err != nil { // of 0, some systems make their default
		return err
	}
	d.fill()
	return nil
}

// deep is a queue of as many connections as the kernel allows.
const deep = 4096

// queue sets how many connections the kernel holds for Accept: a few more than n.
func (d *door) queue(n int) error {
	raw, err := d.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = syscall.Listen(int(fd), n) })
	return errors.Join(err, failed)
}

// fill connects until that hangs. The kernel completes a connection to this machine at once, whoever is busy: what does not
// connect within a moment found the queue full, and so does whoever comes later.
func (d *door) fill() {
	d.fillers = map[string]*net.TCPConn{}
	for range deep {
		conn, err := net.DialTimeout("tcp", d.Addr().String(), moment)
		if err != nil {
			return
		}
		d.fillers[conn.LocalAddr().String()] = conn.(*net.TCPConn)
	}
}

const moment = 20 * time.Millisecond

func (d *door) hangUp() {
	for _, conn := range d.fillers {
		conn.Close()
	}
	d.fillers = nil
}

// accept never takes l.mu, as unlisten and hears wait for it.
func (l *Link) accept(d *door, ignored map[string]*net.TCPConn) {
	defer close(d.accepting)
	for {
		conn, err := d.AcceptTCP()
		switch {
		case err == nil && ignored[conn.RemoteAddr().String()] != nil:
			delete(ignored, conn.RemoteAddr().String())
			conn.Close()
		case err == nil:
			l.running.Go(func() { l.serve(conn) })
		case errors.Is(err, net.ErrClosed) || isTimeout(err):
			return
		default: // out of file descriptors, or a client that left already
			l.log.Warn("accept on link", "error", err)
			select {
			case <-time.After(10 * time.Millisecond):
			case <-l.closing:
				return
			}
		}
	}
}
