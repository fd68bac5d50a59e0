// Package link carries TCP connections between the parts of a fleet and fails on purpose: each Link refuses, resets,
// swallows, delays or slows down what it carries when told to, each direction for itself, and heals by itself when the
// lease of that runs out.
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

// Spec names a link: it listens on Listen and connects to To, both host:port.
type Spec struct {
	ID     string `json:"id"`
	Listen string `json:"listen"`
	To     string `json:"to"`
}

// Link is one running link. Its methods are safe for concurrent use.
type Link struct {
	spec Spec
	log  *slog.Logger

	mu      sync.Mutex
	now     *phase
	owner   string        // of what it does now, for as long as the lease lasts
	leased  time.Duration // the lease that was asked for last
	until   time.Time     // its end
	expires *time.Timer   // heals at its end
	closed  bool
	door    *door // nil while refusing
	pairs   map[*pair]struct{}

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
	l.spec.Listen = l.door.Addr().String() // a port that was free to choose stays from now on
	return l, nil
}

// Addr returns the address that the link listens on, also while it refuses.
func (l *Link) Addr() string { return l.spec.Listen }

// Set makes the link do s at once, and starts the lease anew. When it returns, s is in effect for every connection; only
// bytes that the link had already taken and could not yet hand to a receiver that does not read still arrive. The error
// wraps ErrOwned if the link has another owner, whose lease has not ended: then nothing has changed.
//
// A black hole keeps what is sent until it heals, as the sender's retransmissions would: after a short one a connection
// goes on without a gap, after a long one its ends have given up. So does a direction that is dropped.
func (l *Link) Set(s State) error {
	if err := s.Validate(); err != nil {
		return fmt.Errorf("set link %s: %w", l.spec.ID, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return fmt.Errorf("set link %s: %w", l.spec.ID, net.ErrClosed)
	}
	if l.owner != "" && l.owner != s.Owner {
		return fmt.Errorf("set link %s: %w %s", l.spec.ID, ErrOwned, l.owner)
	}
	l.lease(s)
	return l.become(s)
}

// Renew starts the lease of what owner has set anew. It is an error if that is over, whatever the link does now.
func (l *Link) Renew(owner string, lease time.Duration) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || owner == "" || l.owner != owner || lease <= 0 {
		return fmt.Errorf("renew lease of link %s: %q does not own it", l.spec.ID, owner)
	}
	s := l.now.State
	s.Owner, s.Lease = owner, lease
	l.lease(s)
	return nil
}

// Release makes the link pass again if owner has set what it does, and else does nothing: then that has healed already.
func (l *Link) Release(owner string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || owner == "" || l.owner != owner {
		return nil
	}
	pass := State{Mode: Pass}
	l.lease(pass)
	return l.become(pass)
}

// ErrOwned is wrapped by errors that say a link is in use.
var ErrOwned = errors.New("it is owned by")

// become is called with l.mu held.
func (l *Link) become(s State) error {
	if s.same(l.now.State) {
		return nil
	}
	if s.Mode != Refuse && l.door == nil {
		if err := l.listen(); err != nil {
			l.expires = time.AfterFunc(100*time.Millisecond, l.heal)
			return err
		}
	}
	l.log.Info("link changes", "mode", s.Mode, "delay", s.Delay, "owner", s.Owner, "lease", s.Lease)
	if s.Mode == Refuse {
		l.unlisten()
	}
	err := l.hears(s.hangs())
	l.enter(s)
	return err
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

	there, back line // what its rates are shared by
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
	l.owner, l.leased, l.until = "", s.Lease, time.Now().Add(s.Lease)
	if s.Mode != Pass {
		l.owner = s.Owner
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
	l.owner, l.leased = "", 0
	if err := l.become(State{Mode: Pass}); err != nil {
		l.log.Error("heal link", "error", err)
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
