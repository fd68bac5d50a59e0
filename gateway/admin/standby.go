package admin

import (
	"context"
	"net/http"
	"time"

	"gwdr/gateway"
)

// Standby is a gateway that serves from a backup, and has no store before it is promoted.
type Standby interface {
	// Backup returns what is served.
	Backup() gateway.Backup
	// Promote makes it an ordinary gateway, whose store holds what is served, and returns what that came to. It is safe to
	// ask again. The error is a *PromotionError if it is for the asker to mend.
	Promote(ctx context.Context) (Promotion, error)
}

// Promotion is what came of a promotion.
type Promotion struct {
	Epoch  int64  `json:"epoch"`
	Store  string `json:"store"`
	Parent string `json:"parent"` // lineage@revision: what the next backup descends from
	// Note says why the next backup may not name its parent; empty: it will.
	Note string `json:"note,omitempty"`
}

// readOnly is the answer to whoever would change something.
var readOnly = &refusal{status: http.StatusConflict, code: "not_leader",
	text: "this gateway serves from a backup and takes no writes until it is promoted",
	hint: "POST /v1/promote makes it an ordinary gateway; until then GET /v1/state has what it serves"}

// standbyEndpoints are those that need a store: each says what is to be done, but promote, which does it.
func (s *Server) standbyEndpoints() []endpoint {
	refuse := func(w http.ResponseWriter, r *http.Request) { s.fail(w, r, readOnly) }
	const about = "not before it is promoted"
	return []endpoint{
		{"POST /v1/promote", []string{"dry_run"}, lead, s.promoteStandby, "make this an ordinary gateway that holds what the backup gave, and takes writes"},
		{"GET /v1/watch", nil, export, refuse, about},
		{"GET /v1/{kind}", nil, read, refuse, about},
		{"GET /v1/{kind}/{id...}", nil, read, refuse, about},
		{"PUT /v1/{kind}/{id...}", nil, write, refuse, about},
		{"DELETE /v1/{kind}/{id...}", nil, write, refuse, about},
		{"POST /v1/{path...}", nil, write, refuse, about},
	}
}

// promoteStandby may take longer than other requests, and goes on without whoever asked for it.
func (s *Server) promoteStandby(w http.ResponseWriter, r *http.Request) {
	c := http.NewResponseController(w)
	_ = c.SetReadDeadline(time.Time{}) // as in withDeadline
	_ = c.SetWriteDeadline(time.Time{})
	done, err := s.Standby.Promote(r.Context())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.audit(r, "promote", "epoch", done.Epoch, "store", done.Store, "parent", done.Parent)
	answer(w, http.StatusOK, done)
}

// alive is the answer of health and readiness. It names no location: nobody is asked for a token there.
func (s *Server) alive(status string) any {
	out := struct {
		Status   string `json:"status"`
		Instance string `json:"instance"`
		Backup   any    `json:"backup,omitempty"`
	}{Status: status, Instance: s.Instance}
	if s.Standby != nil {
		b := s.Standby.Backup()
		out.Backup = struct {
			Point string    `json:"point"`
			Time  time.Time `json:"recovery_point_time"`
			AgeS  float64   `json:"age_s"`
		}{b.Point, b.Time, b.AgeS}
	}
	return out
}

// PromotionError says why there is no promotion, to whoever asked for it.
type PromotionError struct{ Text, Hint string }

// Error returns the text.
func (e *PromotionError) Error() string { return e.Text }
