package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"gwdr/gateway"
	"gwdr/gateway/store"
)

// refusal is an error with the status, the word for programs and the next step for people that go with it.
type refusal struct {
	status     int
	code       string
	text, hint string
	applied    int // changes that were made nevertheless
	err        error
}

func (e *refusal) Error() string { return e.text }
func (e *refusal) Unwrap() error { return e.err }

func badRequest(err error) *refusal {
	return &refusal{status: http.StatusBadRequest, code: "bad_request", text: err.Error(), err: err}
}

// invalid says that what was sent is understood but cannot be stored.
func invalid(err error) *refusal {
	return &refusal{status: http.StatusUnprocessableEntity, code: "invalid", text: err.Error(), err: err}
}

// fail answers the error as a problem.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	known := classify(err)
	if known.status == http.StatusInternalServerError && r.Context().Err() == nil {
		s.Log.Error("admin request failed", "method", r.Method, "path", r.URL.Path, "error", err)
	}
	if known.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="gwdr admin"`)
	}
	answerAs(w, "application/problem+json", known.status, known.problem())
	if known.status == http.StatusRequestEntityTooLarge {
		linger(w, r)
	}
}

// linger sends the answer, and reads on until the client has done with the request. When a handler returns before, HTTP/2 resets the
// stream, and clients that still send, such as curl, lose the answer.
func linger(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(maxLinger))
	_ = control.Flush() // the client is gone, as it may be below
	_, _ = io.Copy(io.Discard, r.Body)
}

// classify finds the refusal that stands for the error.
func classify(err error) *refusal {
	known, tooLarge, follower, unready := (*refusal)(nil), (*http.MaxBytesError)(nil), (*store.NotLeaderError)(nil), (*PromotionError)(nil)
	if errors.As(err, &known) {
		return known
	}
	known = &refusal{status: http.StatusInternalServerError, code: "internal", text: err.Error(), err: err}
	switch {
	case errors.As(err, &follower):
		known.status, known.code, known.text = http.StatusConflict, "not_leader", follower.Error()
		known.hint = "send changes to the leader, or promote this control plane if the leader is lost"
		switch {
		case follower.Role.Hides != "":
			known.hint = "wait for the restore, and try again"
		case follower.Role.Mode == gateway.ModeBlank:
			known.hint = "the store lost its content: restore a backup"
		}
	case errors.As(err, &unready):
		known.status, known.code, known.hint = http.StatusConflict, "conflict", unready.Hint
	case errors.As(err, &tooLarge):
		known.status, known.code = http.StatusRequestEntityTooLarge, "too_large"
		known.text = fmt.Sprintf("the body is larger than %d bytes", tooLarge.Limit)
	case errors.Is(err, gateway.ErrNotFound):
		known.status, known.code = http.StatusNotFound, "not_found"
	case errors.Is(err, gateway.ErrMissing):
		known.status, known.code, known.hint = http.StatusUnprocessableEntity, "missing", "create what it refers to first"
	case errors.Is(err, gateway.ErrConflict):
		known.status, known.code, known.hint = http.StatusConflict, "conflict", "read it again and decide anew"
	case errors.Is(err, gateway.ErrCompacted):
		known.status, known.code, known.hint = http.StatusGone, "compacted", "read /v1/state and watch from its revision"
	case errors.Is(err, store.ErrFull):
		known.status, known.code = http.StatusInsufficientStorage, "full"
		known.hint = "history is given up to make room: try again in some seconds; if that is in vain, delete entities"
		if errors.Is(err, store.ErrEtcdFull) {
			known.hint = "compact and defragment that etcd, or raise its quota, and take its alarm back: etcdctl alarm disarm; " +
				"then read again what was written: it may have been made"
		}
	case errors.Is(err, store.ErrTooLarge):
		known.status, known.code = http.StatusRequestEntityTooLarge, "too_large"
		known.hint = "let etcd, 3.5.7 or later, take more: --max-request-bytes=83886080"
	case errors.Is(err, store.ErrNoQuorum):
		known.status, known.code = http.StatusServiceUnavailable, "no_quorum"
		known.hint = "a change may have been made or not: read it again once most of the store's members answer"
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		known.status, known.code = http.StatusServiceUnavailable, "cancelled"
	}
	return known
}
