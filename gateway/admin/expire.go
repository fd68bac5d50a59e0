package admin

import (
	"fmt"
	"net/http"
	"time"

	"gwdr/gateway"
)

// expireRequest says when a key is to end.
type expireRequest struct {
	At time.Time `json:"at"`
}

// expireKey sets the time when a key ends: now, sooner or later than it was to. Only a revocation is for good.
func (s *Server) expireKey(w http.ResponseWriter, r *http.Request) {
	ask := expireRequest{At: time.Now().UTC()}
	if err := decode(w, r, &ask); err != nil {
		s.fail(w, r, err)
		return
	}
	item, err := s.Store.Get(r.Context(), gateway.Ref{Kind: gateway.Key, ID: r.PathValue("id")})
	if err != nil {
		s.fail(w, r, err)
		return
	}
	body, err := gateway.DecodeKey(item.Body)
	if err != nil {
		s.fail(w, r, invalid(fmt.Errorf("%s: %w", item.Ref, err)))
		return
	}
	body.Expires = &ask.At
	e := gateway.Entity{Ref: item.Ref, Body: gateway.Encode(body)}
	to := s.writer(r)
	revision, before, err := to.Put(r.Context(), e, gateway.Condition{Revision: item.Revision, Refs: references(e)})
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.audit(r, "expire", "kind", gateway.Key, "id", item.ID, "at", ask.At, "before", before, "revision", revision,
		"sha256", digest(e.Body))
	answerWrite(w, to, http.StatusOK, map[string]any{"id": item.ID, "expires": ask.At, "revision": revision})
}
