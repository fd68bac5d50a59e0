package link

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
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
	info.Lease = l.leased
	return info
}

// Handler serves the control API to whoever presents the bearer token: GET /links lists []Info, PUT /links/{id} takes a
// State. GET /ready answers 200 to anybody.
func (s *Set) Handler(token string) http.Handler {
	api := http.NewServeMux()
	api.HandleFunc("GET /links", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, s.Links()) })
	api.HandleFunc("PUT /links/{id}", s.put)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ready", func(http.ResponseWriter, *http.Request) {})
	mux.Handle("/", requireToken(token, api))
	return mux
}

func (s *Set) put(w http.ResponseWriter, r *http.Request) {
	l := s.links[r.PathValue("id")]
	if l == nil {
		writeError(w, http.StatusNotFound, fmt.Errorf("no link %q", r.PathValue("id")))
		return
	}
	var state State
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, 4<<10))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&state); err != nil {
		writeError(w, http.StatusBadRequest, fmt.Errorf("read link state: %w", err))
		return
	}
	if err := state.Validate(); err != nil {
		writeError(w, http.StatusBadRequest, err)
		return
	}
	if err := l.Set(state); err != nil {
		writeError(w, http.StatusInternalServerError, err)
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
