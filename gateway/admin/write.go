package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"gwdr/gateway"
	"gwdr/gateway/store"
)

// writer is what changes go to: the store, or a dry run that answers what the store would.
type writer interface {
	Put(ctx context.Context, e gateway.Entity, c gateway.Condition) (revision, before int64, err error)
	Delete(ctx context.Context, r gateway.Ref, c gateway.Condition) (revision, before int64, err error)
	DeleteLeaving(ctx context.Context, r gateway.Ref, left gateway.Entity, c gateway.Condition) (revision, before int64, err error)
	Apply(ctx context.Context, changes []gateway.Change, b gateway.Bulk) (applied int, revision int64, err error)
}

// writer returns what the changes of the request go to. That dry_run is in order has been checked.
func (s *Server) writer(r *http.Request) writer {
	if dry, _ := isDryRun(r); dry {
		return &store.DryRun{Store: s.Store}
	}
	return s.Store
}

// isDryRun reports whether the request asks only what would change (?dry_run=true). Anything that might have been meant so is an
// error, as the change would be made otherwise.
func isDryRun(r *http.Request) (bool, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return false, badRequest(fmt.Errorf("read query: %w", err))
	}
	return isTrue(query, "dry_run")
}

// isTrue reads a parameter that is true or false, and false if it is not there. Anything else is an error: what was asked for
// would be left out in silence.
func isTrue(query url.Values, name string) (bool, error) {
	switch asked := query[name]; {
	case len(asked) == 0 || len(asked) == 1 && asked[0] == "false":
		return false, nil
	case len(asked) == 1 && asked[0] == "true":
		return true, nil
	default:
		return false, badRequest(fmt.Errorf("%s must be true or false, not %q", name, strings.Join(asked, ", ")))
	}
}

// checkDryRun reports why the request is not in order as a dry run, if it asks for one.
func checkDryRun(r *http.Request, a action) error {
	if a != write && a != lead {
		return nil
	}
	dry, err := isDryRun(r)
	if dry && a == lead {
		err = badRequest(errors.New("there is no dry run of this"))
	}
	return err
}

// outcome is what a dry run found.
type outcome struct {
	DryRun   bool      `json:"dry_run"`
	Revision int64     `json:"revision"` // of the store, which is as it was
	Changes  []planned `json:"changes"`
}

// planned is a change that was not made.
type planned struct {
	Op   gateway.Op   `json:"op"`
	Kind gateway.Kind `json:"kind"`
	ID   string       `json:"id"`
}

func outcomeOf(d *store.DryRun) outcome {
	o := outcome{DryRun: true, Revision: d.Revision, Changes: make([]planned, len(d.Changes))}
	for i, c := range d.Changes {
		o.Changes[i] = planned{c.Op, c.Entity.Kind, c.Entity.ID}
	}
	return o
}

// answerWrite answers a change that went to the writer with v, or with what would have changed.
func answerWrite(w http.ResponseWriter, to writer, status int, v any) {
	if dry, ok := to.(*store.DryRun); ok {
		status, v = http.StatusOK, outcomeOf(dry)
	}
	answer(w, status, v)
}
