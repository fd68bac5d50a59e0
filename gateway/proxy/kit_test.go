package proxy

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"gwdr/gateway"
)

func entity(k gateway.Kind, id string, body any) gateway.Entity {
	return gateway.Entity{Ref: gateway.Ref{Kind: k, ID: id}, Body: gateway.Encode(body)}
}

// open is a route without a key.
func open(id, path, upstream string) gateway.Entity {
	return entity(gateway.Route, id, gateway.RouteBody{Path: path, Upstream: upstream, Auth: gateway.AuthNone})
}

func upstreamOf(id string, urls ...string) gateway.Entity {
	return entity(gateway.Upstream, id, bodyOf(urls...))
}

func bodyOf(urls ...string) gateway.UpstreamBody {
	body := gateway.UpstreamBody{Endpoints: []gateway.Endpoint{}}
	for i, u := range urls {
		body.Endpoints = append(body.Endpoints, gateway.Endpoint{URL: u, Priority: i})
	}
	return body
}

// keyEntity makes a key and the text that its holder presents.
func keyEntity(scopes []string, expires *time.Time, routes ...string) (gateway.Entity, string) {
	token := gateway.NewToken()
	body := gateway.KeyBody{Hash: token.Hash(), Scopes: scopes, Routes: routes, Expires: expires}
	return entity(gateway.Key, token.ID, body), token.Reveal()
}

var storeA = gateway.Header{Store: "a", Revision: 1, Epoch: 1}

// newGateway returns a gateway that serves the entities.
func newGateway(t testing.TB, o Options, entities ...gateway.Entity) *Gateway {
	t.Helper()
	g, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	if len(entities) > 0 {
		if err := g.Load(storeA, gateway.NewState(entities...)); err != nil {
			t.Fatal(err)
		}
	}
	return g
}

// serve puts the gateway behind a real listener and returns its URL.
func serve(t testing.TB, g *Gateway) string {
	t.Helper()
	server := httptest.NewUnstartedServer(g)
	server.Listener = Guard(server.Config, server.Listener)
	server.Start()
	t.Cleanup(server.Close)
	return server.URL
}

// backend is an upstream that names itself.
func backend(t testing.TB, name string) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Backend", name)
		fmt.Fprintf(w, "%s %s %s", r.Method, r.RequestURI, body)
	}))
	t.Cleanup(server.Close)
	return server
}

// deadURL is an address that nobody listens on.
func deadURL(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "http://" + l.Addr().String()
}

// reply is what matters of a response.
type reply struct {
	Status  int
	Backend string
	Body    string
	Header  http.Header
}

func do(t testing.TB, method, url, body string, header ...string) reply {
	t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url, reader)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header.Get("X-Backend"), string(text), resp.Header}
}

func get(t testing.TB, url string, header ...string) reply {
	t.Helper()
	return do(t, http.MethodGet, url, "", header...)
}

// eventually polls until ok holds.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("never happened: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// counted is the value of a counter.
func counted(t testing.TB, c prometheus.Counter) float64 {
	t.Helper()
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}

func newRegistry() *prometheus.Registry { return prometheus.NewPedanticRegistry() }

// gathered writes one line per series; of a histogram, its count.
func gathered(t testing.TB, r *prometheus.Registry) string {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, f := range families {
		for _, m := range f.Metric {
			var labels []string
			for _, l := range m.Label {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			text.WriteString(f.GetName())
			if len(labels) > 0 {
				text.WriteString("{" + strings.Join(labels, ",") + "}")
			}
			value := m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			fmt.Fprintf(&text, " %v\n", value)
		}
	}
	return text.String()
}
