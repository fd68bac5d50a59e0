package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"gwdr/gateway"
)

// defaultOverlap is for how long the old key of a rotation goes on working.
const defaultOverlap = gateway.Duration(24 * time.Hour)

// rotateRequest asks for another key in the place of one.
type rotateRequest struct {
	Overlap gateway.Duration `json:"overlap"`
	Expires *time.Time       `json:"expires"` // of the new key; nil: as the old one
}

// rotateKey makes a key that opens what another does, and revokes that one as of the end of the overlap, both in one revision. The
// answer is the only place where its token ever is.
func (s *Server) rotateKey(w http.ResponseWriter, r *http.Request) {
	ask := rotateRequest{Overlap: defaultOverlap}
	if err := decode(w, r, &ask); err != nil {
		s.fail(w, r, err)
		return
	}
	t := rotation{old: r.PathValue("id"), token: gateway.NewToken(), expires: ask.Expires, now: time.Now().UTC()}
	t.until = t.now.Add(time.Duration(ask.Overlap))
	to := s.writer(r)
	revision, err := s.unmoved(r.Context(), func(ctx context.Context, base int64) (int64, error) { return s.rotate(ctx, to, t, base) })
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.audit(r, "rotate", "kind", gateway.Key, "id", t.token.ID, "replaces", t.old, "until", t.until, "before", 0, "revision", revision)
	answerWrite(w, to, http.StatusCreated, map[string]any{"id": t.token.ID, "token": t.token.Reveal(), "replaces": t.old, "until": t.until,
		"revision": revision})
}

// rotation is one key in the place of another.
type rotation struct {
	old     string
	token   gateway.Token // of the new one
	expires *time.Time    // of the new one; nil: as the old one
	now     time.Time
	until   time.Time // when the old one ends
}

// rotate makes the changes, if nothing has changed since base.
func (s *Server) rotate(ctx context.Context, to writer, t rotation, base int64) (revision int64, err error) {
	old, err := s.liveKey(ctx, t.old, t.now)
	if err != nil {
		return 0, err
	}
	next := old
	next.Hash, next.Created = t.token.Hash(), t.now
	if t.expires != nil {
		next.Expires = t.expires
	}
	end := gateway.RevocationBody{At: t.now, Reason: "rotated", Successor: t.token.ID}
	if t.until.After(t.now) {
		end.Effective = &t.until
	}
	_, revision, err = to.Apply(ctx, []gateway.Change{
		{Op: gateway.Create, Entity: gateway.Entity{Ref: gateway.Ref{Kind: gateway.Revocation, ID: t.old}, Body: gateway.Encode(end)}},
		{Op: gateway.Create, Entity: gateway.Entity{Ref: gateway.Ref{Kind: gateway.Key, ID: t.token.ID}, Body: gateway.Encode(next)}},
	}, gateway.Bulk{Base: base})
	return revision, err
}

// liveKey reads a key that works: what has ended is not to be brought back under another id.
func (s *Server) liveKey(ctx context.Context, id string, now time.Time) (b gateway.KeyBody, err error) {
	item, err := s.Store.Get(ctx, gateway.Ref{Kind: gateway.Key, ID: id})
	if err != nil {
		return b, err
	}
	if b, err = gateway.DecodeKey(item.Body); err != nil {
		return b, invalid(fmt.Errorf("%s: %w", item.Ref, err))
	}
	revoked, err := s.Store.Get(ctx, gateway.Ref{Kind: gateway.Revocation, ID: id})
	switch {
	case err == nil && gateway.RevokedFrom(revoked.Body).After(now):
		err = &refusal{status: http.StatusConflict, code: "conflict", text: "key is being replaced by another already",
			hint: "rotate that one: it is the successor in GET /v1/revocation/" + id}
	case err == nil:
		err = &refusal{status: http.StatusConflict, code: "conflict", text: "key is revoked", hint: "issue a new key"}
	case !errors.Is(err, gateway.ErrNotFound):
	case b.Expires != nil && !b.Expires.After(now):
		err = &refusal{status: http.StatusConflict, code: "conflict", text: "key is expired", hint: "issue a new key"}
	default:
		err = nil
	}
	return b, err
}

// unmoved has f decide on what is in the store at a revision, and write only if nothing changed since. f decides again if something
// did.
func (s *Server) unmoved(ctx context.Context, f func(ctx context.Context, base int64) (int64, error)) (revision int64, err error) {
	for range 10 {
		base, err := s.Store.Revision(ctx)
		if err != nil {
			return 0, err
		}
		if revision, err = f(ctx, base); !errors.Is(err, gateway.ErrConflict) {
			return revision, err
		}
	}
	return 0, fmt.Errorf("configuration changes too fast: %w", gateway.ErrConflict)
}
