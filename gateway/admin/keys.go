package admin

import (
	"errors"
	"io"
	"net/http"
	"time"

	"gwdr/gateway"
)

// keyRequest asks for a key.
type keyRequest struct {
	Consumer string     `json:"consumer"`
	Scopes   []string   `json:"scopes"`
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
		Consumer: ask.Consumer, Hash: token.Hash(), Scopes: ask.Scopes, Created: time.Now().UTC(), Expires: ask.Expires})}
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

// revokeKey puts a revocation for a key that is there. Revoking it again changes nothing.
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
	revision, _, err := to.Put(r.Context(), e, gateway.Condition{Absent: true})
	if errors.Is(err, gateway.ErrConflict) {
		var item gateway.Item
		item, err = s.Store.Get(r.Context(), e.Ref)
		revision = item.Revision
	} else if err == nil {
		s.audit(r, "revoke", "kind", gateway.Revocation, "id", key.ID, "reason", ask.Reason, "before", 0, "revision", revision,
			"sha256", digest(e.Body))
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	answerWrite(w, to, http.StatusOK, map[string]any{"id": key.ID, "revision": revision})
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
