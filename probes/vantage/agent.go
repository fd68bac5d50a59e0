package vantage

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Agent probes for one controller at a time, never without one, and never more than it allows. The zero value of each
// field that is not optional is not usable.
type Agent struct {
	Token   string        // that a controller must have
	Tool    string        // what answers
	Control string        // URL of a control target on this host
	Lease   time.Duration // the probing ends when nothing was heard of the controller for so long
	MaxRate float64       // attempts a second of all series together
	MaxFor  time.Duration // the longest session
	Allow   []string      // hosts that may be probed: NAME, NAME:PORT, *.DOMAIN; none allows all
	Log     *slog.Logger

	mu      sync.Mutex
	session *session // the newest, which may have ended
	closed  bool
}

// Handler serves the protocol. Whoever has not the token learns nothing.
func (a *Agent) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, Hello{Schema, a.Tool}) })
	mux.HandleFunc("POST /v1/sessions", a.open)
	mux.HandleFunc("POST /v1/sessions/{id}/clock", a.with((*session).clock))
	mux.HandleFunc("GET /v1/sessions/{id}/samples", a.with((*session).stream))
	mux.HandleFunc("DELETE /v1/sessions/{id}", a.with((*session).remove))
	want := sha256.Sum256([]byte(a.Token))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Nothing but a stream takes long, and the server waits for the rest of a body even where nobody reads it.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(askLimit)) // every server of ours can
		token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		given := sha256.Sum256([]byte(token))
		if a.Token == "" || subtle.ConstantTimeCompare(given[:], want[:]) != 1 {
			refuse(w, http.StatusUnauthorized, errors.New("the token is not the agent's"))
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// Close ends the session, if there is one, and returns once nothing is probed any more. Samples can still be fetched.
func (a *Agent) Close() {
	a.mu.Lock()
	a.closed = true
	s := a.session
	a.mu.Unlock()
	if s != nil {
		s.stop(Terminated)
		<-s.buffer.changed
	}
}

// open begins a session. One that has ended makes room, whether all of its samples were fetched or not.
func (a *Agent) open(w http.ResponseWriter, r *http.Request) {
	plan, err := readPlan(http.MaxBytesReader(w, r.Body, maxPlan))
	if err == nil {
		err = a.admit(plan)
	}
	if err != nil {
		refuse(w, statusOf(err), err)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.closed:
		refuse(w, http.StatusServiceUnavailable, errors.New("the agent is being ended"))
		return
	case a.session != nil && a.session.running():
		refuse(w, http.StatusConflict, fmt.Errorf("the agent probes for another controller: that one ends, or is given up %s after its last word", a.Lease))
		return
	}
	a.session = a.start(plan)
	a.Log.Info("session begins", "session", a.session.id, "series", len(plan.Series), "rate", rateOf(plan), "controller", r.RemoteAddr)
	answer(w, http.StatusCreated, Opened{Schema: Schema, ID: a.session.id, Control: a.Control, Lease: a.Lease})
}

// readPlan reads and validates a plan. The version comes first: a plan of another one may have fields that are not known here.
func readPlan(r io.Reader) (*Plan, error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("read plan: %w", err)
	}
	var head struct {
		Schema string `json:"schema"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return nil, errors.New("read plan: not a JSON document") // whose text may be secret
	}
	if head.Schema != Schema {
		return nil, &VersionError{Mine: Schema, Other: head.Schema}
	}
	var p Plan
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return nil, errors.New("read plan: not of the schema " + Schema)
	}
	if err := p.Validate(); err != nil {
		return nil, fmt.Errorf("read plan: %w", err)
	}
	return &p, nil
}

// with finds the session that a request is about.
func (a *Agent) with(do func(*session, http.ResponseWriter, *http.Request)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		s := a.session
		a.mu.Unlock()
		if s == nil || s.id != r.PathValue("id") {
			refuse(w, http.StatusNotFound, errors.New("no such session: the agent was restarted, or serves another controller"))
			return
		}
		do(s, w, r)
	}
}

func newID() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

func statusOf(err error) int {
	switch {
	case errors.As(err, new(*VersionError)):
		return http.StatusUpgradeRequired
	case errors.Is(err, errForbidden):
		return http.StatusForbidden
	case errors.As(err, new(*http.MaxBytesError)):
		return http.StatusRequestEntityTooLarge
	}
	return http.StatusBadRequest
}

// problem is the document of an error.
type problem struct {
	Error string `json:"error"`
}

func refuse(w http.ResponseWriter, status int, err error) { answer(w, status, problem{err.Error()}) }

func answer(w http.ResponseWriter, status int, document any) {
	b, err := json.Marshal(document)
	if err != nil {
		status, b = http.StatusInternalServerError, nil
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(b)+1))
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n')) // a controller that is gone does not mind
}
