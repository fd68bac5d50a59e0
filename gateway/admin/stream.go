package admin

import (
	"net/http"
	"time"

	"gwdr/gateway"
)

const ndjson = "application/x-ndjson"

// state answers the whole configuration at one revision as gateway.StreamWriter writes it; with ?kind= only that kind's.
func (s *Server) state(w http.ResponseWriter, r *http.Request) {
	kind := gateway.Kind(r.URL.Query().Get("kind"))
	if kind != "" {
		if err := (gateway.Ref{Kind: kind, ID: "any"}).Validate(); err != nil {
			s.fail(w, r, badRequest(err))
			return
		}
	}
	to := newStream(w, maxStall)
	out := gateway.StreamWriter{W: to}
	err := s.read(r, kind, out.Begin, out.Entity)
	if err == nil {
		err = out.End()
	}
	s.finish(to, r, err)
}

// read takes the state from the store, or else from what the data plane has loaded.
func (s *Server) read(r *http.Request, kind gateway.Kind, begin func(gateway.Header) error, each func(gateway.Entity) error) error {
	if s.Store != nil && kind == "" {
		return s.Store.Stream(r.Context(), begin, each)
	}
	if s.Store != nil {
		return s.Store.StreamOf(r.Context(), kind, begin, each)
	}
	h, all := s.Data.State()
	if s.Standby != nil { // no store: nobody shall take it for the one that was backed up, and back it up again
		h.Store = ""
	}
	if err := begin(h); err != nil {
		return err
	}
	entities := all.All()
	if kind != "" {
		entities = all.Kind(kind)
	}
	for e := range entities {
		if err := each(e); err != nil {
			return err
		}
	}
	return nil
}

// stream is an answer of NDJSON. As long as nothing of it is sent, an error can take its place.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	stall   time.Duration // how long a client may take for one piece; the whole may take as long as it is large
	begun   bool
}

func newStream(w http.ResponseWriter, stall time.Duration) *stream {
	return &stream{w: w, control: http.NewResponseController(w), stall: stall}
}

// Write sends one piece.
func (s *stream) Write(piece []byte) (int, error) {
	_ = s.control.SetReadDeadline(time.Time{}) // as in withDeadline; when it passes, the request's context ends
	_ = s.control.SetWriteDeadline(time.Now().Add(s.stall))
	if !s.begun {
		s.begun = true
		s.w.Header().Set("Content-Type", ndjson)
	}
	return s.w.Write(piece)
}

// finish ends the answer: whole, with the error, or so that the client sees a broken connection.
func (s *Server) finish(to *stream, r *http.Request, err error) {
	switch {
	case err == nil:
	case !to.begun:
		s.fail(to.w, r, err)
	default:
		s.Log.Debug("stream was not sent to its end", "path", r.URL.Path, "from", r.RemoteAddr, "error", err)
		panic(http.ErrAbortHandler)
	}
}
