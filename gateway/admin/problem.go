package admin

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
)

// problem is the answer to a request that is refused or has failed: the members of RFC 9457, and those that clients of this
// API read.
type problem struct {
	Type    string `json:"type"`              // urn:gwdr:problem:CODE; it names the problem, and is no address
	Title   string `json:"title"`             // the same for all problems of a type
	Status  int    `json:"status"`            // that of the answer
	Detail  string `json:"detail"`            // for people
	Error   string `json:"error"`             // Detail again, under the name that it had first
	Code    string `json:"code"`              // the last part of Type
	Hint    string `json:"hint,omitempty"`    // what to do
	Applied int    `json:"applied,omitempty"` // changes that were made nevertheless
}

// titles says in short what each code means. There is no other code.
var titles = map[string]string{
	"bad_request":  "The request is not understood",
	"cancelled":    "The request ended before its work did",
	"compacted":    "The changes since then are not known any more",
	"conflict":     "Something else has changed meanwhile, or stands against it",
	"forbidden":    "Not allowed",
	"full":         "The store is full",
	"internal":     "The gateway has failed",
	"invalid":      "This cannot be stored",
	"missing":      "What it refers to is not there",
	"no_endpoint":  "No such endpoint",
	"no_quorum":    "Too few members of the store answer",
	"not_found":    "Not found",
	"not_leader":   "No writes are taken here",
	"not_ready":    "Nothing is served yet",
	"referenced":   "Something refers to it",
	"too_large":    "The body is too large",
	"unauthorized": "No valid token",
}

// problem puts the refusal into the form that clients get.
func (e *refusal) problem() problem {
	return problem{Type: "urn:gwdr:problem:" + e.code, Title: titles[e.code], Status: e.status, Detail: e.text, Error: e.text,
		Code: e.code, Hint: e.hint, Applied: e.applied}
}

// answer writes v as JSON.
func answer(w http.ResponseWriter, status int, v any) { answerAs(w, "application/json", status, v) }

func answerAs(w http.ResponseWriter, contentType string, status int, v any) {
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // all that is answered is JSON
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(body.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes()) // the client is gone
}
