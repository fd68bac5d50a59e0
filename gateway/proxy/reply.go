package proxy

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// refusal is an answer that the gateway gives itself.
type refusal struct {
	status int
	text   string
	allow  string        // value of the Allow header
	retry  time.Duration // when to come again, by the Retry-After header; 0: nothing is known

	problem any // the answer, as application/problem+json, in place of the text
}

// tooLarge is of a body of more bytes than the route takes.
func (r *route) tooLarge() *refusal {
	return &refusal{status: http.StatusRequestEntityTooLarge, text: fmt.Sprintf("the request body is larger than the %d bytes that the route takes", r.maxBody)}
}

func unauthorized(text string) *refusal { return &refusal{status: http.StatusUnauthorized, text: text} }

// write answers {"error":text}, or the problem.
func (f *refusal) write(w http.ResponseWriter) {
	h := w.Header()
	if f.status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="gwdr"`)
	}
	if f.allow != "" {
		h.Set("Allow", f.allow)
	}
	if f.retry > 0 {
		h.Set("Retry-After", strconv.FormatInt(wholeSeconds(f.retry), 10))
	}
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	var body any = map[string]string{"error": f.text}
	if f.problem != nil {
		h.Set("Content-Type", "application/problem+json")
		body = f.problem
	}
	w.WriteHeader(f.status)
	_ = json.NewEncoder(w).Encode(body) // the client may be gone
}

// wholeSeconds rounds up.
func wholeSeconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

// recorder remembers what was answered.
type recorder struct {
	http.ResponseWriter
	own    http.Header // of the gateway, for the final answer: the reverse proxy drops what was set before an informational one
	status int
	bytes  int64 // of the body
}

// begin notes the status of the final answer, of which there is one, and adds the gateway's own to its header.
func (r *recorder) begin(status int) {
	if r.status != 0 {
		return
	}
	r.status = status
	h := r.Header()
	for name, values := range r.own {
		if len(h[name]) > 0 {
			values = append(slices.Clone(values), h[name]...)
		}
		h[name] = values
	}
}

// Write counts.
func (r *recorder) Write(b []byte) (int, error) {
	n, err := r.ResponseWriter.Write(b)
	r.bytes += int64(n)
	return n, err
}

// WriteHeader tells a final answer from the informational ones before it.
func (r *recorder) WriteHeader(status int) {
	if status >= 200 {
		r.begin(status)
	}
	r.ResponseWriter.WriteHeader(status)
}

// Hijack gives the connection to the reverse proxy, which then answers on it by itself.
func (r *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffer, err := http.NewResponseController(r.ResponseWriter).Hijack()
	if err == nil {
		r.begin(http.StatusSwitchingProtocols)
	}
	return conn, buffer, err
}

// Unwrap lets http.ResponseController flush.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
