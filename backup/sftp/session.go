package sftp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

// Time limits, each for one step. What the caller's context allows may be less.
const (
	dialTime = 5 * time.Second        // to reach the server
	openTime = 20 * time.Second       // from there to the first answer of its SFTP server: login may ask a slow directory
	tidyTime = 2 * time.Second        // to close a file after the caller's time is up
	grace    = 100 * time.Millisecond // for a server that answers, until the connection is cut
)

// session is one connection that many operations share until it ends.
type session struct {
	files *sftp.Client
	link  *link
	key   ssh.PublicKey // the host's
	// noLinks is set once a link has failed that a rename could do instead: the file system has no hard links.
	noLinks atomic.Bool
}

// connect opens a session.
func (o Options) connect(ctx context.Context) (*session, error) {
	s, err := o.open(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", o.address(), err)
	}
	return s, nil
}

func (o Options) open(ctx context.Context) (*session, error) {
	hosts, err := readHostKeys(o.address(), o.KnownHosts)
	if err != nil {
		return nil, err
	}
	deadline := time.Now().Add(dialTime + openTime)
	ctx, cancel := context.WithDeadlineCause(ctx, deadline, errors.New("server did not answer in time"))
	defer cancel()
	keys, err := o.openCredentials(ctx, deadline)
	if err != nil {
		return nil, err
	}
	defer keys.close()
	conn, err := o.DialContext(ctx, "tcp", o.address())
	if err != nil {
		return nil, err
	}
	s := &session{link: newLink(conn)}
	stop := context.AfterFunc(ctx, func() { s.link.cut(context.Cause(ctx)) })
	err = s.start(o, hosts, keys)
	if !stop() {
		err = context.Cause(ctx)
	}
	if err != nil {
		s.link.cut(errUnused)
		return nil, err
	}
	return s, nil
}

// start does the handshake, the login and the start of the server's SFTP server.
func (s *session) start(o Options, hosts *hostKeys, keys *credentials) error {
	var once sync.Once // the keys are exchanged anew from time to time
	conn, channels, requests, err := ssh.NewClientConn(s.link, o.address(), &ssh.ClientConfig{
		User:              o.User,
		Auth:              []ssh.AuthMethod{ssh.PublicKeys(keys.signers...)},
		HostKeyAlgorithms: hosts.algorithms,
		HostKeyCallback: func(_ string, remote net.Addr, key ssh.PublicKey) error {
			once.Do(func() { s.key = key })
			return hosts.verify(remote, key)
		},
	})
	if err != nil {
		if trust := (*HostKeyError)(nil); errors.As(err, &trust) {
			return err
		}
		return fmt.Errorf("log in as %s with %s: %w", o.User, keys, err)
	}
	s.files, err = sftp.NewClient(ssh.NewClient(conn, channels, requests))
	if err != nil {
		return fmt.Errorf("start SFTP: %w", err)
	}
	return nil
}

// run does one step of an operation. Steps wait for the server without looking at a context: if it ends, or the server
// is silent, the connection is cut under them. A server that answers ends the step itself before that.
func (s *session) run(ctx context.Context, step func(*session) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	done := make(chan struct{})
	go s.watch(ctx, done)
	err := step(s)
	close(done)
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// watch cuts the connection once the context has ended or the server has been silent for too long.
func (s *session) watch(ctx context.Context, done <-chan struct{}) {
	began := time.Now()
	timer := time.NewTimer(silence)
	defer timer.Stop()
	for {
		select {
		case <-done:
			return
		case <-ctx.Done():
			select {
			case <-done:
			case <-time.After(grace):
				s.link.cut(errGivenUp)
			}
			return
		case <-timer.C:
			quiet := s.link.quietFor(began)
			if quiet >= silence {
				s.link.cut(errSilent)
				return
			}
			timer.Reset(silence - quiet)
		}
	}
}

// lost reports whether err, which a step came to, is for want of a connection.
func (s *session) lost(err error) bool {
	return s.link.ended() != nil || errors.Is(err, sftp.ErrSSHFxConnectionLost) || errors.Is(err, io.EOF)
}

// attempt is one attempt to connect, which all who need a session wait for.
type attempt struct {
	done    chan struct{} // closed once session and err are set
	session *session
	err     error
}

// over reports whether the attempt has failed, or its session has ended.
func (a *attempt) over() bool {
	select {
	case <-a.done:
		return a.err != nil || a.session.link.ended() != nil
	default:
		return false
	}
}

// session returns the live session, and connects if there is none. Whoever gives up waiting leaves it to the others.
func (l *Location) session(ctx context.Context) (*session, error) {
	l.mu.Lock()
	a := l.latest
	if a == nil || a.over() {
		a = &attempt{done: make(chan struct{})}
		l.latest = a
		go func() {
			a.session, a.err = l.options.connect(context.WithoutCancel(ctx))
			close(a.done)
		}()
	}
	l.mu.Unlock()
	select {
	case <-a.done:
		return a.session, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// do does an operation. If the connection ends under it, such as one that was idle, it does it once more over a new one:
// every operation may be repeated.
func (l *Location) do(ctx context.Context, step func(*session) error) error {
	for again := false; ; again = true {
		if err := ctx.Err(); err != nil {
			return err
		}
		s, err := l.session(ctx)
		if err != nil {
			return err
		}
		err = s.run(ctx, step)
		if err == nil || !s.lost(err) || ctx.Err() != nil {
			return err
		}
		s.link.cut(err) // if only the SFTP server ended
		if why := s.link.ended(); again || errors.Is(why, errSilent) {
			return fmt.Errorf("connection to %s was lost: %w", l.options.address(), why)
		}
	}
}
