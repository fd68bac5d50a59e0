package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// faultProxy stands before the server and misbehaves as servers and networks do. What a fault does not touch passes.
type faultProxy struct {
	upstream http.RoundTripper
	address  string
	gone     chan struct{} // closed when the test ends
	seen     sync.Map      // paths, of loseThenLie

	mu    sync.Mutex
	fault fault
	hits  int // requests that the fault met
}

// fault is what happens to some requests.
type fault struct {
	name  string
	on    func(*http.Request) bool // which requests; nil: all
	times int                      // how many of them; 0: all
	do    func(p *faultProxy, w http.ResponseWriter, r *http.Request, n int)
}

func newFaultProxy(t *testing.T) *faultProxy {
	t.Helper()
	p := &faultProxy{gone: make(chan struct{}), upstream: &http.Transport{DialContext: shared.dial, MaxIdleConnsPerHost: 16}}
	server := httptest.NewServer(p)
	t.Cleanup(func() {
		close(p.gone)
		server.CloseClientConnections()
		server.Close()
	})
	p.address = server.Listener.Addr().String()
	return p
}

func (p *faultProxy) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, "tcp", p.address)
}

// set makes the fault the only one. The zero fault heals.
func (p *faultProxy) set(f fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault, p.hits = f, 0
}

// met returns how many requests the fault met.
func (p *faultProxy) met() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hits
}

func (p *faultProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	f := p.fault
	struck := f.do != nil && (f.on == nil || f.on(r)) && (f.times == 0 || p.hits < f.times)
	if struck {
		p.hits++
	}
	n := p.hits
	p.mu.Unlock()
	if struck {
		f.do(p, w, r, n)
		return
	}
	p.pass(w, r)
}

func (p *faultProxy) send(r *http.Request) (*http.Response, error) {
	out := r.Clone(r.Context())
	out.RequestURI, out.URL.Scheme, out.URL.Host = "", "http", r.Host
	if r.ContentLength == 0 {
		out.Body = http.NoBody
	}
	return p.upstream.RoundTrip(out)
}

func (p *faultProxy) pass(w http.ResponseWriter, r *http.Request) {
	answer, err := p.send(r)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer answer.Body.Close()
	copyHeader(w, answer)
	if _, err := io.Copy(w, answer.Body); err != nil {
		panic(http.ErrAbortHandler)
	}
}

func copyHeader(w http.ResponseWriter, answer *http.Response) {
	for name, values := range answer.Header {
		w.Header()[name] = values
	}
	if answer.ContentLength >= 0 {
		w.Header().Set("Content-Length", fmt.Sprint(answer.ContentLength))
	}
	w.WriteHeader(answer.StatusCode)
}

// says answers instead of the server, which never sees the request.
func says(status int, code string) func(*faultProxy, http.ResponseWriter, *http.Request, int) {
	return func(_ *faultProxy, w http.ResponseWriter, r *http.Request, _ int) {
		io.Copy(io.Discard, r.Body)
		sayError(w, status, code)
	}
}

func sayError(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>as the test wants it.</Message></Error>`, code)
}

// hang takes the request and never answers, until whoever asks gives up.
func hang(p *faultProxy, _ http.ResponseWriter, r *http.Request, _ int) {
	select {
	case <-r.Context().Done():
	case <-p.gone:
	}
	panic(http.ErrAbortHandler)
}

// stall takes some of the request and then no more.
func stall(p *faultProxy, w http.ResponseWriter, r *http.Request, n int) {
	io.CopyN(io.Discard, r.Body, r.ContentLength/2)
	hang(p, w, r, n)
}

// cutRequest resets the connection when half of the body has come.
func cutRequest(_ *faultProxy, w http.ResponseWriter, r *http.Request, _ int) {
	io.CopyN(io.Discard, r.Body, r.ContentLength/2)
	reset(w)
}

// cutAnswer lets the server do it, and resets the connection after half of the answer's body.
func cutAnswer(p *faultProxy, w http.ResponseWriter, r *http.Request, _ int) {
	p.halfAnswer(w, r)
	reset(w)
}

// stallAnswer gives half of the answer's body, and then no more.
func stallAnswer(p *faultProxy, w http.ResponseWriter, r *http.Request, n int) {
	p.halfAnswer(w, r)
	hang(p, w, r, n)
}

func (p *faultProxy) halfAnswer(w http.ResponseWriter, r *http.Request) {
	answer, err := p.send(r)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer answer.Body.Close()
	if answer.ContentLength < 2 {
		io.Copy(io.Discard, answer.Body)
		return
	}
	copyHeader(w, answer)
	io.CopyN(w, answer.Body, answer.ContentLength/2)
	http.NewResponseController(w).Flush()
}

// loseAnswer lets the server do it, and resets the connection instead of telling.
func loseAnswer(p *faultProxy, w http.ResponseWriter, r *http.Request, _ int) {
	p.swallow(r)
	reset(w)
}

// loseThenLie lets the server do it the first time, and loses the answer. All later times it says 412 on its own.
func loseThenLie(p *faultProxy, w http.ResponseWriter, r *http.Request, n int) {
	if _, again := p.seen.LoadOrStore(r.URL.Path, true); !again {
		loseAnswer(p, w, r, n)
		return
	}
	says(http.StatusPreconditionFailed, "PreconditionFailed")(p, w, r, n)
}

// doThenFail lets the server do it, and says 500.
func doThenFail(p *faultProxy, w http.ResponseWriter, r *http.Request, _ int) {
	p.swallow(r)
	sayError(w, http.StatusInternalServerError, "InternalError")
}

// failInside says 200, as S3 does to an upload that takes long to complete, and then that it failed.
func failInside(_ *faultProxy, w http.ResponseWriter, r *http.Request, _ int) {
	io.Copy(io.Discard, r.Body)
	sayError(w, http.StatusOK, "InternalError")
}

// doneWithoutProof lets the server complete an upload, and leaves out what came of it.
func doneWithoutProof(p *faultProxy, w http.ResponseWriter, r *http.Request, n int) {
	p.swallow(r)
	doneInTruthNot(p, w, r, n)
}

// doneInTruthNot says that an upload is complete, and does nothing.
func doneInTruthNot(_ *faultProxy, w http.ResponseWriter, r *http.Request, _ int) {
	io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "application/xml")
	io.WriteString(w, `<?xml version="1.0" encoding="UTF-8"?><CompleteMultipartUploadResult><ETag>"0"</ETag></CompleteMultipartUploadResult>`)
}

func (p *faultProxy) swallow(r *http.Request) {
	answer, err := p.send(r)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	io.Copy(io.Discard, answer.Body)
	answer.Body.Close()
}

// ignoreCondition makes the server one that does not know If-None-Match. The header is signed, so the request is signed
// anew.
func ignoreCondition(p *faultProxy, w http.ResponseWriter, r *http.Request, _ int) {
	r.Header.Del("If-None-Match")
	r.Header.Del("Authorization")
	credentials, err := shared.credentials().Retrieve(r.Context())
	if err == nil {
		r.URL.Host, r.URL.Scheme = r.Host, "http"
		err = v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }).SignHTTP(r.Context(),
			credentials, r, r.Header.Get("X-Amz-Content-Sha256"), "s3", region, time.Now())
	}
	if err != nil {
		sayError(w, http.StatusInternalServerError, err.Error())
		return
	}
	p.pass(w, r)
}

func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	conn.Close()
}

// isWrite tells the requests that make objects, and parts of them.
func isWrite(r *http.Request) bool { return r.Method == http.MethodPut || r.Method == http.MethodPost }

// isObject tells the request that makes an object appear: a put, or the end of an upload in parts.
func isObject(r *http.Request) bool {
	q := r.URL.Query()
	return r.Method == http.MethodPut && !q.Has("partNumber") || r.Method == http.MethodPost && q.Has("uploadId")
}

// isPart tells the upload of a part.
func isPart(r *http.Request) bool {
	return r.Method == http.MethodPut && r.URL.Query().Has("partNumber")
}

// isList tells listings.
func isList(r *http.Request) bool {
	return r.Method == http.MethodGet && (r.URL.Query().Has("list-type") || r.URL.Query().Has("versions"))
}

// isGet tells reads of objects.
func isGet(r *http.Request) bool { return r.Method == http.MethodGet && !isList(r) }

// isPoint tells the put of a point, which is what commits a backup.
func isPoint(r *http.Request) bool { return isObject(r) && strings.Contains(r.URL.Path, "/points/") }
