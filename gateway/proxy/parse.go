package proxy

import (
	"runtime"
	"sync"

	"gwdr/gateway"
)

// parsed is what the body of a changed key, revocation, route or issuer says; nil if it is deleted.
type parsed struct {
	key    *credential
	route  *route
	issuer *issuer
	err    error
}

// parse reads the bodies of keys, revocations, routes and issuers, which is most of the work of a configuration: many of them at once.
func parse(changes []gateway.Change) []parsed {
	all := make([]parsed, len(changes))
	workers := min(runtime.GOMAXPROCS(0), len(changes)/parseAlone+1)
	var wg sync.WaitGroup
	for w := range workers {
		from, to := w*len(changes)/workers, (w+1)*len(changes)/workers
		part := func() {
			for i := from; i < to; i++ {
				all[i] = parseOne(changes[i])
			}
		}
		if w == workers-1 { // the last part, or the only one, is the caller's
			part()
		} else {
			wg.Go(part)
		}
	}
	wg.Wait()
	return all
}

// parseAlone is how many bodies are not worth another goroutine.
const parseAlone = 500

func parseOne(c gateway.Change) (p parsed) {
	switch {
	case c.Op == gateway.Delete:
	case c.Entity.Kind == gateway.Key:
		p.key, p.err = newCredential(c.Entity.Body)
	case c.Entity.Kind == gateway.Revocation:
		p.key = newRevocation(c.Entity.Body)
	case c.Entity.Kind == gateway.Route:
		p.route, p.err = newRoute(c.Entity.ID, c.Entity.Body)
	case c.Entity.Kind == gateway.Setting:
		if name, ok := gateway.IssuerName(c.Entity.Ref); ok {
			p.issuer, p.err = newIssuer(name, c.Entity.Body)
		}
	}
	return p
}
