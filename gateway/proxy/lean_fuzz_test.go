package proxy

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"reflect"
	"testing"
	"time"
)

// FuzzLeanAnswer: whatever an endpoint answers before it closes, lean makes of it what http.Transport does.
func FuzzLeanAnswer(f *testing.F) {
	for _, answer := range []string{"", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.1 200 OK\r\n\r\nok", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nok",
		"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n2\r\nok\r\n0\r\nX: y\r\nZ: w\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n1\r\nx\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", "HTTP/1.1 101 Switching Protocols\r\n\r\n", "HTTP/1.1 099 Low\r\n\r\n", "HTTP/1.1 200 OK\nA: b\n c\n\nx", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n"} {
		f.Add([]byte(answer), false)
		f.Add([]byte(answer), true)
	}
	f.Fuzz(func(t *testing.T, answer []byte, head bool) {
		method := http.MethodGet
		if head {
			method = http.MethodHead
		}
		by := newTransport(time.Second)
		by.usual.DialContext = func(context.Context, string, string) (net.Conn, error) { return scripted(answer), nil }
		defer by.CloseIdleConnections()
		nothing := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(int, textproto.MIMEHeader) error { return nil }})
		req, err := http.NewRequestWithContext(nothing, method, "http://back/", nil)
		if err != nil {
			t.Fatal(err)
		}
		got := heard(by.lean.ask(req, noInform()))
		want := heard(by.usual.RoundTrip(req))
		if !reflect.DeepEqual(got, want) {
			t.Errorf("lean: %+v\nhttp.Transport: %+v", got, want)
		}
	})
}

// scripted is a connection to who reads a request, answers and closes.
func scripted(answer []byte) net.Conn {
	ours, theirs := net.Pipe()
	go func() {
		defer theirs.Close()
		if _, err := http.ReadRequest(bufio.NewReader(theirs)); err == nil {
			_, _ = theirs.Write(answer) // nobody need read all of it
		}
	}()
	return ours
}

// whole is what came of a request.
type whole struct {
	Status          int
	Header, Trailer http.Header
	Body            string
	Failed          bool // to be read to its end
}

// heard reads a response to its end; one that nobody may pass on is none.
func heard(resp *http.Response, err error) (w whole) {
	if err != nil {
		return whole{Failed: true}
	}
	defer resp.Body.Close()
	if checkStatus(resp) != nil {
		return whole{Failed: true}
	}
	body, err := io.ReadAll(resp.Body)
	return whole{resp.StatusCode, resp.Header, resp.Trailer, string(body), err != nil}
}
