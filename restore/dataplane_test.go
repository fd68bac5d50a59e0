package restore

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gwdr/gateway"
	"gwdr/gateway/proxy"
)

func routes(bodies map[string]gateway.RouteBody) *gateway.State {
	s := gateway.NewState()
	for id, body := range bodies {
		s.Put(gateway.Entity{Ref: gateway.Ref{Kind: gateway.Route, ID: id}, Body: gateway.Encode(body)})
	}
	return s
}

// fakeDataPlane serves /open and, with a key that nobody has, /locked; its upstream knows no object of any id.
func fakeDataPlane(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == readyPath:
	case strings.HasPrefix(r.URL.Path, "/open/"):
		http.Error(w, "no such order", http.StatusNotFound)
	case strings.HasPrefix(r.URL.Path, "/down"):
		w.WriteHeader(http.StatusBadGateway)
	case strings.HasPrefix(r.URL.Path, "/locked"):
		http.Error(w, notValid, http.StatusUnauthorized)
	default:
		http.Error(w, `{"error":"no route"}`, http.StatusNotFound)
	}
}

// notValid is how the gateway says 401.
const notValid = `{"error":"the API key is not valid"}`

var served = map[string]gateway.RouteBody{
	"open":   {Path: "/open/{id}", Auth: gateway.AuthNone},
	"down":   {Path: "/down", Auth: gateway.AuthNone, Hosts: []string{"shop.example"}},
	"locked": {Path: "/locked/{id}/items", Methods: []string{"GET", "POST"}},
	"post":   {Path: "/never", Methods: []string{"POST"}},
}

func TestProbe(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(fakeDataPlane))
	defer server.Close()
	checks := DataPlane{Instances: Instances(server.URL)}.Probe(t.Context(), routes(served))
	if len(checks) != 6 {
		t.Errorf("%d checks: %v", len(checks), checks)
	}
	for _, c := range checks {
		if !c.OK {
			t.Error(c)
		}
		if strings.Contains(c.Request, "gwk_") {
			t.Errorf("a key is shown: %s", c.Request)
		}
	}
}

// TestProbeSees: each way in which a data plane can fail to serve what was restored is seen.
func TestProbeSees(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"a route that is not there": func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/open") {
				r.URL.Path = "/nowhere"
			}
			fakeDataPlane(w, r)
		},
		"a route that is open": func(w http.ResponseWriter, r *http.Request) {
			if !strings.HasPrefix(r.URL.Path, "/locked") {
				fakeDataPlane(w, r)
			}
		},
		"a wrong key that opens": func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") == "" {
				fakeDataPlane(w, r)
			}
		},
		"an upstream's own 401": func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/locked") {
				http.Error(w, "who are you?", http.StatusUnauthorized)
				return
			}
			fakeDataPlane(w, r)
		},
		"a route that lost its method": func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/open") {
				http.Error(w, `{"error":"the route does not take this method"}`, http.StatusMethodNotAllowed)
				return
			}
			fakeDataPlane(w, r)
		},
		"no configuration at all": func(w http.ResponseWriter, r *http.Request) { http.Error(w, "none", http.StatusNotFound) },
		"a gateway that is down":  func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) },
	} {
		server := httptest.NewServer(handler)
		failed := 0
		for _, c := range (DataPlane{Instances: Instances(server.URL), Within: 60 * time.Millisecond}).Probe(t.Context(), routes(served)) {
			if !c.OK {
				failed++
			}
		}
		if failed == 0 {
			t.Errorf("%s: not seen", name)
		}
		server.Close()
	}
}

// TestProbeWaits: a data plane takes a moment to follow its control plane.
func TestProbeWaits(t *testing.T) {
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) > 12 {
			fakeDataPlane(w, r)
		}
	}))
	defer server.Close()
	for _, c := range (DataPlane{Instances: Instances(server.URL)}).Probe(t.Context(), routes(served)) {
		if !c.OK {
			t.Error(c)
		}
	}
}

// TestProbeProxy probes the bundled data plane, before and after it lost its routes.
func TestProbeProxy(t *testing.T) {
	upstream := httptest.NewServer(http.NotFoundHandler())
	defer upstream.Close()
	state := gateway.NewState(entity(gateway.Upstream, "echo", `{"endpoints":[{"url":"`+upstream.URL+`"}]}`))
	for id, body := range served {
		body.Upstream = "echo"
		state.Put(gateway.Entity{Ref: gateway.Ref{Kind: gateway.Route, ID: id}, Body: gateway.Encode(body)})
	}
	for name, test := range map[string]struct {
		loaded *gateway.State
		failed int
	}{
		"all":     {state, 0},
		"nothing": {nil, 4},
		"half":    {routes(map[string]gateway.RouteBody{"other": {Path: "/other", Upstream: "echo"}}), 4},
	} {
		plane, err := proxy.New(proxy.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if test.loaded != nil {
			for e := range state.Kind(gateway.Upstream) {
				test.loaded.Put(e)
			}
			if err := plane.Load(gateway.Header{Store: "test", Revision: 1}, test.loaded); err != nil {
				t.Fatal(err)
			}
		}
		server := httptest.NewServer(plane)
		failed := 0
		for _, c := range (DataPlane{Instances: Instances(server.URL), Within: 100 * time.Millisecond}).Probe(t.Context(), state) {
			if !c.OK {
				failed++
				if test.failed == 0 {
					t.Errorf("%s: %s", name, c)
				}
			}
		}
		if failed != test.failed {
			t.Errorf("%s: %d checks failed, want %d", name, failed, test.failed)
		}
		server.Close()
		if err := plane.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestFill(t *testing.T) {
	for template, want := range map[string]string{
		"/":              "/",
		"/orders/{id}/x": "/orders/gwdr-probe/x",
		"/{rest...}":     "/gwdr-probe",
		"/a/{x}{y}":      "/a/gwdr-probegwdr-probe",
		"/broken/{x":     "/broken/gwdr-probe",
	} {
		if got := fill(template); got != want {
			t.Errorf("%s is filled to %s, want %s", template, got, want)
		}
	}
}
