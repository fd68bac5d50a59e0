package proxy

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// raw sends the pieces, each in a packet of its own, and returns the status and the body of every answer until the connection ends.
func raw(t *testing.T, address string, pieces ...string) []string {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return rawOn(t, conn, pieces...)
}

func rawOn(t *testing.T, conn net.Conn, pieces ...string) []string {
	t.Helper()
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for _, p := range pieces {
		if _, err := io.WriteString(conn, p); err != nil {
			break // it is answered already
		}
	}
	var answers []string
	r := bufio.NewReader(conn)
	for {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			return answers
		}
		body, _ := io.ReadAll(resp.Body)
		answers = append(answers, fmt.Sprintf("%d %s", resp.StatusCode, body))
	}
}

func TestAmbiguousRequestsAreRefused(t *testing.T) {
	url := serve(t, newGateway(t, Options{}, upstreamOf("u", backend(t, "u").URL), open("r", "/{x...}", "u")))
	address := strings.TrimPrefix(url, "http://")
	const smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
	for name, c := range map[string]struct{ request, want string }{
		"length and chunked":          {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled, "400"},
		"chunked and length":          {"POST / HTTP/1.1\r\nHost: a\r\ntransfer-encoding: chunked\r\nCONTENT-LENGTH: 5\r\n\r\n0\r\n\r\n" + smuggled, "400"},
		"bare line ends":              {"POST / HTTP/1.1\nHost: a\nContent-Length: 5\nTransfer-Encoding: chunked\n\n0\r\n\r\n" + smuggled, "400"},
		"chunked in HTTP/1.0":         {"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"},
		"two lengths":                 {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 4\r\n\r\nbody", "400"},
		"twice the same length":       {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\nbody", "400"},
		"a list of lengths":           {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4, 4\r\n\r\nbody", "400"},
		"a length with a sign":        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +4\r\n\r\nbody", "400"},
		"two hosts":                   {"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400"},
		"no host":                     {"GET / HTTP/1.1\r\n\r\n", "400"},
		"a folded line":               {"GET / HTTP/1.1\r\nHost: a\r\nX-A: b\r\n Transfer-Encoding: chunked\r\n\r\n", "400"},
		"a line that begins folded":   {"GET / HTTP/1.1\r\n Host: a\r\n\r\n", "400"},
		"a space before the colon":    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", "400"},
		"chunked in HTTP/1.2":         {"POST / HTTP/1.2\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"},
		"two codings":                 {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "501"},
		"another coding":              {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "501"},
		"a coding hidden by a return": {"POST / HTTP/1.1\r\nHost: a\r\nX: a\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"},
	} {
		for split, pieces := range map[string][]string{"whole": {c.request}, "in bytes": strings.Split(c.request, "")} {
			got := raw(t, address, pieces...)
			if len(got) != 1 || !strings.HasPrefix(got[0], c.want+" ") {
				t.Errorf("%s, %s: %q, want only a %s", name, split, got, c.want)
			}
		}
	}
}

// TestRequestsInARowPass: what is sure is not refused, whatever the bodies look like, and neither is what is not HTTP any more.
func TestRequestsInARowPass(t *testing.T) {
	url := serve(t, newGateway(t, Options{}, upstreamOf("u", backend(t, "u").URL), open("r", "/{x...}", "u")))
	const evil = "POST / HTTP/1.1\r\nHost: a\r\nHost: b\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
	all := strings.Join([]string{
		"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n",
		fmt.Sprintf("POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", len(evil), evil),
		fmt.Sprintf("\r\nPUT /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\nTrailer: X-T\r\n\r\n%X;ext=1\r\n%s\r\n1 \r\n!\r\n0\r\nX-T: 1\r\n\r\n", len(evil), evil),
		"GET /4 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
		"GET /5 HTTP/1.1\nHost: a\nConnection: close\n\n",
	}, "")
	want := []string{"200 GET /1 ", "200 POST /2 " + evil, "200 PUT /3 " + evil + "!", "200 GET /4 ", "200 GET /5 "}
	for name, pieces := range map[string][]string{"whole": {all}, "in bytes": strings.Split(all, "")} {
		got := raw(t, strings.TrimPrefix(url, "http://"), pieces...)
		if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
			t.Errorf("%s: %q\nwant %q", name, got, want)
		}
	}
}

func TestUpgradedConnectionsAreNotLookedAt(t *testing.T) {
	client, server := net.Pipe()
	defer client.Close()
	s := &http.Server{}
	Guard(s, nil)
	conn := &guardedConn{Conn: server}
	s.ConnState(conn, http.StateHijacked)
	const text = "GET / HTTP/1.1\r\n Host: a\r\n\r\n"
	go io.WriteString(client, text)
	got := make([]byte, len(text))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != text {
		t.Errorf("%q, %v", got, err)
	}
}

// FuzzFraming: where the bytes are cut makes no difference, and whatever net/http reads as a request with a body by both lengths, or
// goes on to after it, was refused.
func FuzzFraming(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.1\r\nHost: a\r\n\r\nPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), uint8(3))
	f.Add([]byte("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n0\r\nA: b\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n x\r\n\r\n"), uint8(1))
	f.Add([]byte("POST / HTTP/1.1\nHost: a\nContent-Length: 3\n\nabcGET / HTTP/1.1\nHost: a\nHost: b\n\n"), uint8(7))
	f.Fuzz(func(t *testing.T, text []byte, size uint8) {
		whole, pieces := &framing{}, &framing{}
		refused, at := whole.scan(text), 0
		again := -1
		for piece := range splitIn(text, max(int(size), 1)) {
			if found := pieces.scan(piece); found >= 0 {
				again = at + found
				break
			}
			at += len(piece)
		}
		if again != refused {
			t.Fatalf("%q: refused at %d, in pieces of %d at %d", text, refused, size, again)
		}
		if refused < 0 && readsAmbiguous(text) {
			t.Fatalf("%q passes", text)
		}
	})
}

func splitIn(text []byte, size int) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(text) > 0 {
			n := min(size, len(text))
			if !yield(text[:n]) {
				return
			}
			text = text[n:]
		}
	}
}

// readsAmbiguous has net/http read the requests, and looks for one whose header has both lengths.
func readsAmbiguous(text []byte) bool {
	source := bytes.NewReader(text)
	r := bufio.NewReaderSize(source, 16)
	for {
		begin := len(text) - source.Len() - r.Buffered()
		req, err := http.ReadRequest(r)
		if err != nil {
			return false
		}
		header, _, _ := strings.Cut(strings.ReplaceAll(string(text[begin:]), "\r\n", "\n"), "\n\n")
		header = strings.ToLower(header)
		if len(req.TransferEncoding) > 0 && strings.Contains(header, "\ncontent-length:") && strings.Contains(header, "\ntransfer-encoding:") {
			return true
		}
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			return false
		}
	}
}
