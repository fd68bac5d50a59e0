package proxy

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"gwdr/gateway"
)

// largeState is 10,000 routes, 500 documents and 100,000 keys.
func largeState() *gateway.State {
	s := gateway.NewState(upstreamOf("echo", "http://127.0.0.1:1"))
	for i := range 10_000 {
		path := fmt.Sprintf("/api%d/v1/resources%d/{id}/parts/{part}", i%100, i/100)
		s.Put(entity(gateway.Route, fmt.Sprintf("route-%d", i), gateway.RouteBody{Path: path, Methods: []string{"GET"}, Upstream: "echo"}))
	}
	for i := range 500 {
		s.Put(gateway.Entity{Ref: gateway.Ref{Kind: gateway.Spec, ID: fmt.Sprint(i)}, Body: make([]byte, 19<<10)})
	}
	for range 100_000 {
		token := gateway.NewToken()
		s.Put(entity(gateway.Key, token.ID, gateway.KeyBody{Consumer: "shop", Hash: token.Hash(), Scopes: []string{"read"}}))
	}
	return s
}

func BenchmarkLoad(b *testing.B) {
	s := largeState()
	for b.Loop() {
		g, err := New(Options{})
		if err != nil {
			b.Fatal(err)
		}
		if err := g.Load(storeA, s); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReload is what a data plane does when it has lost its control plane for a moment.
func BenchmarkReload(b *testing.B) {
	s := largeState()
	g := newGateway(b, Options{}, open("x", "/x", "echo"), upstreamOf("echo"))
	if err := g.Load(storeA, s); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := g.Load(storeA, s.Clone()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkUpdate(b *testing.B) {
	g := newGateway(b, Options{})
	if err := g.Load(storeA, largeState()); err != nil {
		b.Fatal(err)
	}
	key, _ := keyEntity(nil, nil)
	for _, e := range []gateway.Entity{key, entity(gateway.Revocation, key.ID, gateway.RevocationBody{}), open("new", "/new", "echo"),
		upstreamOf("other", "http://127.0.0.1:2"), entity(gateway.Spec, "new", "")} {
		b.Run(string(e.Kind), func(b *testing.B) {
			for b.Loop() {
				if err := g.Update(gateway.Batch{Revision: 2, Changes: []gateway.Change{put(e)}}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkLastGood(b *testing.B) {
	s := largeState()
	file := filepath.Join(b.TempDir(), "last-good.ndjson")
	b.Run("write", func(b *testing.B) {
		for b.Loop() {
			if err := writeState(file, storeA, s); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("read", func(b *testing.B) {
		for b.Loop() {
			if _, _, err := readState(file); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkRequest is one request with a key through the gateway, client and upstream in the same process.
func BenchmarkRequest(b *testing.B) {
	back := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "ok") }))
	b.Cleanup(back.Close)
	key, text := keyEntity([]string{"read"}, nil)
	s := largeState()
	for _, e := range []gateway.Entity{key, upstreamOf("echo", back.URL), entity(gateway.Route, "bench",
		gateway.RouteBody{Path: "/bench/{id}", Upstream: "echo", Scopes: []string{"read"}})} {
		s.Put(e)
	}
	g := newGateway(b, Options{Instance: "i", Region: "r"})
	if err := g.Load(storeA, s); err != nil {
		b.Fatal(err)
	}
	url := serve(b, g) + "/bench/7"
	for name, header := range map[string][]string{"gateway": {"Authorization", "Bearer " + text}, "direct": nil} {
		b.Run(name, func(b *testing.B) {
			target := url
			if header == nil {
				target = back.URL
			}
			b.ReportAllocs()
			for b.Loop() {
				if got := get(b, target, header...); got.Status != 200 {
					b.Fatal(got)
				}
			}
		})
	}
}

func BenchmarkAuthenticate(b *testing.B) {
	key, text := keyEntity([]string{"read"}, nil)
	edit := (&keyring{}).edit()
	credential, err := newCredential(key.Body)
	if err != nil {
		b.Fatal(err)
	}
	edit.apply(put(key), credential)
	header := http.Header{"Authorization": {"Bearer " + text}}
	r := &route{id: "bench", scopes: []string{"read"}}
	b.ReportAllocs()
	for b.Loop() {
		if _, f := edit.ring.authenticate(header, r, storeA.Time); f != nil {
			b.Fatal(f)
		}
	}
}
