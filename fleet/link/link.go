// Package link carries TCP connections between the parts of a fleet and fails on purpose: each Link refuses, resets,
// swallows or delays what it carries when told to, and heals by itself when the lease of that runs out.
package link

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"
)

// Mode is what a link does with connections.
type Mode string

// The modes of a link.
const (
	Pass      Mode = "pass"      // carries everything
	Refuse    Mode = "refuse"    // connecting fails at once; existing connections are reset
	Reset     Mode = "reset"     // connecting works, then a reset; existing connections are reset
	Blackhole Mode = "blackhole" // nothing arrives any more, on existing connections too: no byte, no end, no reset
	OneWay    Mode = "one-way"   // what clients send arrives, but nothing comes back: no byte, no end, no reset
	Latency   Mode = "latency"   // everything arrives Delay later, in each direction
)

// Spec names a link: it listens on Listen and connects to To, both host:port.
type Spec struct {
	ID     string `json:"id"`
	Listen string `json:"listen"`
	To     string `json:"to"`
}

// State is what a link is told to do.
type State struct {
	Mode  Mode          `json:"mode"`
	Delay time.Duration `json:"delay_ns,omitempty"` // only for Latency
	Lease time.Duration `json:"lease_ns,omitempty"` // back to Pass unless set again within; only Pass goes without
}

// Validate reports why a link cannot do that.
func (s State) Validate() error {
	switch s.Mode {
	case Pass:
		return nil
	case Refuse, Reset, Blackhole, OneWay, Latency:
	default:
		return fmt.Errorf("unknown link mode %q", s.Mode)
	}
	if s.Lease <= 0 {
		return fmt.Errorf("link mode %s needs a lease", s.Mode)
	}
	if (s.Mode == Latency) != (s.Delay > 0) {
		return fmt.Errorf("link mode %s does not go with a delay of %s", s.Mode, s.Delay)
	}
	return nil
}

// Link is one running link. Its methods are safe for concurrent use.
type Link struct {
	spec Spec
	log  *slog.Logger

	mu        sync.Mutex
	now       *phase
	leased    time.Duration // the lease that was asked for last
	until     time.Time     // its end
	expires   *time.Timer   // heals at its end
	closed    bool
	listener  net.Listener  // nil while refusing
	accepting chan struct{} // closed once the accept loop of listener has ended
	pairs     map[*pair]struct{}

	closing chan struct{}
	running sync.WaitGroup
}

// Listen starts a link that passes. A nil log discards.
func Listen(spec Spec, log *slog.Logger) (*Link, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	l := &Link{
		spec: spec, log: log.With("link", spec.ID), now: newPhase(State{Mode: Pass}),
		pairs: map[*pair]struct{}{}, closing: make(chan struct{}),
	}
	if err := l.listen(); err != nil {
		return nil, err
	}
	l.spec.Listen = l.listener.Addr().String() // a port that was free to choose stays from now on
	return l, nil
}

// Addr returns the address that the link listens on, also while it refuses.
func (l *Link) Addr() string { return l.spec.Listen }

// Set makes the link do s at once, and starts the lease anew. When it returns, s is in effect for every connection; only
// bytes that the link had already taken and could not yet hand to a receiver that does not read still arrive.
//
// A black hole keeps what is sent until it heals, as the sender's retransmissions would: after a short one a connection
// goes on without a gap, after a long one its ends have given up. A one-way link does so with what comes back.
func (l *Link) Set(s State) error {
	if err := s.Validate(); err != nil {
		return fmt.Errorf("set link %s: %w", l.spec.ID, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return fmt.Errorf("set link %s: %w", l.spec.ID, net.ErrClosed)
	}
	l.lease(s)
	return l.become(s)
}

// become is called with l.mu held.
func (l *Link) become(s State) error {
	if s.Mode == l.now.Mode && s.Delay == l.now.Delay {
		return nil
	}
	if s.Mode != Refuse && l.listener == nil {
		if err := l.listen(); err != nil {
			l.expires = time.AfterFunc(100*time.Millisecond, l.heal)
			return err
		}
	}
	l.log.Info("link changes", "mode", s.Mode, "delay", s.Delay, "lease", s.Lease)
	if s.Mode == Refuse {
		l.unlisten()
	}
	l.enter(s)
	return nil
}

// enter begins a new phase, with l.mu held, and waits until nobody acts on the one before.
func (l *Link) enter(s State) {
	before := l.now
	l.now = newPhase(s)
	close(before.over)
	for p := range l.pairs {
		if s.Mode == Refuse || s.Mode == Reset {
			p.abort()
		} else {
			p.interrupt()
		}
	}
	left := make(chan struct{})
	l.running.Go(func() { before.acting.Wait(); close(left) })
	select {
	case <-left:
	case <-time.After(patience): // a receiver does not read, and what was taken for it has to be written first
	}
}

// patience bounds how long a change of state waits for a copy to end its last write.
const patience = 50 * time.Millisecond

// phase is the time during which a link does one thing.
type phase struct {
	State
	over   chan struct{}  // closed at its end
	acting sync.WaitGroup // copies that act on it
}

func newPhase(s State) *phase { return &phase{State: s, over: make(chan struct{})} }

// act returns the current phase, which lasts for the caller until it calls acting.Done.
func (l *Link) act() *phase {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now.acting.Add(1)
	return l.now
}

// lease is called with l.mu held.
func (l *Link) lease(s State) {
	if l.expires != nil {
		l.expires.Stop()
		l.expires = nil
	}
	l.leased, l.until = s.Lease, time.Now().Add(s.Lease)
	if s.Mode != Pass {
		l.expires = time.AfterFunc(s.Lease, l.heal)
	}
}

// heal passes again. If its port is taken meanwhile, it tries until it is free.
func (l *Link) heal() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || time.Now().Before(l.until) { // renewed while the timer went off
		return
	}
	l.log.Warn("lease of link ran out")
	l.leased = 0
	if err := l.become(State{Mode: Pass}); err != nil {
		l.log.Error("heal link", "error", err)
	}
}

// listen is called with l.mu held, or before the link is shared.
func (l *Link) listen() error {
	listener, err := net.Listen("tcp", l.spec.Listen)
	if err != nil {
		return fmt.Errorf("listen for link %s: %w", l.spec.ID, err)
	}
	l.listener, l.accepting = listener, make(chan struct{})
	l.running.Add(1)
	go l.accept(listener, l.accepting)
	return nil
}

// unlisten is called with l.mu held. The port is closed only once no Accept uses it.
func (l *Link) unlisten() {
	if l.listener != nil {
		l.listener.Close()
		<-l.accepting
		l.listener = nil
	}
}

// accept never takes l.mu, as unlisten waits for it.
func (l *Link) accept(listener net.Listener, done chan<- struct{}) {
	defer l.running.Done()
	defer close(done)
	for {
		conn, err := listener.Accept()
		switch {
		case err == nil:
			l.running.Go(func() { l.serve(conn.(*net.TCPConn)) })
		case errors.Is(err, net.ErrClosed):
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

// add registers the pair, unless the link is closed.
func (l *Link) add(p *pair) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.pairs[p] = struct{}{}
	}
	return !l.closed
}

func (l *Link) remove(p *pair) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.pairs, p)
}

// Close ends the link and resets its connections. It returns when nothing of it runs any more.
func (l *Link) Close() error {
	l.mu.Lock()
	if !l.closed {
		l.closed = true
		l.lease(State{Mode: Pass})
		l.unlisten()
		close(l.closing)
		l.enter(State{Mode: Reset})
	}
	l.mu.Unlock()
	l.running.Wait()
	return nil
}

// dial connects to the far end. It gives up when ctx ends, which it does when the pair is aborted.
func (l *Link) dial(ctx context.Context) (*net.TCPConn, error) {
	d := net.Dialer{Timeout: dialTimeout}
	conn, err := d.DialContext(ctx, "tcp", l.spec.To)
	if err != nil {
		return nil, err
	}
	return conn.(*net.TCPConn), nil
}

const dialTimeout = 5 * time.Second
