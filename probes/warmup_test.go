package probes

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestConnectionsAreMadeBeforeAttemptsAreDue wants as many as attempts may be under way at once, no attempt among what made them,
// and not to wait long for a target that hangs.
func TestConnectionsAreMadeBeforeAttemptsAreDue(t *testing.T) {
	for name, c := range map[string]struct {
		interval, answer time.Duration
		fresh            bool
		dials            int
		took             time.Duration
	}{
		"10,000 a second": {ms / 10, 4 * ms, false, 50, 8 * ms},
		"1,000 a second":  {ms, 4 * ms, false, 5, 8 * ms},
		"50 a second":     {tick, 4 * ms, false, 0, 0},
		"fresh":           {ms, 4 * ms, true, 0, 0},
		"hangs":           {ms, time.Hour, false, 1, WarmUp}, // nor is it asked again
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var dials atomic.Int64
				m := serveMemory(t, func(_ http.ResponseWriter, r *http.Request) {
					select {
					case <-time.After(c.answer):
					case <-r.Context().Done():
					}
				})
				s, err := newSender(Request{URL: "http://gateway", Fresh: c.fresh, dial: func(ctx context.Context, network, address string) (net.Conn, error) {
					dials.Add(1)
					return m.dial(ctx, network, address)
				}})
				if err != nil {
					t.Fatal(err)
				}
				defer s.close()
				series := Series{Name: "orders", Interval: c.interval, Timeout: 2 * time.Second}
				r := proberRun{sender: s, idle: make(chan Sample), Prober: &Prober{Series: series, Request: Request{URL: "http://gateway", Fresh: c.fresh},
					T0: time.Now(), Out: func(s Sample) { t.Errorf("an attempt: %+v", s) }}}
				r.warmUp(t.Context(), t.Context())
				if took := time.Since(r.T0); took != c.took || int(dials.Load()) != c.dials {
					t.Errorf("%d connections in %v, want %d in %v", dials.Load(), took, c.dials, c.took)
				}
				close(r.idle)
				r.workers.Wait()
			})
		})
	}
}
