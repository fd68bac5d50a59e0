package proxy

import (
	"encoding/json"
	"net/http"
)

// refusal is an answer that the gateway gives itself.
type refusal struct {
	status int
	text   string
	allow  string // value of the Allow header
}

func unauthorized(text string) *refusal { return &refusal{status: http.StatusUnauthorized, text: text} }

// write answers {"error":text}.
func (f *refusal) write(w http.ResponseWriter) {
	h := w.Header()
	if f.status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="gwdr"`)
	}
	if f.allow != "" {
		h.Set("Allow", f.allow)
	}
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(f.status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": f.text}) // the client may be gone
}

// recorder remembers the status that was answered.
type recorder struct {
	http.ResponseWriter
	status int
}

// WriteHeader notes the first final status; informational ones come before it.
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController flush and hijack.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
