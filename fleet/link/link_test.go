package link

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"
)

const soon = 5 * time.Second // how long anything here may take before the test fails

// lease outlives every test.
const lease = time.Minute

// far is the server at the far end of a link. It hands out the connections that it accepts.
type far struct {
	net.Listener
	conns chan *net.TCPConn
}

func newFar(t *testing.T) *far {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &far{Listener: l, conns: make(chan *net.TCPConn, 1000)}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			f.conns <- conn.(*net.TCPConn)
		}
	}()
	t.Cleanup(func() { l.Close() })
	return f
}

func (f *far) next(t *testing.T) *net.TCPConn {
	t.Helper()
	select {
	case conn := <-f.conns:
		t.Cleanup(func() { conn.Close() })
		return conn
	case <-time.After(soon):
		t.Fatal("nothing connected to the far end")
		return nil
	}
}

func newLink(t *testing.T, to string) *Link {
	t.Helper()
	l, err := Listen(Spec{ID: "a-b", Listen: "127.0.0.1:0", To: to}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // Close waits for every goroutine of the link: returning proves that none is left
		closed := make(chan struct{})
		go func() { l.Close(); close(closed) }()
		select {
		case <-closed:
		case <-time.After(soon):
			t.Error("link did not close")
		}
	})
	return l
}

func dial(t *testing.T, l *Link) *net.TCPConn {
	t.Helper()
	conn, err := net.DialTimeout("tcp", l.Addr(), soon)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn.(*net.TCPConn)
}

// connect returns both ends of a connection through the link that is known to carry.
func connect(t *testing.T, l *Link, f *far) (client, server *net.TCPConn) {
	t.Helper()
	client = dial(t, l)
	server = f.next(t)
	send(t, client, "hello")
	receive(t, server, "hello")
	return client, server
}

func set(t *testing.T, l *Link, s State) {
	t.Helper()
	if s.Mode != Pass && s.Lease == 0 {
		s.Lease = lease
	}
	if err := l.Set(s); err != nil {
		t.Fatal(err)
	}
}

func send(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := conn.Write([]byte(text)); err != nil {
		t.Fatalf("write: %v", err)
	}
}

func receive(t *testing.T, conn net.Conn, want string) {
	t.Helper()
	conn.SetReadDeadline(time.Now().Add(soon))
	got := make([]byte, len(want))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != want {
		t.Fatalf("received %q, %v; want %q", got, err, want)
	}
}

// nothing fails the test if anything arrives on conn within a short while: a byte, an end, or a reset.
func nothing(t *testing.T, conn net.Conn) {
	t.Helper()
	conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	n, err := conn.Read(make([]byte, 1))
	var timeout net.Error
	if n != 0 || !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Fatalf("a black hole let %d bytes and %v through", n, err)
	}
}

// resets connects and wants a reset: at once, or later.
func resets(t *testing.T, l *Link) {
	t.Helper()
	conn, err := net.DialTimeout("tcp", l.Addr(), soon)
	if err == nil {
		defer conn.Close()
		conn.SetReadDeadline(time.Now().Add(soon))
		_, err = conn.Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("connection ended with %v, want a reset", err)
	}
}

func ends(t *testing.T, conn net.Conn, want error) {
	t.Helper()
	conn.SetReadDeadline(time.Now().Add(soon))
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, want) {
		t.Fatalf("connection ended with %v, want %v", err, want)
	}
}

// until polls cond.
func until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(soon); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

func TestPassCarriesBothWaysAndHalfClose(t *testing.T) {
	f := newFar(t)
	client := dial(t, newLink(t, f.Addr().String()))
	server := f.next(t)
	question, answer := random(3<<20), random(5<<20)
	var sending sync.WaitGroup
	sending.Go(func() { client.Write(question); client.CloseWrite() })
	if got, err := io.ReadAll(server); err != nil || !bytes.Equal(got, question) {
		t.Fatalf("the far end got %d bytes, %v; want the %d that were sent", len(got), err, len(question))
	}
	sending.Go(func() { server.Write(answer); server.Close() })
	if got, err := io.ReadAll(client); err != nil || !bytes.Equal(got, answer) {
		t.Fatalf("the client got %d bytes, %v; want the %d that were sent", len(got), err, len(answer))
	}
	sending.Wait()
}

func TestRefuse(t *testing.T) {
	f := newFar(t)
	l := newLink(t, f.Addr().String())
	client, server := connect(t, l, f)
	set(t, l, State{Mode: Refuse})
	ends(t, client, syscall.ECONNRESET)
	ends(t, server, syscall.ECONNRESET)
	if _, err := net.Dial("tcp", l.Addr()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatalf("connecting gave %v, want a refusal", err)
	}
	set(t, l, State{Mode: Pass})
	send(t, dial(t, l), "again")
	receive(t, f.next(t), "again")
}

func TestReset(t *testing.T) {
	f := newFar(t)
	l := newLink(t, f.Addr().String())
	client, server := connect(t, l, f)
	set(t, l, State{Mode: Reset})
	ends(t, client, syscall.ECONNRESET)
	ends(t, server, syscall.ECONNRESET)
	resets(t, l)
}

func TestBlackholeKeepsEverythingBack(t *testing.T) {
	f := newFar(t)
	l := newLink(t, f.Addr().String())
	client, server := connect(t, l, f)
	set(t, l, State{Mode: Blackhole})
	send(t, client, "lost?")
	nothing(t, server)
	client.CloseWrite()
	nothing(t, server)
	send(t, server, "answer")
	nothing(t, client)
	set(t, l, State{Mode: Pass})
	receive(t, server, "lost?")
	ends(t, server, io.EOF)
	receive(t, client, "answer")
}

func TestBlackholeSwallowsNewConnections(t *testing.T) {
	f := newFar(t)
	l := newLink(t, f.Addr().String())
	set(t, l, State{Mode: Blackhole})
	stays, leaves := dial(t, l), dial(t, l)
	send(t, stays, "hello")
	nothing(t, stays)
	leaves.Close()
	until(t, "the one that left is forgotten", func() bool { return l.info().Connections == 1 })
	if len(f.conns) > 0 {
		t.Fatal("a connection came through a black hole")
	}
	set(t, l, State{Mode: Pass})
	receive(t, f.next(t), "hello")
}

func TestBlackholeHoldsNoMoreThanItsBuffer(t *testing.T) {
	f := newFar(t)
	l := newLink(t, f.Addr().String())
	set(t, l, State{Mode: Blackhole})
	data := random(256 << 10)
	client := dial(t, l)
	var sending sync.WaitGroup
	sending.Go(func() { client.Write(data); client.CloseWrite() })
	nothing(t, client)
	set(t, l, State{Mode: Pass})
	if got, err := io.ReadAll(f.next(t)); err != nil || !bytes.Equal(got, data) {
		t.Fatalf("got %d bytes, %v; want %d", len(got), err, len(data))
	}
	sending.Wait()
}

func TestOneWayKeepsOnlyTheWayBack(t *testing.T) {
	f := newFar(t)
	l := newLink(t, f.Addr().String())
	before, server := connect(t, l, f)
	set(t, l, State{Mode: OneWay})
	during := dial(t, l)
	for _, c := range []struct{ client, server *net.TCPConn }{{before, server}, {during, f.next(t)}} {
		send(t, c.client, "there")
		receive(t, c.server, "there")
		send(t, c.server, "back")
		c.server.CloseWrite()
		nothing(t, c.client)
	}
	set(t, l, State{Mode: Pass})
	for _, client := range []*net.TCPConn{before, during} {
		receive(t, client, "back")
		ends(t, client, io.EOF)
	}
}

func TestLatencyDelaysEachDirection(t *testing.T) {
	const delay = 40 * time.Millisecond
	f := newFar(t)
	l := newLink(t, f.Addr().String())
	client, server := connect(t, l, f)
	set(t, l, State{Mode: Latency, Delay: delay})
	start := time.Now()
	send(t, client, "ping")
	receive(t, server, "ping")
	if took := time.Since(start); took < delay {
		t.Errorf("there in %s, less than %s", took, delay)
	}
	start = time.Now()
	send(t, server, "pong")
	server.Close()
	receive(t, client, "pong")
	if took := time.Since(start); took < delay {
		t.Errorf("back in %s, less than %s", took, delay)
	}
	ends(t, client, io.EOF)
}

func TestModesChangeUnderAStreamWithoutALostByte(t *testing.T) {
	f := newFar(t)
	l := newLink(t, f.Addr().String())
	client, server := connect(t, l, f)
	data := random(8 << 20)
	var sending sync.WaitGroup
	done := make(chan struct{})
	sending.Go(func() {
		for rest := data; len(rest) > 0; rest = rest[min(len(rest), 10_000):] {
			client.Write(rest[:min(len(rest), 10_000)])
		}
		client.CloseWrite()
	})
	sending.Go(func() {
		states := []State{
			{Mode: Blackhole, Lease: lease}, {Mode: Latency, Delay: time.Millisecond, Lease: lease}, {Mode: OneWay, Lease: lease}, {Mode: Pass},
			{Mode: Shape, There: Flow{Rate: 50 << 20, Delay: time.Millisecond, Jitter: time.Millisecond}, Lease: lease}, {Mode: Backlog, Lease: lease},
			{Mode: Shape, There: Flow{Drop: true}, Deaf: true, Lease: lease}, {Mode: Latency, Delay: 2 * time.Millisecond, Lease: lease}, {Mode: Pass},
		}
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			case <-time.After(time.Millisecond):
				l.Set(states[i%len(states)])
			}
		}
	})
	server.SetReadDeadline(time.Now().Add(4 * soon))
	got, err := io.ReadAll(server)
	close(done)
	sending.Wait()
	if err != nil || !bytes.Equal(got, data) {
		t.Fatalf("got %d bytes, %v; want the %d that were sent", len(got), err, len(data))
	}
}

func TestLease(t *testing.T) {
	f := newFar(t)
	for _, s := range []State{
		{Mode: Refuse}, {Mode: Reset}, {Mode: Backlog}, {Mode: Blackhole}, {Mode: Blackhole, Deaf: true}, {Mode: OneWay},
		{Mode: Latency, Delay: time.Hour}, {Mode: Shape, There: Flow{Rate: 1}},
	} {
		t.Run(string(s.Mode), func(t *testing.T) {
			l := newLink(t, f.Addr().String())
			s.Lease = 30 * time.Millisecond
			set(t, l, s)
			until(t, "the link passes again", func() bool { return l.info().Mode == Pass })
			send(t, dial(t, l), "healed")
			receive(t, f.next(t), "healed")
		})
	}
}

// TestSettingAgainRenewsTheLease looks when the first lease is over, however much later; the second one lasts.
func TestSettingAgainRenewsTheLease(t *testing.T) {
	f := newFar(t)
	l := newLink(t, f.Addr().String())
	client, server := connect(t, l, f)
	const short = 50 * time.Millisecond
	set(t, l, State{Mode: Blackhole, Lease: short})
	set(t, l, State{Mode: Blackhole, Lease: time.Hour})
	over := time.Now().Add(2 * short)
	until(t, "the first lease is over", func() bool { return time.Now().After(over) })
	if mode := l.info().Mode; mode != Blackhole {
		t.Fatalf("mode is %s although its lease was renewed", mode)
	}
	send(t, client, "after")
	nothing(t, server)
}

func TestRefusedPortTakenByAnotherHealsWhenItIsFree(t *testing.T) {
	f := newFar(t)
	l := newLink(t, f.Addr().String())
	set(t, l, State{Mode: Refuse})
	squatter, err := net.Listen("tcp", l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Set(State{Mode: Pass}); err == nil {
		t.Fatal("the link passes although another has its port")
	}
	squatter.Close()
	until(t, "the link passes again", func() bool { return l.info().Mode == Pass })
	send(t, dial(t, l), "back")
	receive(t, f.next(t), "back")
}

func TestFarEndThatRefusesResetsTheClient(t *testing.T) {
	f := newFar(t)
	l := newLink(t, f.Addr().String())
	f.Close()
	resets(t, l)
	until(t, "no connection is left", func() bool { return l.info().Connections == 0 })
}

func TestResetOfTheFarEndReachesTheClient(t *testing.T) {
	f := newFar(t)
	l := newLink(t, f.Addr().String())
	client, server := connect(t, l, f)
	server.SetLinger(0)
	server.Close()
	ends(t, client, syscall.ECONNRESET)
	until(t, "no connection is left", func() bool { return l.info().Connections == 0 })
}

// TestSilentFarEndHoldsUpNobody dials an address that never answers, where the network gives one.
func TestSilentFarEndHoldsUpNobody(t *testing.T) {
	l := newLink(t, "192.0.2.1:9")
	var clients sync.WaitGroup
	for range 20 {
		clients.Go(func() { resets(t, l) })
	}
	set(t, l, State{Mode: Reset})
	clients.Wait()
	until(t, "no connection is left", func() bool { return l.info().Connections == 0 })
}

func TestCloseEndsConnectionsInEveryMode(t *testing.T) {
	for _, s := range []State{
		{Mode: Pass}, {Mode: Refuse}, {Mode: Reset}, {Mode: Blackhole}, {Mode: OneWay}, {Mode: Latency, Delay: time.Hour},
		{Mode: Backlog}, {Mode: Shape, There: Flow{Drop: true}, Back: Flow{Rate: 1}},
	} {
		t.Run(string(s.Mode), func(t *testing.T) {
			f := newFar(t)
			l := newLink(t, f.Addr().String())
			var conns []net.Conn
			for range 10 {
				client, _ := connect(t, l, f)
				conns = append(conns, client)
			}
			set(t, l, s)
			if s.Mode == Pass || s.Mode == Blackhole {
				conns = append(conns, dial(t, l))
			}
			for _, conn := range conns {
				conn.Write([]byte("x"))
			}
			l.Close()
			for _, conn := range conns {
				conn.SetReadDeadline(time.Now().Add(soon))
				if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, syscall.EAGAIN) {
					t.Errorf("a connection survived: %v", err)
				}
			}
			if n := l.info().Connections; n != 0 {
				t.Errorf("%d connections are left", n)
			}
			if err := l.Set(State{Mode: Pass}); !errors.Is(err, net.ErrClosed) {
				t.Errorf("a closed link took a state: %v", err)
			}
		})
	}
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}
