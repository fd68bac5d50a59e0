package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"gwdr/fleet"
	"gwdr/gateway"
	"gwdr/gateway/native"
	"gwdr/probes"
)

// The seeded objects that the ledger's changes rest on.
const (
	ledgerUpstream = "echo"
	ledgerKeyRoute = "/orders" // wants a key
)

// ledgerAdmin makes the numbered changes of a drill on the bundled gateway and reads them back: probes.Admin. A route's
// version is a header that it sets on its requests, a spec's an extension, a key's a scope. Tokens of its keys are only
// ever in memory.
type ledgerAdmin struct {
	writer    *native.Client // as administrators reach the gateway
	token     string         // for the regions' own admin listeners
	instances func(ctx context.Context) ([]fleet.Instance, error)
	http      *http.Client

	mu   sync.Mutex
	keys map[string]gateway.Token // by the change's object id
}

var _ probes.Admin = (*ledgerAdmin)(nil)

// Make makes the change through the front door.
func (l *ledgerAdmin) Make(ctx context.Context, c probes.Change) error {
	e := l.entity(c)
	var err error
	if c.Delete {
		_, err = l.writer.Delete(ctx, e.Ref, gateway.Condition{})
	} else {
		_, err = l.writer.Put(ctx, e, gateway.Condition{})
	}
	if errors.Is(err, gateway.ErrNotFound) && c.Delete {
		return nil
	}
	if didNotHappen(err) {
		return &probes.RejectedError{Err: err}
	}
	return err
}

// didNotHappen reports whether the error says for certain that nothing was changed.
func didNotHappen(err error) bool {
	answer := (*native.Error)(nil)
	if errors.As(err, &answer) {
		return answer.Status/100 == 4
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// entity is what the change leaves behind.
func (l *ledgerAdmin) entity(c probes.Change) gateway.Entity {
	version := strconv.FormatInt(c.Seq, 10)
	e := gateway.Entity{Ref: l.ref(c)}
	switch c.Kind {
	case probes.RouteChange:
		e.Body = gateway.Encode(gateway.RouteBody{Path: ledgerPath(c.ID), Upstream: ledgerUpstream, Auth: gateway.AuthNone,
			Headers: map[string]string{"X-Gwdr-Revision": version}})
	case probes.SpecChange:
		e.Body = gateway.Encode(map[string]any{"openapi": "3.1.0", "info": map[string]string{"title": c.ID, "version": version},
			"paths": map[string]any{}, "x-gwdr-revision": c.Seq})
	case probes.KeyChange:
		e.Body = gateway.Encode(gateway.KeyBody{Hash: l.key(c.ID).Hash(), Created: time.Now().UTC(), Scopes: []string{ledgerScope + version}})
	case probes.RevokeChange:
		e.Body = gateway.Encode(gateway.RevocationBody{At: time.Now().UTC(), Reason: "gwdr change ledger " + version})
	}
	return e
}

const ledgerScope = "gwdr-ledger:"

func ledgerPath(id string) string { return "/ledger/" + id }

// ref names the entity of the change's object. The gateway knows a key by the id of its token.
func (l *ledgerAdmin) ref(c probes.Change) gateway.Ref {
	switch c.Kind {
	case probes.RouteChange:
		return gateway.Ref{Kind: gateway.Route, ID: c.ID}
	case probes.SpecChange:
		return gateway.Ref{Kind: gateway.Spec, ID: c.ID}
	case probes.KeyChange:
		return gateway.Ref{Kind: gateway.Key, ID: l.key(c.ID).ID}
	default:
		return gateway.Ref{Kind: gateway.Revocation, ID: l.key(c.ID).ID}
	}
}

// key returns the token of the key that the ledger calls id.
func (l *ledgerAdmin) key(id string) gateway.Token {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.keys[id]; !ok {
		if l.keys == nil {
			l.keys = map[string]gateway.Token{}
		}
		l.keys[id] = gateway.NewToken()
	}
	return l.keys[id]
}

// ledgerVersion reads the number of the change that made the body; -1 if there is none in it: it is not the ledger's.
func ledgerVersion(kind probes.ChangeKind, body []byte) int64 {
	var text string
	switch kind {
	case probes.RouteChange:
		var b gateway.RouteBody
		if json.Unmarshal(body, &b) == nil {
			text = b.Headers["X-Gwdr-Revision"]
		}
	case probes.SpecChange:
		var b struct {
			Revision json.Number `json:"x-gwdr-revision"`
		}
		if json.Unmarshal(body, &b) == nil {
			text = b.Revision.String()
		}
	case probes.KeyChange:
		var b gateway.KeyBody
		if json.Unmarshal(body, &b) == nil && len(b.Scopes) == 1 {
			text = strings.TrimPrefix(b.Scopes[0], ledgerScope)
		}
	}
	version, err := strconv.ParseInt(text, 10, 64)
	if err != nil || version <= 0 {
		return -1
	}
	return version
}
