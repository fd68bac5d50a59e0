package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// knocks is a listener of connections from the addresses, each of which the test holds the other end of.
type knocks struct{ waiting chan net.Conn }

type knock struct {
	net.Conn
	from net.Addr
}

func (k knock) RemoteAddr() net.Addr { return k.from }

func (k *knocks) Accept() (net.Conn, error) {
	conn, more := <-k.waiting
	if !more {
		return nil, net.ErrClosed // as a listener that is closed
	}
	return conn, nil
}

func (k *knocks) Close() error   { return nil }
func (k *knocks) Addr() net.Addr { return nil }

// TestBound: what is beyond is closed, what is closed makes room, once.
func TestBound(t *testing.T) {
	registry := newRegistry()
	g := newGateway(t, Options{Trusted: prefixes("10.0.0.0/8"), Metrics: registry})
	k := &knocks{waiting: make(chan net.Conn, 1)}
	l, accepted := g.Bound(k, 6, 2), make(chan net.Conn)
	go func() {
		defer close(accepted)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- conn
		}
	}()
	open := map[string][]net.Conn{}
	enter := func(from string) bool {
		ours, theirs := net.Pipe()
		k.waiting <- knock{theirs, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(from))}
		closed := make(chan error, 1)
		go func() {
			_, err := ours.Read(make([]byte, 1)) // nobody writes
			closed <- err
		}()
		select {
		case conn := <-accepted:
			open[from] = append(open[from], conn)
			return true
		case <-closed:
			return false
		}
	}
	leave := func(from string) {
		conn := open[from][0]
		open[from] = open[from][1:]
		conn.Close()
		conn.Close() // counts once
	}
	for i, step := range []struct {
		from string
		want bool
	}{
		{"192.0.2.1:1", true}, {"192.0.2.1:2", true}, {"192.0.2.1:3", false}, {"192.0.2.2:1", true},
		{"[2001:db8::1]:1", true}, {"[2001:db8::2]:1", true}, {"[2001:db8::3]:1", false}, // one /64
		{"-192.0.2.1:1", true}, {"192.0.2.1:4", true}, {"192.0.2.1:5", false},
		{"-[2001:db8::1]:1", true}, {"-[2001:db8::2]:1", true},
		{"10.0.0.1:1", true}, {"10.0.0.1:2", true}, {"10.0.0.1:3", true}, {"192.0.2.3:1", false}, // six are open
	} {
		if from, ends := strings.CutPrefix(step.from, "-"); ends {
			leave(from)
		} else if got := enter(step.from); got != step.want {
			t.Errorf("step %d, %s: let in %t", i, step.from, got)
		}
	}
	want := "gwdr_connections 6\ngwdr_connections_refused_total{bound=\"address\"} 3\ngwdr_connections_refused_total{bound=\"all\"} 1\n"
	if got := gathered(t, registry); !strings.Contains(got, want) {
		t.Errorf("metrics:\n%swant\n%s", got, want)
	}
	close(k.waiting)
	if conn, more := <-accepted; more {
		t.Errorf("closed: %v", conn)
	}
	for _, conns := range open {
		for _, conn := range conns {
			conn.Close()
		}
	}
}

// TestBoundCountsUpgraded: a connection counts as long as it is open, also when the server has given it away.
func TestBoundCountsUpgraded(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprint(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
		rw.Flush()
		io.Copy(conn, rw)
	}))
	t.Cleanup(up.Close)
	g := newGateway(t, Options{}, upstreamOf("u", up.URL), open("r", "/", "u"))
	server := httptest.NewUnstartedServer(g)
	address := server.Listener.Addr().String()
	server.Listener = Guard(server.Config, g.Bound(server.Listener, 1, 0))
	server.Start()
	t.Cleanup(server.Close)
	dial := func() (net.Conn, error) {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err == nil && resp.StatusCode != http.StatusSwitchingProtocols {
			t.Errorf("status %s", resp.Status)
		}
		return conn, err
	}
	first, err := dial()
	if err != nil {
		t.Fatal(err)
	}
	second, err := dial()
	if err == nil {
		t.Error("a second connection is let in")
	}
	second.Close()
	first.Close()
	eventually(t, "there is room again", func() bool {
		conn, err := dial()
		conn.Close()
		return err == nil
	})
}

// TestBoundConnectionsCloseInHalves: the end of what is sent can be said while more may come, by the server and by the sides of an upgraded
// connection.
func TestBoundConnectionsCloseInHalves(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	conn, err := Guard(&http.Server{}, newGateway(t, Options{}).Bound(l, 1, 1)).Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.(*guardedConn).CloseWrite(); err != nil {
		t.Error(err)
		return
	}
	if _, err := client.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the client reads: %v", err)
	}
}
