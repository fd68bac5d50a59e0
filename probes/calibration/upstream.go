package calibration

import (
	"math/rand/v2"
	"net/http"
	"sync"

	"gwdr/probes"
)

// Upstream is a target that answers every request at once, with the nonce that came with it, unless it is told to be down.
// The zero value is up. It is safe for concurrent use.
type Upstream struct {
	mu   sync.RWMutex // held for reading while a request is answered
	down Kind         // "" is up
}

// Fault returns what makes u be down in a way that a target can: Blackhole or Brownout.
func (u *Upstream) Fault(kind Kind) Fault {
	return Fault{Kind: kind, Set: func(down bool) error {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.down = ""
		if down {
			u.down = kind
		}
		return nil
	}}
}

// ServeHTTP answers, or does not.
func (u *Upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if u.answer(w, r) {
		return
	}
	<-r.Context().Done() // the client has given up
	panic(http.ErrAbortHandler)
}

// answer returns false if no answer is to come.
func (u *Upstream) answer(w http.ResponseWriter, r *http.Request) bool {
	u.mu.RLock()
	defer u.mu.RUnlock()
	switch {
	case u.down == Blackhole:
		return false
	case u.down == Brownout && rand.IntN(2) == 0:
		w.WriteHeader(http.StatusServiceUnavailable)
	default:
		w.Header().Set(probes.NonceHeader, r.Header.Get(probes.NonceHeader))
	}
	return true
}
