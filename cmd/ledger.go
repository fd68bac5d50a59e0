package cmd

import (
	"context"
	"net/http"
	"sync"
	"time"

	"gwdr/gateway"
	"gwdr/probes"
)

// The seeded objects of the lab that the ledger's changes rest on.
const (
	labLedgerUpstream = "echo"    // repeats X-Gwdr-Revision
	labLedgerKeyPath  = "/orders" // wants a key
)

// ledgerAdmin makes the numbered changes of a ledger on a gateway and reads them back: probes.Admin. Each body carries its
// object's id and the change's number. Tokens of its keys are only ever in memory.
type ledgerAdmin struct {
	writer  ledgerWriter                                            // as administrators reach the gateway
	regions func(context.Context) (map[string]*ledgerRegion, error) // those that are to be read
	http    *http.Client                                            // for the data planes

	upstream string // of the routes that are made
	echoes   bool   // it repeats X-Gwdr-Revision, so that a route's answer tells its version
	keyPath  string // of a route that wants a key; empty: keys are not tried

	mu   sync.Mutex
	keys map[string]gateway.Token // by the change's object id
	sent map[int64][]byte         // bodies, by number
}

var _ probes.Admin = (*ledgerAdmin)(nil)

// Make makes the change through the front door.
func (l *ledgerAdmin) Make(ctx context.Context, c probes.Change) error {
	ref := l.ref(c)
	if c.Delete {
		return l.writer.Delete(ctx, ref)
	}
	body := ledgerBody(c, l.upstream, l.hash(c), time.Now().UTC())
	l.mu.Lock()
	if l.sent == nil {
		l.sent = map[int64][]byte{}
	}
	l.sent[c.Seq] = body
	l.mu.Unlock()
	return l.writer.Put(ctx, gateway.Entity{Ref: ref, Body: body})
}

// ref names the entity of the change's object. The gateway knows a key by the id of its token.
func (l *ledgerAdmin) ref(c probes.Change) gateway.Ref {
	r := gateway.Ref{Kind: ledgerKind(c.Kind), ID: c.ID}
	if r.Kind == gateway.Key || r.Kind == gateway.Revocation {
		r.ID = l.key(c.ID).ID
	}
	return r
}

func (l *ledgerAdmin) hash(c probes.Change) string {
	if c.Kind != probes.KeyChange {
		return ""
	}
	return l.key(c.ID).Hash()
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

// version returns the number of the change that left this body behind; -1 if none of that object did: somebody else wrote it,
// or it was changed since.
func (l *ledgerAdmin) version(e gateway.Entity, id string) int64 {
	mark, ok := readLedgerMark(e.Kind, e.Body)
	if !ok || mark.ID != id {
		return -1
	}
	l.mu.Lock()
	sent, known := l.sent[mark.Version]
	l.mu.Unlock()
	if known && !gateway.SameContent(e.Kind, sent, e.Body) {
		return -1
	}
	return mark.Version
}
