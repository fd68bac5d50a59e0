//go:build linux

package gateway

import (
	"testing"

	"gwdr/e2e/shell"
)

// A body whose client ends before it does is no request: no backend takes it for one, and a client that still listens is told.
func TestBodiesThatEndEarly(t *testing.T) {
	shell.New(t, binary)
	target := newTarget(t)
	for _, sent := range []string{
		"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
		"Transfer-Encoding: chunked\r\n\r\nff\r\nhello",
		"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
		"Content-Length: 50\r\n\r\nhello",
	} {
		before := target.whole.Load()
		got, err := target.send("POST /open HTTP/1.1\r\nHost: a\r\n"+sent, andNoMore)
		if err != nil || got != 400 {
			t.Errorf("%q: status %d, %v, want 400", sent, got, err)
		}
		target.isWell(t, before)
	}
}

// A request that has both a length and chunks is read as one by some servers, and as two by others (RFC 9112, section 6.1).
func TestTwoWaysToFindTheEnd(t *testing.T) {
	shell.New(t, binary)
	target := newTarget(t)
	for _, length := range []string{"5", "0", "300"} {
		before := target.whole.Load()
		got, err := target.send("POST /open HTTP/1.1\r\nHost: a\r\nContent-Length: " + length + "\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
		if err != nil || got != 400 {
			t.Errorf("length %s and chunks: status %d, %v, want 400", length, got, err)
		}
		target.isWell(t, before)
	}
}
