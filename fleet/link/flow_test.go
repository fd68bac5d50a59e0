package link

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// hangs fails the test unless connecting gets no answer at all.
func hangs(t *testing.T, l *Link) {
	t.Helper()
	conn, err := net.DialTimeout("tcp", l.Addr(), 50*time.Millisecond)
	if err == nil {
		conn.Close()
	}
	var timeout net.Error
	if !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Fatalf("connecting gave %v, want a time-out", err)
	}
}

func TestBacklogLeavesNewConnectionsHanging(t *testing.T) {
	f := newFar(t)
	l := newLink(t, f.Addr().String())
	client, server := connect(t, l, f)
	set(t, l, State{Mode: Backlog})
	for range 3 {
		hangs(t, l)
	}
	send(t, client, "goes on")
	receive(t, server, "goes on")
	set(t, l, State{Mode: Pass})
	send(t, dial(t, l), "hello")
	receive(t, f.next(t), "hello")
	if len(f.conns) > 0 {
		t.Error("a connection that only filled the queue came through")
	}
}

func TestDeafBlackholeIsCutOff(t *testing.T) {
	f := newFar(t)
	l := newLink(t, f.Addr().String())
	client, server := connect(t, l, f)
	set(t, l, State{Mode: Blackhole, Deaf: true})
	hangs(t, l)
	send(t, client, "lost?")
	nothing(t, server)
	set(t, l, State{Mode: Blackhole}) // hears again, and swallows
	dial(t, l)
	set(t, l, State{Mode: Reset})
	ends(t, client, syscall.ECONNRESET)
	resets(t, l)
}

func TestDeafLinkStaysRefusableAndCloses(t *testing.T) {
	f := newFar(t)
	l := newLink(t, f.Addr().String())
	set(t, l, State{Mode: Backlog})
	set(t, l, State{Mode: Refuse})
	if _, err := net.Dial("tcp", l.Addr()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatalf("connecting gave %v, want a refusal", err)
	}
	set(t, l, State{Mode: Backlog})
	hangs(t, l)
	l.Close()
	if _, err := net.Dial("tcp", l.Addr()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatalf("connecting to a closed link gave %v, want a refusal", err)
	}
}

func TestDropThereKeepsOnlyWhatClientsSend(t *testing.T) {
	f := newFar(t)
	l := newLink(t, f.Addr().String())
	client, server := connect(t, l, f)
	set(t, l, State{Mode: Shape, There: Flow{Drop: true}})
	send(t, server, "back")
	receive(t, client, "back")
	send(t, client, "there")
	client.CloseWrite()
	nothing(t, server)
	during := dial(t, l)
	send(t, during, "hello")
	if nothing(t, during); len(f.conns) > 0 {
		t.Fatal("a connection came through although nothing of it may arrive")
	}
	set(t, l, State{Mode: Pass})
	receive(t, server, "there")
	ends(t, server, io.EOF)
	receive(t, f.next(t), "hello")
}

// TestDroppedWayBackHidesTheEndOfTheFarEnd: what clients send ends in a reset by the far end, and they must not learn of it.
func TestDroppedWayBackHidesTheEndOfTheFarEnd(t *testing.T) {
	f := newFar(t)
	l := newLink(t, f.Addr().String())
	client, server := connect(t, l, f)
	set(t, l, State{Mode: OneWay})
	server.SetLinger(0)
	server.Close()
	for range 3 {
		send(t, client, "anybody there?")
		nothing(t, client)
	}
	set(t, l, State{Mode: Pass})
	ends(t, client, syscall.ECONNRESET)
}

func TestRateIsSharedByTheConnectionsOfADirection(t *testing.T) {
	const rate, each = 1 << 20, 128 << 10
	f := newFar(t)
	l := newLink(t, f.Addr().String())
	a, aServer := connect(t, l, f)
	b, bServer := connect(t, l, f)
	set(t, l, State{Mode: Shape, There: Flow{Rate: rate}})
	data := random(each)
	start := time.Now()
	var running sync.WaitGroup
	for _, c := range []struct{ client, server *net.TCPConn }{{a, aServer}, {b, bServer}} {
		running.Go(func() { c.client.Write(data) })
		running.Go(func() {
			got := make([]byte, each)
			if _, err := io.ReadFull(c.server, got); err != nil || !bytes.Equal(got, data) {
				t.Errorf("other bytes arrived than were sent: %v", err)
			}
		})
	}
	running.Wait()
	if took, least := time.Since(start), time.Duration(2*each)*time.Second/rate; took < least {
		t.Errorf("%d bytes took %s, less than %s", 2*each, took, least)
	}
	set(t, l, State{Mode: Shape, Back: Flow{Rate: 1}}) // the other direction has no limit
	send(t, a, "fast")
	receive(t, aServer, "fast")
}

func TestEachDirectionHasItsDelay(t *testing.T) {
	const delay = 60 * time.Millisecond
	f := newFar(t)
	l := newLink(t, f.Addr().String())
	client, server := connect(t, l, f)
	set(t, l, State{Mode: Shape, Back: Flow{Delay: delay, Jitter: delay / 2}})
	start := time.Now()
	for range 20 {
		send(t, server, "pong")
	}
	receive(t, client, strings.Repeat("pong", 20)) // in order, whatever each one's delay
	if took := time.Since(start); took < delay/2 {
		t.Errorf("back in %s, less than %s", took, delay/2)
	}
	set(t, l, State{Mode: Shape, Back: Flow{Delay: time.Hour}})
	send(t, client, "ping")
	receive(t, server, "ping")
}

// TestNothingOfADelayIsLeftAfterIt: what was on the way arrives at once, and in order with what follows.
func TestNothingOfADelayIsLeftAfterIt(t *testing.T) {
	f := newFar(t)
	l := newLink(t, f.Addr().String())
	client, server := connect(t, l, f)
	set(t, l, State{Mode: Latency, Delay: time.Hour})
	send(t, client, "late")
	nothing(t, server)
	set(t, l, State{Mode: Shape, There: Flow{Rate: 1}})
	receive(t, server, "late")
	send(t, client, strings.Repeat("slow", 1000))
	set(t, l, State{Mode: Pass})
	send(t, client, "fast")
	receive(t, server, strings.Repeat("slow", 1000)+"fast")
}

func TestJitterIsEven(t *testing.T) {
	f := Flow{Delay: 100, Jitter: 40}
	var low, high int
	for range 10_000 {
		switch d := f.late(); {
		case d < 60 || d > 140:
			t.Fatalf("a delay of %d is not within 60 and 140", d)
		case d < 80:
			low++
		case d > 120:
			high++
		}
	}
	if low < 1500 || high < 1500 {
		t.Errorf("of 10000 delays %d are in the lowest quarter, %d in the highest", low, high)
	}
}

func TestLineCarriesOneByteAfterTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l line
		start := time.Now()
		for i, want := range []time.Duration{time.Second, 3 * time.Second} {
			if got := l.take(100*(i+1), 100).Sub(start); got != want {
				t.Errorf("take %d passes after %s, not %s", i, got, want)
			}
		}
		time.Sleep(10 * time.Second) // what was not used is not saved up
		if got := l.take(100, 100).Sub(start); got != 11*time.Second {
			t.Errorf("after a pause it passes after %s", got)
		}
	})
}

func TestOwnerKeepsTheLink(t *testing.T) {
	f := newFar(t)
	s, c := newSet(t, Spec{ID: "a", Listen: "127.0.0.1:0", To: f.Addr().String()})
	l := s.links["a"]
	first := State{Mode: Blackhole, Owner: "first", Lease: lease}
	if err := c.Set(t.Context(), "a", first); err != nil {
		t.Fatal(err)
	}
	for _, other := range []State{{Mode: Reset, Owner: "second", Lease: lease}, {Mode: Pass}} {
		if err := c.Set(t.Context(), "a", other); !errors.Is(err, ErrOwned) || !strings.Contains(err.Error(), "owned by first") {
			t.Errorf("set by %q: %v, want who owns it", other.Owner, err)
		}
	}
	if err := c.Renew(t.Context(), "a", "second", lease); err == nil {
		t.Error("the lease was renewed by one who has none")
	}
	if err := c.Release(t.Context(), "a", "second"); err != nil || l.info().State != first {
		t.Errorf("released by one who has none: %v, %+v", err, l.info().State)
	}
	if err := c.Renew(t.Context(), "a", "first", 2*lease); err != nil || l.info().Lease != 2*lease {
		t.Errorf("renew: %v, %+v", err, l.info().State)
	}
	for range 2 {
		if err := c.Release(t.Context(), "a", "first"); err != nil || l.info().State != (State{Mode: Pass}) {
			t.Errorf("release: %v, %+v", err, l.info().State)
		}
	}
	if err := c.Renew(t.Context(), "a", "first", lease); err == nil {
		t.Error("a lease that is over was renewed")
	}
}

func TestOwnersLeaseEnds(t *testing.T) {
	l := newLink(t, "127.0.0.1:1")
	set(t, l, State{Mode: Blackhole, Owner: "first", Lease: 30 * time.Millisecond})
	until(t, "the link passes again", func() bool { return l.info().State == State{Mode: Pass} })
	set(t, l, State{Mode: Reset, Owner: "second"})
	if err := l.Renew("first", lease); err == nil {
		t.Error("a lease that is over was renewed")
	}
}

func TestStateRefusesWhatDoesNotGoTogether(t *testing.T) {
	for want, s := range map[string]State{
		"jitter of 2ns does not go with a delay of 1ns": {Mode: Latency, Delay: 1, Jitter: 2},
		"jitter of -1ns does not go":                    {Mode: Shape, There: Flow{Delay: 1, Jitter: -1}},
		"link mode shape does not go with what it says": {Mode: Shape},
		"link mode reset does not go with what it says": {Mode: Reset, Back: Flow{Drop: true}},
		"rate of -1 bytes per second is negative":       {Mode: Shape, Back: Flow{Rate: -1}},
		"what is dropped has neither":                   {Mode: Shape, Back: Flow{Drop: true, Rate: 1}},
		"link mode refuse cannot be deaf":               {Mode: Refuse, Deaf: true},
		"link mode backlog needs a lease":               {Mode: Backlog, Lease: -1},
	} {
		if s.Lease == 0 {
			s.Lease = lease
		}
		if err := s.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
}
