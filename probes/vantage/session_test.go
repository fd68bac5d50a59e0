package vantage

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"gwdr/fleet/link"
	"gwdr/probes"
)

func newTarget(t *testing.T) *httptest.Server {
	t.Helper()
	target := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(target.Close)
	return target
}

// TestASessionTellsEverything until it is stopped, and then the agent is free for the next one.
func TestASessionTellsEverything(t *testing.T) {
	agent, server := newAgent(t, nil)
	for range 2 {
		r := run(t, server.URL, newPlan(newTarget(t).URL))
		r.until(t, "200 samples", func() bool { return len(r.samples) > 200 })
		if err := r.end(); err != nil {
			t.Fatal(err)
		}
		r.checkWhole(t, "eu: fresh", "eu: control")
		if len(r.readings) < firstReads || r.cuts > 0 {
			t.Errorf("%d readings, %d cuts", len(r.readings), r.cuts)
		}
		if _, err := probes.OffsetAt(r.readings, 0); err != nil {
			t.Error(err)
		}
		if agent.session.running() {
			t.Error("it goes on after its end")
		}
	}
}

// TestACutStreamIsTakenUpAgain where it was cut: nothing is missing, nothing is there twice.
func TestACutStreamIsTakenUpAgain(t *testing.T) {
	_, server := newAgent(t, nil)
	l, err := link.Listen(link.Spec{ID: "agent", Listen: "127.0.0.1:0", To: strings.TrimPrefix(server.URL, "http://")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r := run(t, "http://"+l.Addr(), newPlan(newTarget(t).URL))
	for i, mode := range []link.Mode{link.Reset, link.Refuse, link.Blackhole} {
		r.until(t, "samples", func() bool { return len(r.samples) > 100*(i+1) })
		if err := l.Set(link.State{Mode: mode, Lease: time.Minute}); err != nil {
			t.Fatal(err)
		}
		r.until(t, "the cut", func() bool { return r.cuts > i })
		if err := l.Set(link.State{Mode: link.Pass}); err != nil {
			t.Fatal(err)
		}
		r.until(t, "that it is back", func() bool { return r.backs > i })
	}
	if err := r.end(); err != nil {
		t.Fatal(err)
	}
	r.checkWhole(t, "eu: fresh", "eu: control")
}

// TestAnAgentWithoutItsControllerStops, and says so to who comes back; it never probes without an owner.
func TestAnAgentWithoutItsControllerStops(t *testing.T) {
	agent, server := newAgent(t, func(a *Agent) { a.Lease = 300 * time.Millisecond })
	client := &Client{URL: server.URL, Token: token}
	s, err := client.Open(t.Context(), newPlan(newTarget(t).URL))
	if err != nil {
		t.Fatal(err)
	}
	<-agent.session.buffer.changed
	h := newHeard()
	contains(t, s.Run(t.Context(), time.Now(), h), "lapsed")
	if len(h.samples) == 0 {
		t.Error("what it had was not told")
	}
	if next, err := client.Open(t.Context(), newPlan(newTarget(t).URL)); err != nil {
		t.Error(err)
	} else if err := next.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestTheEndsOfASession other than the one that was asked for are errors.
func TestTheEndsOfASession(t *testing.T) {
	target := newTarget(t)
	t.Run("the agent is ended", func(t *testing.T) {
		agent, server := newAgent(t, nil)
		r := run(t, server.URL, newPlan(target.URL))
		r.until(t, "samples", func() bool { return len(r.samples) > 20 })
		agent.Close()
		contains(t, <-r.done, "terminated")
		r.checkWhole(t, "eu: fresh")
	})
	t.Run("somebody else stops it", func(t *testing.T) {
		agent, server := newAgent(t, nil)
		r := run(t, server.URL, newPlan(target.URL))
		r.until(t, "samples", func() bool { return len(r.samples) > 20 })
		agent.session.stop(Stopped)
		contains(t, <-r.done, "was stopped, though nobody here asked")
		r.checkWhole(t, "eu: fresh")
	})
	t.Run("its time is over", func(t *testing.T) {
		_, server := newAgent(t, nil)
		p := newPlan(target.URL)
		p.For = 300 * time.Millisecond
		contains(t, <-run(t, server.URL, p).done, "overdue")
	})
	t.Run("a target that no prober takes", func(t *testing.T) {
		_, server := newAgent(t, nil)
		contains(t, <-run(t, server.URL, newPlan("gopher://localhost/")).done, "broken")
	})
	t.Run("the agent is gone", func(t *testing.T) {
		_, server := newAgent(t, nil)
		r := run(t, server.URL, newPlan(target.URL))
		r.until(t, "samples", func() bool { return len(r.samples) > 20 })
		server.CloseClientConnections()
		server.Listener.Close()
		r.until(t, "the cut", func() bool { return r.cuts > 0 })
		contains(t, r.end(), "not all samples were fetched")
	})
	t.Run("another agent", func(t *testing.T) {
		agent, server := newAgent(t, nil)
		r := run(t, server.URL, newPlan(target.URL))
		r.until(t, "samples", func() bool { return len(r.samples) > 20 })
		agent.mu.Lock()
		old := agent.session
		agent.session = nil // as after a restart
		agent.mu.Unlock()
		defer old.stop(Terminated)
		server.CloseClientConnections()
		contains(t, <-r.done, "no such session")
	})
}

// TestRefusals are of a kind that the controller tells apart, and repeat no secret.
func TestRefusals(t *testing.T) {
	target := newTarget(t)
	open := func(t *testing.T, url, token string, p *Plan) error {
		s, err := (&Client{URL: url, Token: token}).Open(t.Context(), p)
		if err == nil {
			err = errors.Join(errors.New("it took the plan"), s.Close(t.Context()))
		}
		return err
	}
	refused := func(t *testing.T, err error, status int, part string) {
		t.Helper()
		s := (*StatusError)(nil)
		if !errors.As(err, &s) || s.Status != status {
			t.Errorf("%v, want status %d", err, status)
		}
		contains(t, err, part)
	}
	t.Run("token", func(t *testing.T) {
		_, server := newAgent(t, nil)
		for _, other := range []string{"", "another", "x" + token} {
			refused(t, open(t, server.URL, other, newPlan(target.URL)), http.StatusUnauthorized, "the token is not the agent's")
		}
		_, server = newAgent(t, func(a *Agent) { a.Token = "" })
		refused(t, open(t, server.URL, "", newPlan(target.URL)), http.StatusUnauthorized, "")
	})
	t.Run("busy", func(t *testing.T) {
		_, server := newAgent(t, nil)
		r := run(t, server.URL, newPlan(target.URL))
		refused(t, open(t, server.URL, token, newPlan(target.URL)), http.StatusConflict, "for another controller")
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
	t.Run("too much", func(t *testing.T) {
		_, server := newAgent(t, func(a *Agent) { a.MaxRate = 90; a.MaxFor = time.Minute; a.Allow = []string{"*.example.com"} })
		p := newPlan(target.URL)
		refused(t, open(t, server.URL, token, p), http.StatusForbidden, "100 attempts a second, 90 is the most")
		p.Series[0].Interval, p.For = time.Second, time.Hour
		refused(t, open(t, server.URL, token, p), http.StatusForbidden, "to probe for 1h0m0s, 1m0s is the longest")
		p.For, p.Series[0].Timeout, p.Series[0].Interval = 0, time.Minute, 50*time.Millisecond
		refused(t, open(t, server.URL, token, p), http.StatusForbidden, "attempts that wait for an answer at once, 450 are the most")
		p.Series[0].Timeout = time.Second
		refused(t, open(t, server.URL, token, p), http.StatusForbidden, "is none of the hosts that it may probe")
	})
	t.Run("more connections than there are ports", func(t *testing.T) {
		_, server := newAgent(t, func(a *Agent) { a.MaxRate = 10_000 })
		p := newPlan(target.URL)
		p.Series[0].Interval = 2 * time.Millisecond
		refused(t, open(t, server.URL, token, p), http.StatusBadRequest, "more than 400 new connections a second")
		p.Series[0].Target = &Target{URL: "tcp://" + strings.TrimPrefix(target.URL, "http://")}
		refused(t, open(t, server.URL, token, p), http.StatusBadRequest, "more than 400 new connections a second")
		p.Series[0].Target = &Target{URL: target.URL}
		contains(t, open(t, server.URL, token, p), "it took the plan")
	})
	t.Run("malformed", func(t *testing.T) {
		_, server := newAgent(t, nil)
		p := newPlan("http://me:s3cr3t@localhost/?key=s3cr3t")
		err := open(t, server.URL, token, p)
		refused(t, err, http.StatusBadRequest, "not the URL of a target")
		if strings.Contains(err.Error(), "s3cr3t") {
			t.Error(err)
		}
	})
	t.Run("a controller of another version", func(t *testing.T) {
		_, server := newAgent(t, nil)
		p := newPlan(target.URL)
		p.Schema = "gwdr/vantage/v7"
		refused(t, open(t, server.URL, token, p), http.StatusUpgradeRequired, `speaks "gwdr/vantage/v7", not "gwdr/vantage/v1"`)
	})
}

// TestAnAgentOfAnotherVersion is told nothing, but its own name.
func TestAnAgentOfAnotherVersion(t *testing.T) {
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.URL.Path)
		answer(w, http.StatusOK, Hello{Schema: "gwdr/vantage/v0", Tool: "old"})
	}))
	defer server.Close()
	_, err := (&Client{URL: server.URL, Token: token}).Open(t.Context(), newPlan("http://localhost/"))
	if v := (*VersionError)(nil); !errors.As(err, &v) || v.Other != "gwdr/vantage/v0" {
		t.Errorf("%v, want a version error", err)
	}
	if len(asked) != 1 {
		t.Errorf("asked %q", asked)
	}
}

// TestATokenStaysWhereItWasMeantFor: neither another machine without TLS nor the target of a redirect gets it.
func TestATokenStaysWhereItWasMeantFor(t *testing.T) {
	for _, url := range []string{"http://192.0.2.1:7070", "http://example.com", "https://me:pass@localhost", "ftp://localhost", "localhost:7070", "https://localhost/path"} {
		if _, err := (&Client{URL: url, Token: token}).Open(t.Context(), newPlan("http://localhost/")); err == nil {
			t.Errorf("%s was taken", url)
		}
	}
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("followed a redirect") }))
	defer other.Close()
	server := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	defer server.Close()
	_, err := (&Client{URL: server.URL, Token: token}).Open(t.Context(), newPlan("http://localhost/"))
	contains(t, err, "307")
}

// TestAnAgentThatLies ends its session: what it said before stays.
func TestAnAgentThatLies(t *testing.T) {
	for name, line := range map[string]string{
		"another series": `{"first":0,"now_ns":1,"samples":[{"series":"us","class":"ok"}]}`,
		"no JSON":        `nonsense`,
		"endless":        strings.Repeat(" ", maxLine+1),
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(line + "\n")) }))
			defer server.Close()
			s := &Session{client: &Client{URL: server.URL}, http: newHTTP(), series: map[string]bool{"eu": true}}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if err := s.Run(ctx, time.Now(), newHeard()); !errors.Is(err, errLost) {
				t.Errorf("%v, want the session lost", err)
			}
		})
	}
}
