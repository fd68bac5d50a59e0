package proxy

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gwdr/gateway"
)

// mirror answers with the request's headers as JSON, and its host and target as headers.
func mirror(t testing.TB) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Host", r.Host)
		w.Header().Set("X-Target", r.RequestURI)
		if r.URL.Query().Has("region") {
			w.Header().Set("X-Gwdr-Region", "behind")
		}
		_ = json.NewEncoder(w).Encode(r.Header)
	}))
	t.Cleanup(server.Close)
	return server
}

func mirrored(t testing.TB, r reply) http.Header {
	t.Helper()
	var h http.Header
	if err := json.Unmarshal([]byte(r.Body), &h); err != nil {
		t.Fatalf("%d %s: %v", r.Status, r.Body, err)
	}
	return h
}

func TestRequestPassesAsItShould(t *testing.T) {
	key, text := keyEntity(nil, nil)
	g := newGateway(t, Options{}, upstreamOf("m", mirror(t).URL), key,
		open("open", "/open/{rest...}", "m"),
		entity(gateway.Route, "keyed", gateway.RouteBody{Path: "/keyed", Upstream: "m",
			Headers: map[string]string{"x-gwdr-revision": "7"}}))
	url := serve(t, g)

	got := get(t, url+"/keyed", "X-Api-Key", text, "Authorization", "Bearer eyJ", "X-Gwdr-Revision", "forged",
		"X-Forwarded-For", "6.6.6.6", "X-Forwarded-Host", "forged", "Forwarded", "for=6.6.6.6",
		"Connection", "X-Hop, X-Gwdr-Revision", "X-Hop", "1", "Te", "trailers", "Proxy-Authorization", "x", "Keep-Alive", "5")
	h := mirrored(t, got)
	for name, want := range map[string]string{"X-Api-Key": "", "Authorization": "Bearer eyJ", "X-Gwdr-Revision": "7",
		"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "http", "Forwarded": "", "X-Hop": "", "Proxy-Authorization": "",
		"Keep-Alive": "", "Connection": ""} {
		if got := strings.Join(h[name], ","); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if host := strings.TrimPrefix(url, "http://"); got.Header.Get("X-Host") != host || h.Get("X-Forwarded-Host") != host {
		t.Errorf("host is %q, forwarded %q", got.Header.Get("X-Host"), h.Get("X-Forwarded-Host"))
	}

	h = mirrored(t, get(t, url+"/keyed", "Authorization", "Bearer "+text))
	if h.Get("Authorization") != "" {
		t.Error("the key reached the upstream")
	}
	h = mirrored(t, get(t, url+"/open/a", "Authorization", "Bearer "+gateway.NewToken().Reveal(), "X-Api-Key", "x"))
	if h.Get("Authorization") == "" || h.Get("X-Api-Key") == "" {
		t.Error("an edge must pass on the keys that it does not check")
	}
	got = get(t, url+"/open/a%2Fb%20c/%7Bid%7D?q=%2f;x&&y")
	if target := got.Header.Get("X-Target"); target != "/open/a%2Fb%20c/%7Bid%7D?q=%2f;x&&y" {
		t.Errorf("target became %s", target)
	}
}

// TestKeysStayHere: a key of this gateway reaches no upstream, also of a route that asks for none, and when it works no more.
func TestKeysStayHere(t *testing.T) {
	key, text := keyEntity(nil, nil)
	gone := gateway.NewToken()
	url := serve(t, newGateway(t, Options{}, upstreamOf("m", mirror(t).URL), key, open("open", "/open", "m"),
		entity(gateway.Revocation, gone.ID, gateway.RevocationBody{})))
	for _, text := range []string{text, gone.Reveal()} {
		for name, value := range map[string]string{"X-Api-Key": text, "Authorization": "Bearer " + text} {
			if h := mirrored(t, get(t, url+"/open", name, value)); h.Get(name) != "" {
				t.Errorf("the key reached the upstream in %s", name)
			}
		}
	}
}

func TestResponseNamesTheInstanceThatAnswered(t *testing.T) {
	g := newGateway(t, Options{Instance: "east-1", Region: "east"}, upstreamOf("m", mirror(t).URL), open("r", "/m", "m"),
		upstreamOf("dead", deadURL(t)), open("dead", "/dead", "dead"))
	url := serve(t, g)
	for path, want := range map[string][]string{
		"/m":              {"east-1", "east"},
		"/m?region":       {"east-1", "behind"},
		"/dead":           {"east-1", "east"},
		"/none":           {"east-1", "east"},
		"/.gwdr/health":   {"east-1", "east"},
		"/.gwdr/ready":    {"east-1", "east"},
		"/.gwdr/whatever": {"east-1", "east"},
	} {
		h := get(t, url+path).Header
		if d := cmp.Diff(want, append(h["X-Gwdr-Instance"], h["X-Gwdr-Region"]...)); d != "" {
			t.Errorf("%s: %s", path, d)
		}
	}
}

func TestOwnAnswers(t *testing.T) {
	g := newGateway(t, Options{})
	url := serve(t, g)
	if a, b, c := get(t, url+"/"), get(t, url+readyPath), get(t, url+healthPath); a.Status != 503 || b.Status != 503 || c.Status != 200 {
		t.Errorf("without a configuration: %d, ready %d, healthy %d", a.Status, b.Status, c.Status)
	}
	s := gateway.NewState(upstreamOf("none"), open("r", "/r", "none"), entity(gateway.Route, "p",
		gateway.RouteBody{Path: "/p", Methods: []string{"PUT", "GET"}, Upstream: "none"}))
	if err := g.Load(storeA, s); err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]int{"GET /r": 503, "GET /x": 404, "POST /p": 405, "GET /p": 401, "GET /%2e%2e/r": 400,
		"GET " + readyPath: 200} {
		method, path, _ := strings.Cut(line, " ")
		got := do(t, method, url+path, "")
		var body map[string]string
		if want >= 400 && (json.Unmarshal([]byte(got.Body), &body) != nil || body["error"] == "") {
			t.Errorf("%s: body is %s", line, got.Body)
		}
		if got.Status != want {
			t.Errorf("%s: %d, want %d", line, got.Status, want)
		}
		if allow := got.Header.Get("Allow"); (want == 405) != (allow == "GET, PUT") {
			t.Errorf("%s: allow is %q", line, allow)
		}
	}
}

// TestDrain: readiness fails first; requests are still served.
func TestDrain(t *testing.T) {
	g := newGateway(t, Options{}, upstreamOf("u", backend(t, "u").URL), open("r", "/r", "u"))
	url := serve(t, g)
	if got := get(t, url+readyPath); got.Status != 200 || !g.Ready() {
		t.Errorf("before: ready %d", got.Status)
	}
	g.Drain()
	a, b, c := get(t, url+"/r"), get(t, url+readyPath), get(t, url+healthPath)
	if a.Status != 200 || b.Status != 503 || c.Status != 200 || g.Ready() {
		t.Errorf("a request %d, ready %d, healthy %d", a.Status, b.Status, c.Status)
	}
}

func TestUpgradePasses(t *testing.T) {
	back := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "+r.Header.Get("Upgrade")+"\r\n\r\n")
		line, _ := buf.ReadString('\n')
		io.WriteString(conn, "echo "+line)
	}))
	t.Cleanup(back.Close)
	g := newGateway(t, Options{Instance: "i"}, upstreamOf("ws", back.URL), open("ws", "/ws", "ws"))
	conn, err := net.Dial("tcp", strings.TrimPrefix(serve(t, g), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != 101 || resp.Header.Get("X-Gwdr-Instance") != "i" {
		t.Fatalf("%v, %v", resp, err)
	}
	io.WriteString(conn, "hello\n")
	if line, err := r.ReadString('\n'); line != "echo hello\n" {
		t.Errorf("%q, %v", line, err)
	}
}

func TestStreamIsPassedOnAtOnce(t *testing.T) {
	release := make(chan struct{})
	back := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "first\n")
		http.NewResponseController(w).Flush()
		<-release
		io.WriteString(w, "second\n")
	}))
	t.Cleanup(back.Close)
	body := bodyOf(back.URL)
	body.Timeout = gateway.Duration(1e9) // to the header only
	g := newGateway(t, Options{}, entity(gateway.Upstream, "s", body), open("s", "/s", "s"))
	resp, err := http.Get(serve(t, g) + "/s")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	r := bufio.NewReader(resp.Body)
	if line, err := r.ReadString('\n'); line != "first\n" {
		t.Fatal(line, err)
	}
	close(release)
	if line, err := r.ReadString('\n'); line != "second\n" {
		t.Fatal(line, err)
	}
}
