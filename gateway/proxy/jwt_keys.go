package proxy

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"

	"gwdr/gateway"
)

const (
	retryMin = time.Second      // before the keys are read again after that failed; doubled each time, up to the usual interval
	askEvery = 10 * time.Second // least time between two reads because of tokens whose key is not there
)

// keySource knows the keys of an issuer, and has them read again and again while it runs. The last that were read count until they are
// too old.
type keySource struct {
	place    string                                             // where they are read; empty: they are part of the configuration
	read     func(ctx context.Context) (*gateway.KeySet, error) // what is there
	refresh  time.Duration
	maxStale time.Duration
	known    atomic.Pointer[readKeys] // nil: none yet
	asked    chan struct{}            // holds a token when somebody misses a key
	gone     <-chan struct{}          // closed when no more are read; nil before it runs
	stop     context.CancelFunc       // likewise

	mu    sync.Mutex
	over  chan struct{} // closed when the read that is under way, or the next one, is over
	busy  bool          // one is under way
	ended time.Time     // when the last one was over
}

// readKeys are keys and when they were read.
type readKeys struct {
	At   time.Time       `json:"at"`
	JWKS *gateway.KeySet `json:"jwks"`
}

func newKeySource(b gateway.IssuerBody) *keySource {
	s := &keySource{refresh: time.Duration(b.Refresh), maxStale: time.Duration(b.MaxStale),
		asked: make(chan struct{}, 1), over: make(chan struct{})}
	switch {
	case b.JWKSURL != "":
		s.place, s.read = b.JWKSURL, keysAt(b.JWKSURL)
	case b.JWKSFile != "":
		s.place, s.read = b.JWKSFile, keysIn(b.JWKSFile)
	default:
		s.known.Store(&readKeys{JWKS: b.JWKS})
	}
	return s
}

var (
	errNoKeys  = errors.New("no keys are known that are fresh enough")
	errWrongID = errors.New("no such key")
)

// age returns how long ago the keys were read; false if they never were.
func (s *keySource) age() (time.Duration, bool) {
	known := s.known.Load()
	if known == nil || s.place == "" {
		return 0, false
	}
	return time.Since(known.At), true
}

// find returns the public key that the token says it is signed by; of a single key no token need say that.
func (s *keySource) find(t *webToken) (any, error) {
	known := s.known.Load()
	if known == nil || s.place != "" && time.Since(known.At) > s.maxStale {
		return nil, errNoKeys
	}
	alone := len(known.JWKS.Keys) == 1 && t.key == ""
	for i := range known.JWKS.Keys { // without a copy of each: a JWKS may have thousands
		k := &known.JWKS.Keys[i]
		if (alone || k.KeyID == t.key && t.key != "") && jose.SignatureAlgorithm(k.Algorithm) == t.algorithm {
			return k.Key, nil
		}
	}
	return nil, errWrongID
}

// await returns true after a read of the keys that was under way, or that it caused; false, if it is too soon for another, or that takes
// too long: a file can hang as its disk does.
func (s *keySource) await(ctx context.Context) bool {
	if s.gone == nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, keysTimeout)
	defer cancel()
	s.mu.Lock()
	over := s.over
	soon := !s.busy && time.Since(s.ended) < askEvery
	if !s.busy && !soon {
		s.ask()
	}
	s.mu.Unlock()
	if soon {
		return false
	}
	select {
	case <-over:
		return true
	case <-s.gone:
	case <-ctx.Done():
	}
	return false
}

func (s *keySource) ask() {
	select {
	case s.asked <- struct{}{}:
	default:
	}
}

// start begins with the keys that the cache has of the place, and reads what is there now.
func (s *keySource) start(cache *keyCache, log *slog.Logger) {
	if s.place == "" {
		return
	}
	s.known.Store(cache.get(s.place))
	ctx, cancel := context.WithCancel(context.Background())
	s.gone, s.stop = ctx.Done(), cancel
	cache.sources.Go(func() { s.run(ctx, cache, log) })
}

// end ends the reading, soon; the keys stay.
func (s *keySource) end() {
	if s.stop != nil {
		s.stop()
	}
}

func (s *keySource) run(ctx context.Context, cache *keyCache, log *slog.Logger) {
	backoff := retryMin
	for {
		pause := s.refresh
		if err := s.renew(ctx, cache); ctx.Err() != nil {
			return
		} else if err != nil {
			pause, backoff = min(backoff, s.refresh), min(2*backoff, s.refresh)
			log.Warn("keys of an issuer cannot be read, the last ones count", "from", s.place, "error", err, "retry_in", pause)
		} else {
			backoff = retryMin
		}
		timer := time.NewTimer(pause*9/10 + rand.N(pause/10)) // not all instances at once
		select {
		case <-ctx.Done():
		case <-s.asked:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// renew reads the keys, and lets those go on who wait for that.
func (s *keySource) renew(ctx context.Context, cache *keyCache) error {
	s.mu.Lock()
	s.busy = true
	s.mu.Unlock()
	set, err := s.read(ctx)
	if err == nil {
		s.known.Store(&readKeys{At: time.Now().UTC().Round(0), JWKS: set})
	}
	s.mu.Lock()
	close(s.over)
	s.over, s.busy, s.ended = make(chan struct{}), false, time.Now()
	select {
	case <-s.asked: // by who asked before this began
	default:
	}
	s.mu.Unlock()
	if err == nil {
		cache.put(s.place, s.known.Load())
	}
	return err
}
