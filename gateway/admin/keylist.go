package admin

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"gwdr/gateway"
)

// listedKey is one key in a list: all but its hash, and what has become of it.
type listedKey struct {
	ID        string     `json:"id"`
	State     keyState   `json:"state"`
	Consumer  string     `json:"consumer,omitempty"`
	Scopes    []string   `json:"scopes,omitempty"`
	Routes    []string   `json:"routes,omitempty"`
	Created   time.Time  `json:"created"`
	Expires   *time.Time `json:"expires,omitempty"`
	Revoked   *time.Time `json:"revoked,omitempty"` // when that takes effect
	Reason    string     `json:"reason,omitempty"`  // of the revocation
	Successor string     `json:"successor,omitempty"`
	LastUsed  *time.Time `json:"last_used,omitempty"` // at the data plane of this process, to the minute
	Revision  int64      `json:"revision"`
}

// keyState is what has become of a key.
type keyState string

const (
	keyActive   keyState = "active"
	keyReplaced keyState = "replaced" // rotated, and within the overlap
	keyExpired  keyState = "expired"
	keyRevoked  keyState = "revoked"
	keyUnread   keyState = "unreadable" // it opens nothing
)

// listKeys answers a page of keys.
func (s *Server) listKeys(w http.ResponseWriter, r *http.Request) {
	limit, err := pageLimit(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	items, more, err := s.Store.List(r.Context(), gateway.Key, r.URL.Query().Get("after"), limit)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	page := struct {
		Items []listedKey `json:"items"`
		Next  string      `json:"next"`
	}{Items: []listedKey{}}
	for _, item := range items {
		revocation, err := s.Store.Get(r.Context(), gateway.Ref{Kind: gateway.Revocation, ID: item.ID})
		if err != nil && !errors.Is(err, gateway.ErrNotFound) {
			s.fail(w, r, err)
			return
		}
		k := newListedKey(item, revocation.Body, time.Now())
		if s.Data != nil {
			if at := s.Data.KeyUsed(item.ID); !at.IsZero() {
				k.LastUsed = &at
			}
		}
		page.Items = append(page.Items, k)
	}
	if more {
		page.Next = items[len(items)-1].ID
	}
	answer(w, http.StatusOK, page)
}

// newListedKey says what has become of a key by now. revocation is the body of its revocation; nil: there is none.
func newListedKey(item gateway.Item, revocation []byte, now time.Time) listedKey {
	b, err := gateway.DecodeKey(item.Body)
	k := listedKey{ID: item.ID, Revision: item.Revision, State: keyActive, Consumer: b.Consumer, Scopes: b.Scopes, Routes: b.Routes,
		Created: b.Created, Expires: b.Expires}
	switch {
	case err != nil:
		k.State = keyUnread
	case b.Expires != nil && !b.Expires.After(now):
		k.State = keyExpired
	}
	if revocation == nil {
		return k
	}
	var end gateway.RevocationBody
	_ = json.Unmarshal(revocation, &end) // it revokes all the same
	k.Reason, k.Successor, k.Revoked = end.Reason, end.Successor, &end.At
	from := gateway.RevokedFrom(revocation)
	if !from.IsZero() {
		k.Revoked = &from
	}
	switch {
	case !from.After(now):
		k.State = keyRevoked
	case k.State == keyActive:
		k.State = keyReplaced
	}
	return k
}

// keysUsed streams when the keys were last used at the data plane of this process: {"instance","since"}, {"id","last_used"} for each
// key that was, in any order, and {"end":true,"count":N}.
func (s *Server) keysUsed(w http.ResponseWriter, r *http.Request) {
	to := newStream(w, maxStall)
	out := json.NewEncoder(to)
	since, used := s.Data.KeysUsed()
	err := out.Encode(struct {
		Instance string    `json:"instance"`
		Since    time.Time `json:"since"`
	}{s.Instance, since})
	count := 0
	for id, at := range used {
		if err != nil {
			break
		}
		count++
		err = out.Encode(struct {
			ID       string    `json:"id"`
			LastUsed time.Time `json:"last_used"`
		}{id, at})
	}
	if err == nil {
		err = out.Encode(struct {
			End   bool `json:"end"`
			Count int  `json:"count"`
		}{true, count})
	}
	s.finish(to, r, err)
}
