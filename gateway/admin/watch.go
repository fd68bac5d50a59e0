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

// watchRequest is what the query of a watch asks for.
type watchRequest struct {
	from    int64
	store   string // empty: whichever is here
	bounded bool   // until now
}

func watchRequestOf(r *http.Request) (ask watchRequest, err error) {
	query := r.URL.Query()
	if ask.from, err = strconv.ParseInt(query.Get("from"), 10, 64); err != nil || ask.from < 1 {
		return ask, fmt.Errorf("from must be a revision, not %q", query.Get("from"))
	}
	if until := query.Get("until"); until != "" && until != "now" {
		return ask, fmt.Errorf("until must be now, not %q", until)
	}
	ask.store, ask.bounded = query.Get("store"), query.Get("until") == "now"
	return ask, nil
}

// watch streams a header line and then every revision after ?from= that changed something, one line each. With ?store= it is
// refused unless the store has that id. It goes on with what happens, and has a line without changes each second; but with
// ?until=now it has none, and ends with the line {"end":true,"revision":N}: the revision that the store was at when it began.
func (s *Server) watch(w http.ResponseWriter, r *http.Request) {
	ask, err := watchRequestOf(r)
	if err != nil {
		s.fail(w, r, badRequest(err))
		return
	}
	id := s.Store.ID()
	if ask.store != "" && ask.store != id {
		s.fail(w, r, fmt.Errorf("watch store %.40s: %w: another store is here", ask.store, gateway.ErrCompacted))
		return
	}
	to := newStream(w, maxSilence)
	out := &watcher{stream: to, header: gateway.Header{Store: id, Revision: ask.from,
		Epoch: s.Store.Role().Epoch, Time: time.Now().UTC()}}
	if ask.bounded {
		to.stall = maxStall
		s.finish(to, r, s.changes(r.Context(), ask, out))
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	go func() {
		select {
		case <-s.Stopping:
			cancel()
		case <-ctx.Done():
		}
	}()
	if err := s.Store.Watch(ctx, id, ask.from, out.live); to.begun {
		s.Log.Debug("watch ended", "from", r.RemoteAddr, "error", err)
	} else {
		s.fail(w, r, err)
	}
}

// changes writes what happened until now.
func (s *Server) changes(ctx context.Context, ask watchRequest, out *watcher) error {
	h, err := s.Store.Changes(ctx, out.header.Store, ask.from, out.batch)
	if err != nil {
		return err
	}
	return out.end(h.Revision)
}

// watcher writes a watch to its client.
type watcher struct {
	*stream
	header gateway.Header
	lines  []byte // those that are not sent yet
	headed bool
}

// batch writes one line, and sends the lines once they are many.
func (o *watcher) batch(b gateway.Batch) (err error) {
	if err = o.begin(); err != nil {
		return err
	}
	if o.lines, err = b.AppendLine(o.lines); err != nil || len(o.lines) < 256<<10 {
		return err
	}
	return o.send()
}

// begin writes the header, once.
func (o *watcher) begin() error {
	if o.headed {
		return nil
	}
	o.headed = true
	line, err := json.Marshal(o.header)
	o.lines = append(line, '\n')
	return err
}

// end writes the last line of a watch that has one.
func (o *watcher) end(revision int64) error {
	if err := o.begin(); err != nil {
		return err
	}
	o.lines = fmt.Appendf(o.lines, `{"end":true,"revision":%d}`+"\n", revision)
	return o.send()
}

// live writes one line, and sends it at once: a client that takes too long for it is dropped.
func (o *watcher) live(b gateway.Batch) error {
	if err := o.batch(b); err != nil {
		return err
	}
	if err := o.send(); err != nil {
		return err
	}
	return o.control.Flush()
}

func (o *watcher) send() error {
	if len(o.lines) == 0 {
		return nil
	}
	_, err := o.Write(o.lines)
	if o.lines = o.lines[:0]; cap(o.lines) > 1<<20 { // of a large document: a watch may last for days
		o.lines = nil
	}
	return err
}
