package lab

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"gwdr/gateway"
)

// BenchmarkBreakGlass measures from the start of `gwdr serve --from-backup` to the first traffic that is served as it should:
// a live key 200, no key 401, an unknown path 404; and the same of an empty gateway that is started and restored to. The
// gateway is that of BenchmarkBackupPeers, its backup lies in three directories. GWDR_BENCH_SPECS as in BenchmarkBackupRestore.
func BenchmarkBreakGlass(b *testing.B) {
	s := newShop(b)
	state := benchState(b)
	token := openDoor(b, state)
	if err := s.client.Apply(b.Context(), gateway.Diff(gateway.NewState(), state)); err != nil {
		b.Fatal(err)
	}
	s.settle()
	if r := s.run("backup", "-q"); r.code != 3 && r.code != 0 {
		b.Fatalf("backup: exit code %d: %s", r.code, r.stderr)
	}
	figures := map[string][]float64{}
	for round := 0; b.Loop(); round++ {
		begun := time.Now()
		g := s.serveFrom(fmt.Sprintf("glass-%d", round), "--from-backup=all")
		g.serves(b, token)
		figures["s/from-backup"] = append(figures["s/from-backup"], time.Since(begun).Seconds())
		figures["MB-peak/from-backup"] = append(figures["MB-peak/from-backup"], g.peakMB(b))
		g.stop()
		begun = time.Now()
		g = s.serveFrom(fmt.Sprintf("restored-%d", round))
		s.want(0, "restore", "--to", "gwdr+"+g.admin, "--yes", "-q")
		g.serves(b, token)
		figures["s/serve-and-restore"] = append(figures["s/serve-and-restore"], time.Since(begun).Seconds())
		g.stop()
	}
	report(b, figures)
}

// openDoor adds a route to a living upstream, and a key for it.
func openDoor(t testing.TB, state *gateway.State) (token string) {
	upstream := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(upstream.Close)
	put := func(kind gateway.Kind, id string, body any) {
		state.Put(gateway.Entity{Ref: gateway.Ref{Kind: kind, ID: id}, Body: gateway.Encode(body)})
	}
	key := gateway.NewToken()
	put(gateway.Upstream, "door", gateway.UpstreamBody{Endpoints: []gateway.Endpoint{{URL: upstream.URL}}})
	put(gateway.Route, "door", gateway.RouteBody{Path: "/door", Upstream: "door"})
	put(gateway.Key, key.ID, gateway.KeyBody{Hash: key.Hash(), Created: time.Now().UTC()})
	return key.Reveal()
}

// serves waits until the gateway serves as it should.
func (g *glass) serves(t testing.TB, token string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		got := [3]int{g.get("/door", token), g.get("/door", ""), g.get("/none", token)}
		if got == [3]int{200, 401, 404} {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("it answers %v: %s", got, g.stderr())
		}
	}
}

// log returns where a process of the user writes its stderr.
func (u *user) log(name string) *os.File {
	f, err := os.Create(filepath.Join(u.home, name+".stderr"))
	if err != nil {
		u.t.Fatal(err)
	}
	return f
}
