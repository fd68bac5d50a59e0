package proxy

import (
	"io"
	"net/http"
)

// The gateway's own pages; all paths below ownPaths are its own.
const (
	ownPaths  = "/.gwdr/"
	readyPath = ownPaths + "ready" // answers 200 once a configuration is loaded
)

func (g *Gateway) serveOwn(w http.ResponseWriter, r *http.Request) {
	g.identify(w.Header())
	w.Header().Set("Date", g.options.Now().UTC().Format(http.TimeFormat)) // the clock that it goes by
	switch {
	case r.URL.Path != readyPath:
		(&refusal{status: http.StatusNotFound, text: "no such page of the gateway"}).write(w)
	case g.live.Load() == nil:
		(&refusal{status: http.StatusServiceUnavailable, text: "no configuration is loaded"}).write(w)
	default:
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"ready":true}`+"\n")
	}
}
