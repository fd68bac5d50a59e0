package proxy

import (
	"io"
	"maps"
	"net/http"
	"net/http/httputil"
	"net/textproto"
	"slices"
	"strings"
	"sync"
)

// pass makes the upstream's request of the client's, and passes the answer on, as httputil.ReverseProxy does, to which upgrades are left. It
// copies what there is to copy once, which httputil cannot, as it does not know what its Transport leaves alone.
func (x *exchange) pass(w http.ResponseWriter, r *http.Request) {
	x.inform = &inform{ResponseWriter: w}
	resp, err := x.RoundTrip(x.outgoing(r))
	x.inform.end()
	if err != nil {
		x.fail(w, r, err)
		return
	}
	defer resp.Body.Close()
	dropHop(resp.Header)
	_ = x.answer(resp) // never fails
	announced := passHeader(w.Header(), resp)
	w.WriteHeader(resp.StatusCode)
	if err := x.passBody(w, resp); err != nil {
		x.gateway.log.Debug("response broke off", "route", x.route.id, "upstream", x.upstream.id, "error", err)
		panic(http.ErrAbortHandler) // the client must not take what it has for the whole
	}
	x.passTrailer(w, resp, announced)
}

// outgoing is the upstream's request.
func (x *exchange) outgoing(in *http.Request) *http.Request {
	out := in.WithContext(in.Context())
	out.Close, out.Trailer = false, in.Trailer.Clone()
	if in.ContentLength == 0 {
		out.Body = nil
	}
	out.Header = make(http.Header, len(in.Header)+6)
	for name, values := range in.Header {
		if !isHop(name) && !isForwarded(name) {
			out.Header[name] = values
		}
	}
	if listed(in.Header["Te"], "trailers") {
		out.Header["Te"] = []string{"trailers"}
	}
	out.Header["User-Agent"] = []string{in.Header.Get("User-Agent")} // also if it is empty: else net/http sends its own
	x.rewrite(&httputil.ProxyRequest{In: in, Out: out})
	return out
}

// isHop reports whether a header is for one connection only (RFC 9110, section 7.6.1), whether Connection says so or not.
func isHop(name string) bool {
	switch name {
	case "Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade":
		return true
	}
	return false
}

// isForwarded reports whether a header says for whom a proxy asks.
func isForwarded(name string) bool {
	switch name {
	case "Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto":
		return true
	}
	return false
}

// listed reports whether a header of tokens that are separated by commas has one.
func listed(values []string, token string) bool {
	return slices.ContainsFunc(values, func(list string) bool {
		for one := range strings.SplitSeq(list, ",") {
			if strings.EqualFold(textproto.TrimString(one), token) {
				return true
			}
		}
		return false
	})
}

// dropHop drops what is for the connection to the endpoint only.
func dropHop(header http.Header) {
	for _, list := range header["Connection"] {
		for name := range strings.SplitSeq(list, ",") {
			header.Del(textproto.TrimString(name))
		}
	}
	for name := range header {
		if isHop(name) {
			delete(header, name)
		}
	}
}

// inform passes informational responses on until the final one is there, to whom a transport tells of them.
type inform struct {
	http.ResponseWriter
	mu   sync.Mutex
	over bool
}

// got is an httptrace.ClientTrace's Got1xxResponse.
func (i *inform) got(status int, header textproto.MIMEHeader) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	switch {
	case i.over:
		return nil
	case status == http.StatusSwitchingProtocols: // by HTTP/2, which has none (RFC 9113, section 8.6)
		return errSwitched
	}
	h := i.Header()
	maps.Copy(h, http.Header(header))
	i.WriteHeader(status)
	clear(h)
	return nil
}

func (i *inform) end() {
	i.mu.Lock()
	i.over = true
	i.mu.Unlock()
}

// passHeader copies the header, and announces the trailers that the response does, of which it returns how many there are.
func passHeader(h http.Header, resp *http.Response) (announced int) {
	maps.Copy(h, resp.Header)
	if len(resp.Trailer) > 0 {
		h.Add("Trailer", strings.Join(slices.Sorted(maps.Keys(resp.Trailer)), ", "))
	}
	return len(resp.Trailer)
}

// passBody copies the body: at once, piece by piece, if nobody knows how long it is, or it is a stream of events.
func (x *exchange) passBody(w io.Writer, resp *http.Response) error {
	if resp.ContentLength < 0 || strings.HasPrefix(strings.ToLower(resp.Header.Get("Content-Type")), "text/event-stream") {
		_ = x.control.Flush()
		w = flushing{w, x.control}
	}
	buffer := x.gateway.buffers.Get()
	defer x.gateway.buffers.Put(buffer)
	_, err := io.CopyBuffer(w, resp.Body, buffer)
	return err
}

// flushing sends on what it gets.
type flushing struct {
	io.Writer
	control *http.ResponseController
}

// Write implements io.Writer.
func (f flushing) Write(p []byte) (int, error) {
	n, err := f.Writer.Write(p)
	_ = f.control.Flush() // a client that is gone shows at the next Write
	return n, err
}

// passTrailer passes on what came after the body.
func (x *exchange) passTrailer(w http.ResponseWriter, resp *http.Response, announced int) {
	if len(resp.Trailer) == 0 {
		return
	}
	_ = x.control.Flush() // by which the response is chunked, also if it is short: else it has no trailer
	prefix := ""
	if len(resp.Trailer) != announced {
		prefix = http.TrailerPrefix
	}
	for name, values := range resp.Trailer {
		w.Header()[prefix+name] = values
	}
}
