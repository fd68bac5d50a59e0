package cmd

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"gwdr/drills"
	"gwdr/probes"
	"gwdr/probes/vantage"
)

// deafSink hears nothing.
type deafSink struct{}

func (deafSink) Told([]probes.Sample, time.Duration) {}
func (deafSink) Read(probes.Exchange, time.Duration) {}
func (deafSink) Link(error)                          {}

// TestNoLeaseEndsWhileAnotherAgentIsAsked, however short it is and however long that takes.
func TestNoLeaseEndsWhileAnotherAgentIsAsked(t *testing.T) {
	const token, lease = "a-token-that-nobody-guesses", time.Second
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok\n") }))
	defer target.Close()
	serve := func(delay time.Duration) string {
		agent := &vantage.Agent{Token: token, Tool: "test", Control: target.URL, Lease: lease, MaxRate: 500, MaxFor: time.Hour, Log: slog.New(slog.DiscardHandler)}
		handler := agent.Handler()
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet && r.URL.Path == "/v1" {
				<-time.After(delay)
			}
			handler.ServeHTTP(w, r)
		}))
		t.Cleanup(func() { agent.Close(); server.Close() })
		return server.URL
	}
	o := &probeOptions{Rate: 20, Timeout: time.Second}
	w, err := o.watch([]string{target.URL}, target.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := o.openVantages(t.Context(), []agentSpec{{"quick", serve(0)}, {"slow", serve(2 * lease)}}, token, w.Plan.Series)
	if err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, v := range opened {
		if err := v.session.Run(ended, time.Now(), drills.VantageSink(deafSink{})); err != nil {
			t.Errorf("%s: %v", v.name, err)
		}
	}
}
