package link

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"
)

// Set is a number of links by id.
type Set struct {
	links map[string]*Link
	order []string
}

// Info is a link and what it does.
type Info struct {
	Spec
	State
	Connections int `json:"connections"`
}

// Open starts links for all specs, or none.
func Open(specs []Spec, log *slog.Logger) (*Set, error) {
	s := &Set{links: make(map[string]*Link, len(specs))}
	for _, spec := range specs {
		if s.links[spec.ID] != nil {
			return nil, errors.Join(fmt.Errorf("open links: %s is there twice", spec.ID), s.Close())
		}
		l, err := Listen(spec, log)
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
		s.links[spec.ID] = l
		s.order = append(s.order, spec.ID)
	}
	return s, nil
}

// Close ends all links.
func (s *Set) Close() error {
	var errs []error
	for _, l := range s.links {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}

// Links lists all links in the order of their specs.
func (s *Set) Links() []Info {
	infos := make([]Info, 0, len(s.order))
	for _, id := range s.order {
		infos = append(infos, s.links[id].info())
	}
	return infos
}

func (l *Link) info() Info {
	l.mu.Lock()
	defer l.mu.Unlock()
	info := Info{Spec: l.spec, State: l.now.State, Connections: len(l.pairs)}
	info.Owner, info.Lease = l.owner, l.leased
	return info
}

// Handler serves the control API to whoever presents the bearer token: GET /links lists []Info, PUT /links/{id} takes a
// State, POST /links/{id}/owners/{owner} takes {"lease_ns"} and renews, DELETE of it makes the link pass again. GET /ready
// answers 200 to anybody.
func (s *Set) Handler(token string) http.Handler {
	api := http.NewServeMux()
	api.HandleFunc("GET /links", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, s.Links()) })
	api.HandleFunc("PUT /links/{id}", s.named(s.put))
	api.HandleFunc("POST /links/{id}/owners/{owner}", s.named(s.renew))
	api.HandleFunc("DELETE /links/{id}/owners/{owner}", s.named(s.release))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ready", func(http.ResponseWriter, *http.Request) {})
	mux.Handle("/", requireToken(token, api))
	return mux
}

func (s *Set) put(w http.ResponseWriter, r *http.Request, l *Link) {
	var state State
	if err := decode(w, r, &state); err != nil {
		writeError(w, http.StatusBadRequest, fmt.Errorf("read link state: %w", err))
		return
	}
	if err := state.Validate(); err != nil {
		writeError(w, http.StatusBadRequest, err)
		return
	}
	err := l.Set(state)
	if errors.Is(err, ErrOwned) {
		writeJSON(w, http.StatusConflict, map[string]string{"error": err.Error(), "owner": l.info().Owner})
		return
	}
	finish(w, l, http.StatusInternalServerError, err)
}

// renewal is the body of a renewal.
type renewal struct {
	Lease time.Duration `json:"lease_ns"`
}

func (s *Set) renew(w http.ResponseWriter, r *http.Request, l *Link) {
	var body renewal
	if err := decode(w, r, &body); err != nil {
		writeError(w, http.StatusBadRequest, fmt.Errorf("read lease: %w", err))
		return
	}
	finish(w, l, http.StatusConflict, l.Renew(r.PathValue("owner"), body.Lease))
}

func (s *Set) release(w http.ResponseWriter, r *http.Request, l *Link) {
	finish(w, l, http.StatusInternalServerError, l.Release(r.PathValue("owner")))
}

// named calls serve with the link of the request's id.
func (s *Set) named(serve func(http.ResponseWriter, *http.Request, *Link)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if l := s.links[r.PathValue("id")]; l != nil {
			serve(w, r, l)
			return
		}
		writeError(w, http.StatusNotFound, fmt.Errorf("no link %q", r.PathValue("id")))
	}
}

func decode(w http.ResponseWriter, r *http.Request, v any) error {
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, 4<<10))
	dec.DisallowUnknownFields()
	return dec.Decode(v)
}

func finish(w http.ResponseWriter, l *Link, status int, err error) {
	if err != nil {
		writeError(w, status, err)
		return
	}
	writeJSON(w, http.StatusOK, l.info())
}

// requireToken refuses every request without the bearer token. An empty token lets nobody in.
func requireToken(token string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if token == "" || subtle.ConstantTimeCompare([]byte(given), []byte(token)) != 1 {
			w.Header().Set("WWW-Authenticate", "Bearer")
			writeError(w, http.StatusUnauthorized, errors.New("bearer token is missing or wrong"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func writeError(w http.ResponseWriter, status int, err error) {
	writeJSON(w, status, map[string]string{"error": err.Error()})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}
