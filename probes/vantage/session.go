package vantage

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"

	"gwdr/probes"
)

// writeLimit bounds how long a controller may take to read a line.
const writeLimit = 10 * time.Second

// session is one plan while it is carried out, and after it until the next one begins.
type session struct {
	id     string
	t0     time.Time
	buffer *buffer // closed once nothing is probed any more
	lease  *time.Timer
	length time.Duration
	log    *slog.Logger
	cancel context.CancelFunc // of the probing

	mu     sync.Mutex
	end    End                // why it was stopped, at first
	newest context.CancelFunc // of the stream that goes on
}

// start probes by the plan, which was admitted.
func (a *Agent) start(p *Plan) *session {
	t0 := time.Now()
	ctx, cancel := context.WithCancel(context.Background()) // it outlives the request that opens it, until its lease ends
	s := &session{id: newID(), t0: t0, buffer: newBuffer(t0), length: a.Lease, log: a.Log, cancel: cancel}
	s.lease = time.AfterFunc(a.Lease, func() { s.stop(Lapsed) })
	longest := a.MaxFor
	if p.For > 0 {
		longest = p.For
	}
	overdue := time.AfterFunc(longest, func() { s.stop(Overdue) })
	var probing sync.WaitGroup
	for _, series := range p.Series {
		probing.Go(func() { s.probe(ctx, series, a.Control) })
	}
	go func() {
		probing.Wait()
		s.lease.Stop()
		overdue.Stop()
		s.stop(Broken) // unless somebody else was first
		s.buffer.close(s.end)
		s.log.Info("session has ended", "session", s.id, "why", s.end)
	}()
	return s
}

// probe makes the attempts of a series until the session ends.
func (s *session) probe(ctx context.Context, series Series, control string) {
	request := probes.Request{URL: control, Expect: http.StatusOK, Fresh: true}
	var err error
	if series.Target != nil {
		request, err = series.Target.Request()
	}
	if err == nil {
		p := probes.Prober{Series: series.Series, Request: request, T0: s.t0, Out: s.buffer.add}
		err = p.Run(ctx)
	}
	if err != nil { // which may repeat a URL, and so is not logged
		s.stop(Broken)
	}
}

// stop ends the probing. The first reason counts.
func (s *session) stop(why End) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end == "" {
		s.end = why
		s.cancel()
	}
}

// running reports whether something is probed.
func (s *session) running() bool {
	select {
	case <-s.buffer.changed:
		return false
	default:
		return true
	}
}

// clock reads the clock for the controller, whose sign of life it is.
func (s *session) clock(w http.ResponseWriter, r *http.Request) {
	var beat Beat
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<10)).Decode(&beat); err != nil {
		refuse(w, http.StatusBadRequest, errors.New("not a sign of life"))
		return
	}
	if s.lease.Stop() {
		s.lease.Reset(s.length)
	}
	s.buffer.acknowledge(beat.Received)
	now := time.Now()
	shown := now.Sub(s.t0)
	answer(w, http.StatusOK, Clock{Now: shown, Drift: shown - now.Round(0).Sub(s.t0.Round(0))})
}

func (s *session) remove(w http.ResponseWriter, _ *http.Request) {
	s.stop(Stopped)
	w.WriteHeader(http.StatusNoContent)
}

// stream sends what there is from an index on, and goes on as samples come. A newer stream ends it: the controller of this
// one has given it up.
func (s *session) stream(w http.ResponseWriter, r *http.Request) {
	next, err := strconv.ParseInt(r.URL.Query().Get("from"), 10, 64)
	if err != nil || next < 0 {
		refuse(w, http.StatusBadRequest, errors.New("from is not the index of a sample"))
		return
	}
	ctx := s.takeOver(r.Context())
	w.Header().Set("Content-Type", "application/x-ndjson")
	control, lines := http.NewResponseController(w), json.NewEncoder(w)
	_ = control.SetReadDeadline(time.Time{}) // a stream goes on
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	defer func() { _ = control.SetWriteDeadline(time.Time{}) }() // the connection may be used again
	var told time.Time
	for {
		batch, more := s.buffer.batch(next)
		if len(batch.Samples) > 0 || batch.End != "" || time.Since(told) >= idleEvery {
			_ = control.SetWriteDeadline(time.Now().Add(writeLimit)) // every server of ours can
			if lines.Encode(batch) != nil {
				return
			}
			next, told = batch.First+int64(len(batch.Samples)), time.Now()
		}
		if more {
			continue
		}
		if control.Flush() != nil || batch.End != "" {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-s.buffer.changed:
		}
	}
}

func (s *session) takeOver(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.newest != nil {
		s.newest()
	}
	s.newest = cancel
	return ctx
}
