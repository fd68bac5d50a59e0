package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"gwdr/gateway"
	"gwdr/gateway/store"
)

// keyRequest asks for a key.
type keyRequest struct {
	Consumer string     `json:"consumer"`
	Scopes   []string   `json:"scopes"`
	Routes   []string   `json:"routes"`
	Expires  *time.Time `json:"expires"`
}

// revokeRequest asks for a revocation.
type revokeRequest struct {
	Reason string `json:"reason"`
}

// issueKey makes a key. The answer is the only place where its token ever is.
func (s *Server) issueKey(w http.ResponseWriter, r *http.Request) {
	var ask keyRequest
	if err := decode(w, r, &ask); err != nil {
		s.fail(w, r, err)
		return
	}
	token := gateway.NewToken()
	e := gateway.Entity{Ref: gateway.Ref{Kind: gateway.Key, ID: token.ID}, Body: gateway.Encode(gateway.KeyBody{
		Consumer: ask.Consumer, Hash: token.Hash(), Scopes: ask.Scopes, Routes: ask.Routes, Created: time.Now().UTC(), Expires: ask.Expires})}
	to := s.writer(r)
	revision, _, err := to.Put(r.Context(), e, gateway.Condition{Absent: true, Refs: references(e)})
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.audit(r, "issue", "kind", gateway.Key, "id", token.ID, "consumer", ask.Consumer, "before", 0, "revision", revision,
		"sha256", digest(e.Body))
	answerWrite(w, to, http.StatusCreated, map[string]any{"id": token.ID, "token": token.Reveal(), "revision": revision})
}

// revokeKey puts a revocation for a key that is there. Revoking it again changes nothing, unless the revocation was to take effect
// later: that of a rotation is made one of now.
func (s *Server) revokeKey(w http.ResponseWriter, r *http.Request) {
	var ask revokeRequest
	if err := decode(w, r, &ask); err != nil {
		s.fail(w, r, err)
		return
	}
	key := gateway.Ref{Kind: gateway.Key, ID: r.PathValue("id")}
	if _, err := s.Store.Get(r.Context(), key); err != nil {
		s.fail(w, r, err)
		return
	}
	e, to := revocation(key.ID, ask.Reason), s.writer(r)
	revision, before, made, err := s.revokeNow(r.Context(), to, e)
	if made {
		s.audit(r, "revoke", "kind", gateway.Revocation, "id", key.ID, "reason", ask.Reason, "before", before, "revision", revision,
			"sha256", digest(e.Body))
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	answerWrite(w, to, http.StatusOK, map[string]any{"id": key.ID, "revision": revision})
}

// revokeNow puts the revocation, unless there is one that counts as early, and returns the revision of the one that counts, that of the
// one in whose place it was made, and whether it was.
func (s *Server) revokeNow(ctx context.Context, to writer, e gateway.Entity) (revision, before int64, made bool, err error) {
	for range 10 {
		known, err := s.Store.Get(ctx, e.Ref)
		switch {
		case errors.Is(err, gateway.ErrNotFound):
		case err != nil:
			return 0, 0, false, err
		case !gateway.RevokesEarlier(e.Body, known.Body):
			if dry, ok := to.(*store.DryRun); ok {
				dry.Revision, err = s.Store.Revision(ctx)
			}
			return known.Revision, known.Revision, false, err
		}
		revision, before, err = to.Put(ctx, e, gateway.Condition{Revision: known.Revision, Absent: known.Revision == 0})
		if !errors.Is(err, gateway.ErrConflict) { // as it is when somebody else revoked it meanwhile
			return revision, before, err == nil, err
		}
	}
	return 0, 0, false, fmt.Errorf("revoke %s: %w", e.ID, gateway.ErrConflict)
}

// deleteKey deletes the key and has its revocation count as of now, in one revision; also one that was to take effect later, of which
// a restore would make use.
func (s *Server) deleteKey(ctx context.Context, to writer, ref gateway.Ref, cond gateway.Condition) (revision, before int64, err error) {
	left := revocation(ref.ID, "deleted")
	for range 10 {
		known, err := s.Store.Get(ctx, left.Ref)
		switch {
		case errors.Is(err, gateway.ErrNotFound):
		case err != nil:
			return 0, 0, err
		case !gateway.RevokedFrom(known.Body).After(time.Now()):
			return to.Delete(ctx, ref, cond)
		}
		guarded := cond
		guarded.Seen = map[gateway.Ref]int64{left.Ref: known.Revision}
		revision, before, err = to.DeleteLeaving(ctx, ref, left, guarded)
		if !errors.Is(err, gateway.ErrConflict) {
			return revision, before, err
		}
		if err := s.still(ctx, ref, cond); err != nil {
			return 0, 0, err
		}
	}
	return 0, 0, fmt.Errorf("delete %s: %w", ref, gateway.ErrConflict)
}

// keepEarlier refuses a revocation that would put off one that is there, and sees to it that none comes in between.
func (s *Server) keepEarlier(ctx context.Context, e gateway.Entity, cond *gateway.Condition) error {
	if e.Kind != gateway.Revocation {
		return nil
	}
	known, err := s.Store.Get(ctx, e.Ref)
	switch {
	case errors.Is(err, gateway.ErrNotFound):
		cond.Absent = true
		return nil
	case err != nil:
		return err
	case gateway.RevokesEarlier(known.Body, e.Body):
		return putOff("")
	}
	cond.Revision = cmp.Or(cond.Revision, known.Revision)
	return nil
}

// putOff refuses what would have a revocation take effect later than it does. where says which change that is, of many.
func putOff(where string) *refusal {
	return &refusal{status: http.StatusConflict, code: "conflict", text: where + "a revocation is for good, and cannot be put off",
		hint: "issue a new key"}
}

// revocation makes the revocation of a key, as of now.
func revocation(key, reason string) gateway.Entity {
	return gateway.Entity{Ref: gateway.Ref{Kind: gateway.Revocation, ID: key},
		Body: gateway.Encode(gateway.RevocationBody{At: time.Now().UTC(), Reason: reason})}
}

// decode reads a small JSON body; none at all leaves v as it is.
func decode(w http.ResponseWriter, r *http.Request, v any) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxAsk))
	if err != nil {
		return unreadable(err)
	}
	if len(body) == 0 {
		return nil
	}
	if err := gateway.Decode(body, v); err != nil {
		return badRequest(err)
	}
	return nil
}
