package link

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// line is what all connections of a link share in one direction: its rate.
type line struct {
	mu   sync.Mutex
	free time.Time // when the last byte that was taken will have passed
}

// take returns when n more bytes will have passed at rate bytes per second.
func (b *line) take(n int, rate int64) time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now := time.Now(); b.free.Before(now) {
		b.free = now
	}
	b.free = b.free.Add(time.Duration(float64(n) / float64(rate) * float64(time.Second)))
	return b.free
}

// The most that is read at once, and the most pieces that are on the way on one connection and direction.
const (
	piece    = 32 << 10
	onTheWay = 256
)

// pieces returns the size of a read: small enough for the flow's rate to be even.
func (f Flow) pieces() int {
	if f.Rate == 0 {
		return piece
	}
	return int(min(max(f.Rate/50, 1), piece))
}

// late returns the delay of one piece.
func (f Flow) late() time.Duration {
	if f.Jitter == 0 {
		return f.Delay
	}
	return f.Delay - f.Jitter + rand.N(2*f.Jitter+1)
}

// chunk is what was read at once, and when it is to arrive.
type chunk struct {
	due  time.Time
	data []byte // empty at the end
}

// stream is one direction of a connection on a shaped link.
type stream struct {
	*Link
	dst, src *net.TCPConn
	flow     Flow
	line     *line
	over     <-chan struct{} // the phase's end: what is on the way by then arrives at once
	way      chan chunk
	last     time.Time // when the latest piece is due
}

// shape copies early and then src to dst, late, at the rate, or both. It returns nil at the end of src. What it has read
// when it is interrupted is delivered at once: nothing of a fault is left after its end.
func (l *Link) shape(dst, src *net.TCPConn, early []byte, now *phase, back bool) error {
	s := stream{
		Link: l, dst: dst, src: src, flow: now.flow(back), line: &now.there, over: now.over, way: make(chan chunk, onTheWay),
	}
	if back {
		s.line = &now.back
	}
	written := make(chan error, 1)
	go func() { written <- s.deliver() }()
	err := s.read(early)
	close(s.way)
	if werr := <-written; werr != nil {
		return werr
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// read sends what comes on its way, until an error.
func (s *stream) read(early []byte) error {
	for len(early) > 0 {
		n := min(len(early), s.flow.pieces())
		s.send(early[:n])
		early = early[n:]
	}
	buf := make([]byte, s.flow.pieces())
	for {
		n, err := s.src.Read(buf)
		if n > 0 || errors.Is(err, io.EOF) {
			s.send(append([]byte(nil), buf[:n]...))
		}
		if err != nil {
			return err
		}
	}
}

// send waits until the line has carried data, and says when it is to arrive: never before what was sent earlier.
func (s *stream) send(data []byte) {
	if s.flow.Rate > 0 && len(data) > 0 {
		timer := time.NewTimer(time.Until(s.line.take(len(data), s.flow.Rate)))
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-s.over:
		}
	}
	if due := time.Now().Add(s.flow.late()); due.After(s.last) {
		s.last = due
	}
	s.way <- chunk{s.last, data}
}

// deliver writes chunks when they are due, or the phase ends. After a failure it stops the reader and drops the rest.
func (s *stream) deliver() error {
	var failed error
	for c := range s.way {
		if failed != nil {
			continue
		}
		timer := time.NewTimer(time.Until(c.due))
		select {
		case <-timer.C:
		case <-s.over:
		}
		timer.Stop()
		if _, failed = s.dst.Write(c.data); failed != nil {
			s.src.SetReadDeadline(time.Unix(1, 0))
		}
	}
	return failed
}
