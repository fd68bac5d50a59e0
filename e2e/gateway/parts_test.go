//go:build linux

package gateway

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"sync"
	"time"
)

// part returns what the arguments make of this process, or nil if they are those of a test.
func part(args []string) func() error {
	switch {
	case len(args) == 1 && args[0] == "backend":
		return func() error { return serveAlone(backend()) }
	case len(args) == 2 && args[0] == "proxy":
		return func() error { return serveAlone(bareProxy(args[1])) }
	case len(args) == 5 && args[0] == "load":
		return func() error { return generate(args[1:]) }
	}
	return nil
}

// serveAlone says where it serves on stdout, and serves until stdin ends.
func serveAlone(handler http.Handler) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	go func() { log.Fatal(http.Serve(l, handler)) }()
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

const answerSize = 1 << 10

func backend() http.HandlerFunc {
	answer := bytes.Repeat([]byte("."), answerSize)
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.Write(answer)
	}
}

// bareProxy is the least that Go's library makes of a reverse proxy, with the transport that a gateway would give it.
func bareProxy(address string) http.Handler {
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: address})
	proxy.BufferPool = &buffers{sync.Pool{New: func() any { return new([32 << 10]byte) }}}
	proxy.Transport = &http.Transport{
		DialContext:         (&net.Dialer{Timeout: time.Second}).DialContext,
		MaxIdleConnsPerHost: 256,
		IdleConnTimeout:     90 * time.Second,
		DisableCompression:  true,
		WriteBufferSize:     16 << 10,
		ReadBufferSize:      16 << 10,
	}
	return proxy
}

type buffers struct{ pool sync.Pool }

func (b *buffers) Get() []byte  { return b.pool.Get().(*[32 << 10]byte)[:] }
func (b *buffers) Put(p []byte) { b.pool.Put((*[32 << 10]byte)(p)) }
