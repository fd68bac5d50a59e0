package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"gwdr/gateway"
)

// ref reads the reference out of the path.
func ref(r *http.Request) (gateway.Ref, error) {
	ref := gateway.Ref{Kind: gateway.Kind(r.PathValue("kind")), ID: r.PathValue("id")}
	if err := ref.Validate(); err != nil {
		return ref, badRequest(err)
	}
	return ref, nil
}

func (s *Server) get(w http.ResponseWriter, r *http.Request) {
	ref, err := ref(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	item, err := s.Store.Get(r.Context(), ref)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("ETag", etag(item.Revision))
	w.Header().Set("Content-Type", contentType(item.Body))
	_, _ = w.Write(item.Body) // the client is gone
}

func contentType(body []byte) string {
	if json.Valid(body) {
		return "application/json"
	}
	return "application/octet-stream"
}

func etag(revision int64) string { return fmt.Sprintf(`"%d"`, revision) }

// listed is one entity in a list: its body as JSON, or in base64 if it is none. Exact bytes are at the entity itself.
type listed struct {
	ID       string          `json:"id"`
	Revision int64           `json:"revision"`
	Body     json.RawMessage `json:"body,omitempty"`
	Base64   []byte          `json:"body_base64,omitempty"`
}

// list answers a page of a kind's entities: ?limit= (100, at most 1000) and ?after= an id.
func (s *Server) list(w http.ResponseWriter, r *http.Request) {
	kind := gateway.Kind(r.PathValue("kind"))
	if err := (gateway.Ref{Kind: kind, ID: "any"}).Validate(); err != nil {
		s.fail(w, r, noEndpoint(err.Error()))
		return
	}
	limit, err := pageLimit(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	items, more, err := s.Store.List(r.Context(), kind, r.URL.Query().Get("after"), limit)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	page := struct {
		Items []listed `json:"items"`
		Next  string   `json:"next"`
	}{Items: []listed{}}
	for _, item := range items {
		l := listed{ID: item.ID, Revision: item.Revision, Body: item.Body}
		if !json.Valid(item.Body) {
			l.Body, l.Base64 = nil, item.Body
		}
		page.Items = append(page.Items, l)
	}
	if more {
		page.Next = items[len(items)-1].ID
	}
	answer(w, http.StatusOK, page)
}

// pageLimit returns how many entities the request wants in a page.
func pageLimit(r *http.Request) (int, error) {
	text := r.URL.Query().Get("limit")
	if text == "" {
		return 100, nil
	}
	limit, err := strconv.Atoi(text)
	if err != nil || limit < 1 || limit > 1000 {
		return 0, badRequest(fmt.Errorf("limit must be 1 to 1000, not %q", text))
	}
	return limit, nil
}

func (s *Server) put(w http.ResponseWriter, r *http.Request) {
	ref, cond, err := target(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	body, err := readBody(w, r)
	if err != nil {
		s.fail(w, r, unreadable(err))
		return
	}
	e := gateway.Entity{Ref: ref, Body: body}
	if err := gateway.Check(e); err != nil {
		s.fail(w, r, invalid(err))
		return
	}
	if err := s.checkContracts(r.Context(), []gateway.Change{{Op: gateway.Update, Entity: e}}); err != nil {
		s.fail(w, r, err)
		return
	}
	cond.Refs = references(e)
	to := s.writer(r)
	if err := s.keepEarlier(r.Context(), e, &cond); err != nil {
		s.fail(w, r, err)
		return
	}
	revision, before, err := to.Put(r.Context(), e, cond)
	if err != nil {
		s.fail(w, r, precondition(cond, err))
		return
	}
	status, op := http.StatusOK, "update"
	if before == 0 {
		status, op = http.StatusCreated, "create"
	}
	if to == s.Store {
		w.Header().Set("ETag", etag(revision))
	}
	s.audit(r, op, "kind", ref.Kind, "id", ref.ID, "before", before, "revision", revision, "sha256", digest(body))
	answerWrite(w, to, status, map[string]int64{"revision": revision})
}

// delete removes an entity that nothing refers to. A revocation is for good. To delete a key is to revoke it: without a
// revocation, a restore of an older backup would bring the key back to life.
func (s *Server) delete(w http.ResponseWriter, r *http.Request) {
	ref, cond, err := target(r)
	if err == nil && ref.Kind == gateway.Revocation {
		err = &refusal{status: http.StatusConflict, code: "conflict", text: "a revocation is for good", hint: "issue a new key"}
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	to, revision, before := s.writer(r), int64(0), int64(0)
	if ref.Kind == gateway.Key {
		revision, before, err = s.deleteKey(r.Context(), to, ref, cond)
	} else {
		revision, before, err = s.deleteUnreferenced(r.Context(), to, ref, cond)
	}
	if err != nil {
		s.fail(w, r, precondition(cond, err))
		return
	}
	s.audit(r, "delete", "kind", ref.Kind, "id", ref.ID, "before", before, "revision", revision)
	answerWrite(w, to, http.StatusOK, map[string]int64{"revision": revision})
}

// deleteUnreferenced looks for entities that refer to ref, and deletes it provided that nothing changed since it looked. It
// looks again if something did.
func (s *Server) deleteUnreferenced(ctx context.Context, to writer, ref gateway.Ref, cond gateway.Condition) (
	revision, before int64, err error,
) {
	for range 10 {
		users, base, err := s.usersOf(ctx, ref)
		if err != nil {
			return 0, 0, err
		}
		if len(users) > 0 {
			text := fmt.Sprintf("%s is in use by %s", ref, users[0])
			if others := len(users) - 1; others > 0 {
				text += fmt.Sprintf(", and %d more", others)
			}
			return 0, 0, &refusal{status: http.StatusConflict, code: "referenced", text: text, hint: "delete what refers to it first"}
		}
		guarded := cond
		guarded.Base = base
		revision, before, err := to.Delete(ctx, ref, guarded)
		if !errors.Is(err, gateway.ErrConflict) || base == 0 {
			return revision, before, err
		}
		if err := s.still(ctx, ref, cond); err != nil {
			return 0, 0, err
		}
	}
	return 0, 0, fmt.Errorf("delete %s: configuration changes too fast: %w", ref, gateway.ErrConflict)
}

// still reports why the entity is not to be deleted any more, of which another change came first.
func (s *Server) still(ctx context.Context, ref gateway.Ref, cond gateway.Condition) error {
	item, err := s.Store.Get(ctx, ref)
	if err == nil && cond.Revision != 0 && item.Revision != cond.Revision {
		err = fmt.Errorf("delete %s: %w", ref, gateway.ErrConflict)
	}
	return err
}

// usersOf returns what refers to the entity, and the revision at which that is so; 0 if nothing ever refers to its kind.
func (s *Server) usersOf(ctx context.Context, to gateway.Ref) (users []gateway.Ref, revision int64, err error) {
	kind := gateway.Route
	switch to.Kind {
	case gateway.Upstream, gateway.Spec:
	case gateway.Consumer:
		kind = gateway.Key
	default:
		return nil, 0, nil
	}
	h, state, err := s.Store.StateOf(ctx, kind, "")
	if err != nil {
		return nil, 0, err
	}
	for e := range state.Kind(kind) {
		for _, ref := range references(e) {
			if ref == to {
				users = append(users, e.Ref)
			}
		}
	}
	return users, h.Revision, nil
}

// references returns what the entity refers to. A body that is not as it should be refers to nothing.
func references(e gateway.Entity) (refs []gateway.Ref) {
	var body struct{ Upstream, Spec, Consumer string }
	if e.Kind != gateway.Route && e.Kind != gateway.Key || json.Unmarshal(e.Body, &body) != nil {
		return nil
	}
	for _, ref := range []gateway.Ref{{Kind: gateway.Upstream, ID: body.Upstream}, {Kind: gateway.Spec, ID: body.Spec},
		{Kind: gateway.Consumer, ID: body.Consumer}} {
		if ref.ID != "" {
			refs = append(refs, ref)
		}
	}
	return refs
}

// target reads the reference and the conditions of a write.
func target(r *http.Request) (gateway.Ref, gateway.Condition, error) {
	ref, err := ref(r)
	if err != nil {
		return ref, gateway.Condition{}, err
	}
	var cond gateway.Condition
	if match := r.Header.Get("If-Match"); match != "" {
		number, quoted := strings.CutPrefix(match, `"`)
		number, closed := strings.CutSuffix(number, `"`)
		if cond.Revision, err = strconv.ParseInt(number, 10, 64); err != nil || !quoted || !closed || cond.Revision < 1 {
			return ref, cond, badRequest(fmt.Errorf("If-Match must be one ETag as GET answers it, not %q", match))
		}
	}
	if none := r.Header.Get("If-None-Match"); none != "" {
		if none != "*" || r.Method != http.MethodPut {
			return ref, cond, badRequest(fmt.Errorf("If-None-Match must be * and on a PUT, not %q", none))
		}
		cond.Absent = true
	}
	return ref, cond, nil
}

// precondition turns a conflict with what the request asked for into 412.
func precondition(cond gateway.Condition, err error) error {
	if !errors.Is(err, gateway.ErrConflict) || cond.Revision == 0 && !cond.Absent {
		return err
	}
	return &refusal{status: http.StatusPreconditionFailed, code: "conflict", text: err.Error(), hint: "read it again and decide anew", err: err}
}

// unreadable tells a body that is too large from one that ends early.
func unreadable(err error) error {
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return err
	}
	return badRequest(fmt.Errorf("read body: %w", err))
}
