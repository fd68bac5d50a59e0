package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"gwdr/fleet"
)

// echoFile is echo.json, what the echo upstream reads. It holds a secret.
type echoFile struct {
	Listen string `json:"listen"`
	Token  string `json:"token"` // for its control API
}

// RunEcho serves the echo upstream that file describes until ctx ends.
func RunEcho(ctx context.Context, file string) error {
	var f echoFile
	if err := readJSON(file, &f); err != nil {
		return fmt.Errorf("run echo: %w", err)
	}
	return serve(ctx, f.Listen, newTroubledEcho(Echo(), f.Token))
}

// The headers by which probes tell which request and which revision of the configuration an answer belongs to.
const (
	nonceHeader    = "X-Gwdr-Nonce"
	revisionHeader = "X-Gwdr-Revision"
)

// What the echo answers whatever trouble it is in: that it is there, and to who measures the measurement.
const (
	echoUntroubled = "/.gwdr/"
	echoReady      = echoUntroubled + "ready"
	echoControl    = echoUntroubled + "control"
)

// Echo answers every request with what reached it: {"path","nonce","revision","host"}, and the nonce and the revision
// as headers again.
func Echo() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+echoReady, func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		nonce, revision := r.Header.Get(nonceHeader), r.Header.Get(revisionHeader)
		h := w.Header()
		h.Set("Content-Type", "application/json")
		if nonce != "" {
			h.Set(nonceHeader, nonce)
		}
		if revision != "" {
			h.Set(revisionHeader, revision)
		}
		json.NewEncoder(w).Encode(struct {
			Path     string `json:"path"`
			Nonce    string `json:"nonce"`
			Revision string `json:"revision"`
			Host     string `json:"host"`
		}{r.URL.Path, nonce, revision, r.Host})
	})
	return mux
}

// trouble is what an echo does to a share of its answers, until its lease has run out.
type trouble struct {
	Share  float64       `json:"share"`              // above 0, at most 1
	Status int           `json:"status,omitempty"`   // answered instead of the echo; 0: the echo
	Delay  time.Duration `json:"delay_ns,omitempty"` // before the answer
	Lease  time.Duration `json:"lease_ns"`           // over after this, unless told again
}

// validate reports why an echo cannot do that.
func (t trouble) validate() error {
	switch {
	case !(t.Share > 0 && t.Share <= 1):
		return fmt.Errorf("share %v is not above 0 and at most 1", t.Share)
	case t.Lease <= 0:
		return errors.New("trouble needs a lease")
	case t.Delay < 0 || t.Status == 0 && t.Delay == 0:
		return errors.New("trouble needs a delay or a status")
	case t.Status != 0 && (t.Status < 400 || t.Status > 599):
		return fmt.Errorf("status %d is no error", t.Status)
	}
	return nil
}

// troubledEcho is an echo that can be told to answer wrongly or late.
type troubledEcho struct {
	echo    http.Handler
	control http.Handler

	mu       sync.Mutex
	troubles map[string]*troubled
}

// troubled is a trouble with the end of its lease.
type troubled struct {
	trouble
	until time.Time
}

// echoTroubles is the control API: PUT and DELETE of echoTroubles + ID, for whoever presents the token.
const echoTroubles = echoUntroubled + "troubles/"

func newTroubledEcho(echo http.Handler, token string) *troubledEcho {
	e := &troubledEcho{echo: echo, troubles: map[string]*troubled{}}
	api := http.NewServeMux()
	api.HandleFunc("PUT "+echoTroubles+"{id}", e.put)
	api.HandleFunc("DELETE "+echoTroubles+"{id}", func(w http.ResponseWriter, r *http.Request) {
		e.end(r.PathValue("id"))
		finish(w, nil)
	})
	e.control = requireToken(token, api)
	return e
}

// ServeHTTP answers as the troubles in effect say. Each is decided for each request, at random: one that comes at a fixed pace
// is hit no more and no less often than others.
func (e *troubledEcho) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case strings.HasPrefix(r.URL.Path, echoTroubles):
		e.control.ServeHTTP(w, r)
		return
	case strings.HasPrefix(r.URL.Path, echoUntroubled):
		e.echo.ServeHTTP(w, r)
		return
	}
	status, delay := e.fate(time.Now(), rand.Float64)
	if sleep(r.Context(), delay); r.Context().Err() != nil {
		return // nobody waits any more
	}
	if status == 0 {
		e.echo.ServeHTTP(w, r)
		return
	}
	http.Error(w, "the upstream fails, as a fault says", status)
}

// fate decides what becomes of one request: the status of an error or 0, and how much later it is answered.
func (e *troubledEcho) fate(now time.Time, random func() float64) (status int, delay time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for id, t := range e.troubles {
		if !now.Before(t.until) {
			delete(e.troubles, id)
			continue
		}
		if random() >= t.Share {
			continue
		}
		delay += t.Delay
		status = max(status, t.Status)
	}
	return status, delay
}

func (e *troubledEcho) put(w http.ResponseWriter, r *http.Request) {
	var t trouble
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, 4<<10))
	dec.DisallowUnknownFields()
	err := dec.Decode(&t)
	if err == nil {
		err = t.validate()
	}
	if id := r.PathValue("id"); err == nil && !fleet.IsFaultID(id) {
		err = fmt.Errorf("id %q is not that of a fault", id)
	}
	if err != nil {
		writeFailure(w, http.StatusBadRequest, fmt.Errorf("read trouble: %w", err))
		return
	}
	e.mu.Lock()
	e.troubles[r.PathValue("id")] = &troubled{t, time.Now().Add(t.Lease)}
	e.mu.Unlock()
	finish(w, nil)
}

func (e *troubledEcho) end(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.troubles, id)
}
