package proxy

import (
	"io"
	"net/http"
)

// The gateway's own pages; all paths below ownPaths are its own.
const (
	ownPaths   = "/.gwdr/"
	healthPath = ownPaths + "health" // answers 200 while the process lives
	readyPath  = ownPaths + "ready"  // answers 200 once a configuration is loaded, and until the gateway drains
)

func (g *Gateway) serveOwn(w http.ResponseWriter, r *http.Request) {
	g.identify(w.Header())
	w.Header().Set("Date", g.options.Now().UTC().Format(http.TimeFormat)) // the clock that it goes by
	switch {
	case r.URL.Path == healthPath:
		answerOwn(w, `{"healthy":true}`)
	case r.URL.Path != readyPath:
		(&refusal{status: http.StatusNotFound, text: "no such page of the gateway"}).write(w)
	case g.live.Load() == nil:
		(&refusal{status: http.StatusServiceUnavailable, text: "no configuration is loaded"}).write(w)
	case g.draining.Load():
		(&refusal{status: http.StatusServiceUnavailable, text: "the gateway is about to stop"}).write(w)
	default:
		answerOwn(w, `{"ready":true}`)
	}
}

func answerOwn(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, text+"\n")
}

// Drain has the gateway say that it is not ready, while it serves on: whoever sends it requests shall go elsewhere before it stops.
func (g *Gateway) Drain() { g.draining.Store(true) }
