// Package admin is the admin API of the bundled gateway: JSON over HTTP, one Server for a process, whether it is a control
// plane, a data plane, or both.
package admin

import (
	"cmp"
	"context"
	"iter"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"gwdr/gateway"
	"gwdr/gateway/store"
)

// DataPlane is what the API tells of a data plane.
type DataPlane interface {
	// Ready reports whether a configuration is loaded.
	Ready() bool
	// State returns what is served.
	State() (gateway.Header, *gateway.State)
	// Report returns what is served, in short, and whatever else the data plane has to say, for GET /v1/status.
	Report() (gateway.Status, any)
	// KeyUsed returns when the key last opened a route, to the minute; the zero time if it has not.
	KeyUsed(id string) time.Time
	// KeysUsed returns what KeyUsed says of each key that did, and since when it has been noted.
	KeysUsed() (since time.Time, used iter.Seq2[string, time.Time])
}

// Server answers the admin API. Its fields are the options; at least one of Store and Data is set.
type Server struct {
	Instance, Region, Role string
	Listen                 string // base URL of the data plane in this process; empty: there is none

	Store    *store.Store    // nil on a mere data plane
	Standby  Standby         // what Data serves from, if that is a backup; there is no Store then
	Data     DataPlane       // nil on a mere control plane
	Tokens   Tokens          // empty: whoever reaches the listener is an admin
	Metrics  http.Handler    // serves GET /metrics; nil: 404
	Stopping <-chan struct{} // closed when the process begins to stop: watches end; nil: never
	Log      *slog.Logger    // nil discards
	Audit    *slog.Logger    // gets each change as "admin change"; nil: Log

	digest    digestCache
	contracts contracts
}

// digestCache keeps the digest of the last revision asked for, as it costs a read of everything.
type digestCache struct {
	sync.Mutex
	store    string
	revision int64
	digest   string
	counts   map[gateway.Kind]int
}

// Bounds on what a request may hold, in bytes, and how long it may take.
const (
	maxAsk     = 64 << 10
	maxApply   = 512 << 20
	maxTime    = time.Minute // for one request
	maxStall   = time.Minute // for one piece of a stream that is read at the client's own pace
	maxSilence = 10 * time.Second
	maxLinger  = 5 * time.Second // for a client to read that its body is too large

	processingEvery = 10 * time.Second
)

// Handler returns the API as one handler.
func (s *Server) Handler() http.Handler {
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	s.Audit = cmp.Or(s.Audit, s.Log)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", s.health)
	mux.HandleFunc("GET /ready", s.ready)
	mux.HandleFunc("GET /leader", s.leader)
	if s.Metrics != nil {
		mux.Handle("GET /metrics", s.Metrics)
	}
	for _, e := range s.endpoints() {
		mux.HandleFunc(e.pattern, s.serve(e))
		if e.pattern == "GET /v1" { // another way to write it
			mux.HandleFunc("GET /v1/{$}", s.serve(e))
		}
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		refused := noEndpoint("no such endpoint: " + r.Method + " " + r.URL.Path)
		if s.Store == nil && s.Standby == nil {
			refused.hint = "this is a data plane: entities are read and written at its control plane; " + refused.hint
		}
		s.fail(w, r, refused)
	})
	return withDeadline(s.sameOrigin().Handler(mux))
}

// serve answers the requests of an endpoint that may be made of it, and are understood.
func (s *Server) serve(e endpoint) http.HandlerFunc {
	return s.allow(e.action, func(w http.ResponseWriter, r *http.Request) {
		if err := e.checkQuery(r); err != nil {
			s.fail(w, r, err)
			return
		}
		e.handler(w, r)
	})
}

// sameOrigin refuses what a page of another site would have a browser write.
func (s *Server) sameOrigin() *http.CrossOriginProtection {
	protection := http.NewCrossOriginProtection()
	protection.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, r, &refusal{status: http.StatusForbidden, code: "forbidden", text: "the request comes from a page of another origin",
			hint: "send it by a program, without Origin and Sec-Fetch-Site"})
	}))
	return protection
}

// withDeadline bounds the time of a request. Handlers that stream move the bound.
func withDeadline(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, until := http.NewResponseController(w), time.Now().Add(maxTime)
		_ = c.SetReadDeadline(until) // a ResponseWriter without deadlines is a test's
		_ = c.SetWriteDeadline(until)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, s.alive("ok"))
}

// ready answers 200 when the process serves what its role is to serve. Its control plane is open before it listens.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	if s.Data != nil && !s.Data.Ready() {
		s.fail(w, r, &refusal{status: http.StatusServiceUnavailable, code: "not_ready", text: "no configuration is loaded"})
		return
	}
	answer(w, http.StatusOK, s.alive("ready"))
}

// leader answers 200 only if this control plane takes writes. In a cluster that takes a quorum.
func (s *Server) leader(w http.ResponseWriter, r *http.Request) {
	if s.Standby != nil {
		known := *readOnly
		known.status = http.StatusServiceUnavailable
		s.fail(w, r, &known)
		return
	}
	if s.Store == nil {
		s.fail(w, r, &refusal{status: http.StatusServiceUnavailable, code: "not_leader", text: "no control plane runs here"})
		return
	}
	role := s.Store.Role()
	if role.Mode != gateway.ModeLeader {
		s.fail(w, r, &refusal{status: http.StatusServiceUnavailable, code: "not_leader", text: (&store.NotLeaderError{Role: role}).Error()})
		return
	}
	if err := s.Store.Answers(r.Context()); err != nil {
		s.fail(w, r, err)
		return
	}
	answer(w, http.StatusOK, role)
}

// fullStatus is what an instance says of itself.
type fullStatus struct {
	gateway.Status
	Data any `json:"data,omitempty"` // what the data plane adds
}

// status answers what the instance is. With ?brief=true digest and counts are left out.
func (s *Server) status(w http.ResponseWriter, r *http.Request) {
	var out fullStatus
	if s.Data != nil {
		out.Status, out.Data = s.Data.Report()
	}
	if s.Store != nil {
		var err error
		if out.Status, err = s.storeStatus(r.Context(), r.URL.Query().Get("brief") == "true"); err != nil {
			s.fail(w, r, err)
			return
		}
	}
	if s.Standby != nil {
		backup := s.Standby.Backup()
		out.Status.Mode, out.Status.Store, out.Status.Backup = gateway.ModeBackup, "", &backup
	}
	out.Instance, out.Region, out.Role, out.Listen = s.Instance, s.Region, s.Role, s.Listen
	answer(w, http.StatusOK, out)
}

func (s *Server) storeStatus(ctx context.Context, brief bool) (gateway.Status, error) {
	role, origin := s.Store.Role(), s.Store.Origin()
	out := gateway.Status{Store: s.Store.ID(), Epoch: role.Epoch, Mode: role.Mode, Leader: role.Leader,
		LeaderStore: origin.Store, Applied: origin.Revision}
	revision, err := s.Store.Revision(ctx)
	out.Revision = revision
	if err != nil || brief {
		return out, err
	}
	c := &s.digest
	c.Lock()
	defer c.Unlock()
	if c.digest == "" || c.revision != revision || c.store != out.Store {
		h, state, err := s.Store.State(ctx)
		if err != nil {
			return out, err
		}
		c.store, c.revision, c.digest, c.counts = h.Store, h.Revision, state.Digest(), state.Counts()
	}
	out.Revision, out.Digest, out.Counts = c.revision, c.digest, c.counts
	return out, nil
}

// promote makes this control plane the leader of a new epoch.
func (s *Server) promote(w http.ResponseWriter, r *http.Request) {
	s.changeRole(w, r, "promote", s.Store.Promote)
}

// demote has this control plane take no writes any more.
func (s *Server) demote(w http.ResponseWriter, r *http.Request) {
	s.changeRole(w, r, "demote", s.Store.Demote)
}

// replace has the cluster that the store is take a member whose disk is lost for a new one.
func (s *Server) replace(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	if err := s.Store.Replace(r.Context(), name); err != nil {
		s.fail(w, r, err)
		return
	}
	s.audit(r, "replace", "member", name)
	answer(w, http.StatusOK, map[string]string{"member": name})
}

func (s *Server) changeRole(w http.ResponseWriter, r *http.Request, op string, change func(context.Context) (epoch int64, err error)) {
	epoch, err := change(r.Context())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.audit(r, op, "epoch", epoch)
	answer(w, http.StatusOK, map[string]int64{"epoch": epoch})
}
