package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"gwdr/gateway"
)

const ndjson = "application/x-ndjson"

// state answers the whole configuration at one revision as gateway.WriteStream writes it; with ?kind= only that kind's.
func (s *Server) state(w http.ResponseWriter, r *http.Request) {
	kind := gateway.Kind(r.URL.Query().Get("kind"))
	if kind != "" {
		if err := (gateway.Ref{Kind: kind, ID: "any"}).Validate(); err != nil {
			s.fail(w, r, badRequest(err))
			return
		}
	}
	h, state, err := s.read(r, kind)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", ndjson)
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(maxStream)) // as in withDeadline
	if err := gateway.WriteStream(w, h, state); err != nil {
		s.Log.Debug("state was not read to its end", "from", r.RemoteAddr, "error", err)
		panic(http.ErrAbortHandler) // so that the reader sees a broken connection too
	}
}

// read takes the state from the store, or else from what the data plane has loaded.
func (s *Server) read(r *http.Request, kind gateway.Kind) (gateway.Header, *gateway.State, error) {
	if s.Store != nil && kind == "" {
		return s.Store.State(r.Context())
	}
	if s.Store != nil {
		return s.Store.StateOf(r.Context(), kind, "")
	}
	h, all := s.Data.State()
	if kind == "" {
		return h, all, nil
	}
	only := gateway.NewState()
	for e := range all.Kind(kind) {
		only.Put(e)
	}
	return h, only, nil
}

// watch streams a header line and then every revision after ?from= that changed something, one line each, and a line
// without changes each second. With ?store= it is refused unless the store has that id.
func (s *Server) watch(w http.ResponseWriter, r *http.Request) {
	from, err := strconv.ParseInt(r.URL.Query().Get("from"), 10, 64)
	if err != nil || from < 1 {
		s.fail(w, r, badRequest(fmt.Errorf("from must be a revision, not %q", r.URL.Query().Get("from"))))
		return
	}
	id := s.Store.ID()
	if want := r.URL.Query().Get("store"); want != "" && want != id {
		s.fail(w, r, fmt.Errorf("watch store %.40s: %w: another store is here", want, gateway.ErrCompacted))
		return
	}
	out := &watcher{w: w, control: http.NewResponseController(w), header: gateway.Header{Store: id, Revision: from,
		Epoch: s.Store.Role().Epoch, Time: time.Now().UTC()}}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	go func() {
		select {
		case <-s.Stopping:
			cancel()
		case <-ctx.Done():
		}
	}()
	err = s.Store.Watch(ctx, from, out.batch)
	if !out.begun {
		s.fail(w, r, err)
		return
	}
	s.Log.Debug("watch ended", "from", r.RemoteAddr, "error", err)
}

// watcher writes a watch to its client.
type watcher struct {
	w       http.ResponseWriter
	control *http.ResponseController
	header  gateway.Header
	begun   bool
}

// batch writes one line, and sends it at once: a client that takes too long for it is dropped.
func (o *watcher) batch(b gateway.Batch) error {
	_ = o.control.SetReadDeadline(time.Time{}) // as in withDeadline
	_ = o.control.SetWriteDeadline(time.Now().Add(maxSilence))
	enc := json.NewEncoder(o.w)
	if !o.begun {
		o.begun = true
		o.w.Header().Set("Content-Type", ndjson)
		if err := enc.Encode(o.header); err != nil {
			return err
		}
	}
	if err := enc.Encode(b); err != nil {
		return err
	}
	return o.control.Flush()
}
