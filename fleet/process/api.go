package process

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"gwdr/fleet"
)

// Process is a process of the lab: an instance, or the links.
type Process struct {
	fleet.Instance
	Start    uint64   `json:"start,omitempty"` // with the pid, its identity
	Ports    []string `json:"ports"`           // host:port that it listens on
	Fault    string   `json:"fault,omitempty"` // id of the fault that keeps it down
	Exit     string   `json:"exit,omitempty"`  // how it ended, if it does not run
	Tail     []string `json:"tail,omitempty"`  // last lines of its log, if it ended by itself
	Resident int64    `json:"resident_bytes,omitempty"`
	Stopped  bool     `json:"stopped,omitempty"` // by a signal: it runs and does nothing
}

// Died reports whether the process ended although no fault ended it.
func (p Process) Died() bool { return !p.Running && p.Fault == "" }

// handler serves the supervisor's API to whoever presents its bearer token. Faults are injected and reverted under ctx:
// they are not undone halfway when a client goes.
func (s *supervisor) handler(ctx context.Context) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /instances", func(w http.ResponseWriter, _ *http.Request) {
		writeAnswer(w, http.StatusOK, s.processes())
	})
	mux.HandleFunc("GET /faults", func(w http.ResponseWriter, _ *http.Request) {
		writeAnswer(w, http.StatusOK, s.faultStatus())
	})
	mux.HandleFunc("POST /faults", func(w http.ResponseWriter, r *http.Request) {
		var u fleet.Undo
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&u); err != nil {
			writeFailure(w, http.StatusBadRequest, fmt.Errorf("read undo: %w", err))
			return
		}
		finish(w, s.inject(ctx, u))
	})
	mux.HandleFunc("POST /faults/{id}/renew", func(w http.ResponseWriter, r *http.Request) {
		finish(w, s.renew(ctx, r.PathValue("id")))
	})
	mux.HandleFunc("DELETE /faults/{id}", func(w http.ResponseWriter, r *http.Request) {
		finish(w, s.revert(ctx, r.PathValue("id")))
	})
	mux.HandleFunc("POST /down", func(w http.ResponseWriter, r *http.Request) {
		finish(w, nil)
		http.NewResponseController(w).Flush()
		s.stop()
	})
	return requireToken(s.file.Token, mux)
}

// processes lists all processes in the order of the plan.
func (s *supervisor) processes() []Process {
	list := []Process{}
	for _, c := range s.all() {
		list = append(list, s.process(c))
	}
	return list
}

func (s *supervisor) process(c *child) Process {
	p := Process{Instance: c.Instance, Ports: c.ports()}
	r, held := c.current()
	p.Fault = held
	switch {
	case r.running():
		p.Running, p.PID, p.Start, p.Resident = true, r.PID, r.Start, residentBytes(r.PID)
		p.Stopped = r.Stopped()
	case r != nil:
		p.Exit = r.exit
		if held == "" {
			p.Tail = tail(s.dir.log(c.ID), 5)
		}
	}
	return p
}

// faultStatus lists the faults in effect.
func (s *supervisor) faultStatus() []FaultStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []FaultStatus{}
	for _, f := range s.faults {
		list = append(list, f.status())
	}
	return list
}

// failure is the body of an answer that is not 200. Code tells a client which error it is.
type failure struct {
	Error string `json:"error"`
	Code  string `json:"code,omitempty"`
}

// coded are the errors that a client tells apart.
func coded() map[string]error {
	return map[string]error{
		"unsupported": fleet.ErrUnsupported, "no-target": fleet.ErrNoTarget, "unknown-fault": errUnknownFault,
	}
}

// finish answers 200, or says what failed.
func finish(w http.ResponseWriter, err error) {
	switch {
	case err == nil:
		writeAnswer(w, http.StatusOK, struct{}{})
	case errors.Is(err, errUnknownFault):
		writeFailure(w, http.StatusNotFound, err)
	default:
		writeFailure(w, http.StatusConflict, err)
	}
}

func writeFailure(w http.ResponseWriter, status int, err error) {
	f := failure{Error: err.Error()}
	for code, cause := range coded() {
		if errors.Is(err, cause) {
			f.Code = code
		}
	}
	writeAnswer(w, status, f)
}

// writeAnswer writes v with its length, so that an answer that was flushed is whole.
func writeAnswer(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"error":"answer cannot be written"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	w.Write(body)
}

// requireToken refuses every request without the bearer token. An empty token lets nobody in.
func requireToken(token string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if token == "" || subtle.ConstantTimeCompare([]byte(given), []byte(token)) != 1 {
			writeFailure(w, http.StatusUnauthorized, errors.New("bearer token is missing or wrong"))
			return
		}
		next.ServeHTTP(w, r)
	})
}
