package admin

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"gwdr/gateway"
)

// apply makes the changes of an NDJSON body, in order. Nothing is changed before all of it is read and understood.
//
// As a restore (X-Gwdr-Restore: true) bodies are taken as they are: a recovery tool may not lose what this version does not
// understand. Otherwise they must be what PUT takes, but for references, which may come later in the list.
func (s *Server) apply(w http.ResponseWriter, r *http.Request) {
	bulk, err := bulkOf(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	hash := sha256.New()
	changes, err := readChanges(io.TeeReader(unhurried(w, r, maxApply), hash), bulk.Restore)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	to := s.writer(r)
	stop := processing(w, r)
	if !bulk.Restore {
		err = s.checkContracts(r.Context(), changes)
	}
	if err != nil {
		stop()
		s.fail(w, r, err)
		return
	}
	applied, revision, err := s.change(r, to, changes, bulk, "apply", "restore", bulk.Restore, "sha256", hex.EncodeToString(hash.Sum(nil)))
	stop()
	if err != nil {
		s.fail(w, r, err)
		return
	}
	answerWrite(w, to, http.StatusOK, map[string]int64{"applied": int64(applied), "revision": revision})
}

// change makes the changes, and records those that were made. The error says how many that is.
func (s *Server) change(r *http.Request, to writer, changes []gateway.Change, bulk gateway.Bulk, op string, args ...any) (
	applied int, revision int64, err error,
) {
	before, err := s.Store.Revision(r.Context())
	if err != nil {
		return 0, 0, err
	}
	applied, revision, err = s.applyTo(r.Context(), to, changes, bulk)
	if applied > 0 || err == nil {
		s.audit(r, op, append([]any{"changes", applied, "of", len(changes), "before", before, "revision", revision}, args...)...)
	}
	if err != nil {
		known := *classify(err)
		known.applied = applied
		err = &known
	}
	return applied, revision, err
}

// applyTo makes the changes. None of them puts a revocation off, unless this is a restore, whose plan has seen to that.
func (s *Server) applyTo(ctx context.Context, to writer, changes []gateway.Change, bulk gateway.Bulk) (applied int, revision int64, err error) {
	ofRevocation := func(c gateway.Change) bool { return c.Entity.Kind == gateway.Revocation }
	if bulk.Restore || !slices.ContainsFunc(changes, ofRevocation) {
		return to.Apply(ctx, changes, bulk)
	}
	try := func(ctx context.Context, base int64) (int64, error) {
		if err := s.keepEarliest(ctx, changes); err != nil {
			return 0, err
		}
		applied, revision, err = to.Apply(ctx, changes, gateway.Bulk{Base: base})
		return revision, err
	}
	if bulk.Base != 0 {
		_, err = try(ctx, bulk.Base)
	} else {
		_, err = s.unmoved(ctx, try)
	}
	return applied, revision, err
}

// keepEarliest refuses changes one of which puts off a revocation that is there, or that another of them makes.
func (s *Server) keepEarliest(ctx context.Context, changes []gateway.Change) error {
	known := map[string][]byte{}
	for i, c := range changes {
		if c.Entity.Kind != gateway.Revocation {
			continue
		}
		body, there := known[c.Entity.ID]
		if !there {
			item, err := s.Store.Get(ctx, c.Entity.Ref)
			if err != nil && !errors.Is(err, gateway.ErrNotFound) {
				return err
			}
			body, there = item.Body, err == nil
		}
		if there && gateway.RevokesEarlier(body, c.Entity.Body) {
			return putOff(fmt.Sprintf("change %d: ", i+1))
		}
		known[c.Entity.ID] = c.Entity.Body
	}
	return nil
}

// readBody returns the body of an entity, and leaves the usual time for what is done with it.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(unhurried(w, r, gateway.MaxBody))
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(maxTime))
	return body, err
}

// unhurried returns the request's body, whose deadline moves on with each piece that arrives: the whole may take as long as it
// is large.
func unhurried(w http.ResponseWriter, r *http.Request, most int64) io.Reader {
	control, body := http.NewResponseController(w), http.MaxBytesReader(w, r.Body, most)
	return readerFunc(func(p []byte) (int, error) {
		_ = control.SetReadDeadline(time.Now().Add(maxStall))
		return body.Read(p)
	})
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// processing lifts the request's deadlines until stop is called, and tells a client that asked for it (X-Gwdr-Processing: true)
// that its request is worked on, by 102 Processing every few seconds.
func processing(w http.ResponseWriter, r *http.Request) (stop func()) {
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Time{}) // when it passes, the request's context ends
	_ = control.SetWriteDeadline(time.Time{})
	done := make(chan struct{})
	var ticking sync.WaitGroup
	if r.Header.Get("X-Gwdr-Processing") == "true" {
		ticking.Go(func() {
			tick := time.NewTicker(processingEvery)
			defer tick.Stop()
			for {
				select {
				case <-tick.C:
					w.WriteHeader(http.StatusProcessing)
				case <-done:
					return
				}
			}
		})
	}
	return func() {
		close(done)
		ticking.Wait()
		_ = control.SetWriteDeadline(time.Now().Add(maxTime))
	}
}

func bulkOf(r *http.Request) (bulk gateway.Bulk, err error) {
	bulk.Restore = r.Header.Get("X-Gwdr-Restore") == "true"
	if bulk.Restore && !callerOf(r).role.allowed(lead) {
		return bulk, &refusal{status: http.StatusForbidden, code: "forbidden", text: fmt.Sprintf("role %s may not restore", callerOf(r).role)}
	}
	if text := r.Header.Get("X-Gwdr-Base-Revision"); text != "" {
		if bulk.Base, err = strconv.ParseInt(text, 10, 64); err != nil || bulk.Base < 1 {
			return bulk, badRequest(fmt.Errorf("X-Gwdr-Base-Revision must be a revision, not %q", text))
		}
	}
	return bulk, nil
}

func readChanges(body io.Reader, restore bool) (changes []gateway.Change, err error) {
	err = gateway.ReadChanges(body, func(c gateway.Change) error {
		if err := checkChange(c, restore); err != nil {
			return invalid(fmt.Errorf("change %d: %w", len(changes)+1, err))
		}
		changes = append(changes, c)
		return nil
	})
	if refused := (*refusal)(nil); err != nil && !errors.As(err, &refused) {
		err = unreadable(fmt.Errorf("change %d: %w", len(changes)+1, gateway.InWords(err)))
	}
	return changes, err
}

func checkChange(c gateway.Change, restore bool) error {
	switch {
	case restore || c.Op == gateway.Delete && c.Entity.Kind != gateway.Revocation:
		return c.Entity.Validate()
	case c.Op == gateway.Delete:
		return errors.New("a revocation is for good")
	}
	return gateway.Check(c.Entity)
}
