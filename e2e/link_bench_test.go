package e2e

import (
	"io"
	"net"
	"slices"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	fleetlink "gwdr/fleet/link"
)

// BenchmarkLink compares a link that passes with toxiproxy without toxics, and both with no proxy at all, in the same run:
// how many bytes pass, and how long a small question and its answer take. Client, proxy and server share this process.
func BenchmarkLink(b *testing.B) {
	proxies := []struct {
		name  string
		start func(b *testing.B, to string) (addr string)
	}{
		{"direct", func(_ *testing.B, to string) string { return to }},
		{"link", startLink},
		{"toxiproxy", startToxiproxy},
	}
	for _, p := range proxies {
		b.Run("throughput/"+p.name, func(b *testing.B) { throughput(b, p.start(b, benchServer(b, swallow))) })
	}
	for _, p := range proxies {
		b.Run("roundtrip/"+p.name, func(b *testing.B) { roundTrips(b, p.start(b, benchServer(b, repeat))) })
	}
}

func startLink(b *testing.B, to string) string {
	l, err := fleetlink.Listen(fleetlink.Spec{ID: "bench", Listen: "127.0.0.1:0", To: to}, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	return l.Addr()
}

func startToxiproxy(b *testing.B, to string) string {
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	p := toxiproxy.NewProxy(server, "bench", "127.0.0.1:0", to)
	if err := p.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(p.Stop)
	return p.Listen
}

// benchServer serves each connection until its end, and returns its address.
func benchServer(b *testing.B, serve func(net.Conn) error) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				for serve(conn) == nil {
				}
			}()
		}
	}()
	return l.Addr().String()
}

const (
	bulk  = 64 << 20
	piece = 256 << 10
)

// swallow reads a bulk and says so with one byte.
func swallow(conn net.Conn) error {
	buf := make([]byte, piece)
	for left := bulk; left > 0; {
		n, err := conn.Read(buf[:min(left, piece)])
		if err != nil {
			return err
		}
		left -= n
	}
	_, err := conn.Write(buf[:1])
	return err
}

// repeat answers a question with itself.
func repeat(conn net.Conn) error {
	var question [64]byte
	if _, err := io.ReadFull(conn, question[:]); err != nil {
		return err
	}
	_, err := conn.Write(question[:])
	return err
}

func benchClient(b *testing.B, addr string) net.Conn {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	return conn
}

func throughput(b *testing.B, addr string) {
	conn, data := benchClient(b, addr), make([]byte, piece)
	b.SetBytes(bulk)
	for b.Loop() {
		for range bulk / piece {
			if _, err := conn.Write(data); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := io.ReadFull(conn, data[:1]); err != nil {
			b.Fatal(err)
		}
	}
}

func roundTrips(b *testing.B, addr string) {
	conn := benchClient(b, addr)
	var question [64]byte
	var took []time.Duration
	for b.Loop() {
		start := time.Now()
		if _, err := conn.Write(question[:]); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(conn, question[:]); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	for name, at := range map[string]int{"p50-µs": len(took) / 2, "p99-µs": len(took) * 99 / 100} {
		b.ReportMetric(float64(took[at])/float64(time.Microsecond), name)
	}
}
