//go:build linux

package gateway

import (
	wire "encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"gwdr/e2e/shell"
)

// Frames of HTTP/2 (RFC 9113, section 6), and the errors that end a connection (section 7).
const (
	data, headers, settings, goAway, windowUpdate, continuation = 0, 1, 4, 7, 8, 9

	protocolError, frameSizeError, compressionError = 1, 6, 9
)

// whole is the flag of headers and data that end with the frame (END_STREAM, END_HEADERS).
const whole = 5

func frame(kind, flags byte, stream uint32, payload string) string {
	b := append(wire.BigEndian.AppendUint32(nil, uint32(len(payload))<<8|uint32(kind)), flags)
	return string(wire.BigEndian.AppendUint32(b, stream)) + payload
}

// Frames that are none, or not where they may be, end their connection with the error that the standard names, and nobody else's.
func TestBadFrames(t *testing.T) {
	shell.New(t, binary)
	target := newTarget(t)
	for _, c := range []struct {
		name, sent string
		want       uint32
	}{
		{"data of no stream", frame(data, 0, 0, "hello"), protocolError},
		{"data of a stream that nobody began", frame(data, 0, 1, "hello"), protocolError},
		{"a stream that only a server may begin", frame(headers, whole, 2, "\x82\x86\x84\x41\x01a"), protocolError},
		{"more of a header that nobody began", frame(continuation, 0, 1, "\x82"), protocolError},
		{"something else amid a header", frame(headers, 0, 1, "\x82") + frame(windowUpdate, 0, 0, "\x00\x00\x00\x01"), protocolError},
		{"a header that cannot be unpacked", frame(headers, 0, 1, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff") + frame(continuation, 0, 1, "\x82"), compressionError},
		{"no more window", frame(windowUpdate, 0, 0, "\x00\x00\x00\x00"), protocolError},
		{"settings of a stream", frame(settings, 0, 1, ""), protocolError},
		{"settings that end early", frame(settings, 0, 0, "\x00\x03"), frameSizeError},
		{"a frame of 16 MB", frame(data, 0, 1, strings.Repeat("x", 1<<24-1)), frameSizeError},
	} {
		t.Run(c.name, func(t *testing.T) {
			defer target.isWell(t, target.whole.Load())
			conn, err := net.Dial("tcp", target.Listen)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(20 * time.Second))
			go io.WriteString(conn, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"+frame(settings, 0, 0, "")+c.sent) // it may not be read to its end
			if got, err := errorOf(conn); err != nil || got != c.want {
				t.Errorf("ended with error %d, %v, want %d", got, err, c.want)
			}
		})
	}
}

// errorOf reads frames until one says that the connection ends, and with which error.
func errorOf(conn io.Reader) (uint32, error) {
	for {
		head := make([]byte, 9)
		if _, err := io.ReadFull(conn, head); err != nil {
			return 0, err
		}
		payload := make([]byte, wire.BigEndian.Uint32(slices.Concat([]byte{0}, head[:3])))
		if _, err := io.ReadFull(conn, payload); err != nil {
			return 0, err
		}
		switch {
		case head[3] != goAway:
		case len(payload) < 8:
			return 0, errors.New("a GOAWAY without an error")
		default:
			return wire.BigEndian.Uint32(payload[4:]), nil
		}
	}
}
