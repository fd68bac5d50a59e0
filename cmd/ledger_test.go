package cmd

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gwdr/fleet"
	"gwdr/gateway"
	"gwdr/gateway/admin"
	"gwdr/gateway/native"
	"gwdr/gateway/proxy"
	"gwdr/gateway/store"
	"gwdr/probes"
)

// oneRegion is a real control plane and data plane in this process, with an upstream that repeats the revision.
func oneRegion(t *testing.T) *ledgerAdmin {
	t.Helper()
	kept, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	data, err := proxy.New(proxy.Options{Instance: "data-1", Region: "here"})
	if err != nil {
		t.Fatal(err)
	}
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Gwdr-Revision", r.Header.Get("X-Gwdr-Revision"))
		io.WriteString(w, "{}")
	}))
	control := httptest.NewServer((&admin.Server{Instance: "control", Region: "here", Role: "control", Store: kept}).Handler())
	dataAdmin := httptest.NewServer((&admin.Server{Instance: "data-1", Region: "here", Role: "data", Data: reporter{data}}).Handler())
	front := httptest.NewServer(data)
	client := &native.Client{URL: control.URL, HTTP: control.Client()}
	ctx, cancel := context.WithCancel(context.Background())
	var following sync.WaitGroup
	following.Go(func() { data.Follow(ctx, client) })
	t.Cleanup(func() {
		cancel()
		following.Wait()
		for _, s := range []*httptest.Server{front, dataAdmin, control, echo} {
			s.CloseClientConnections()
			s.Close()
		}
		if err := errors.Join(data.Close(), kept.Close()); err != nil {
			t.Error(err)
		}
	})
	for _, e := range []gateway.Entity{
		{Ref: gateway.Ref{Kind: gateway.Upstream, ID: "echo"}, Body: gateway.Encode(gateway.UpstreamBody{Endpoints: []gateway.Endpoint{{URL: echo.URL}}})},
		{Ref: gateway.Ref{Kind: gateway.Route, ID: "orders"}, Body: gateway.Encode(gateway.RouteBody{Path: "/orders", Upstream: "echo"})},
	} {
		if _, err := client.Put(t.Context(), e, gateway.Condition{}); err != nil {
			t.Fatal(err)
		}
	}
	instances := []fleet.Instance{
		{ID: "control", Region: "here", Role: fleet.Control, Running: true, AdminURL: control.URL},
		{ID: "data-1", Region: "here", Role: fleet.Data, Running: true, AdminURL: dataAdmin.URL, URL: front.URL},
	}
	return newLedgerAdmin(client, "", front.Client(), func(context.Context) ([]fleet.Instance, error) { return instances, nil })
}

// reporter tells of a data plane what the admin API wants to know.
type reporter struct{ *proxy.Gateway }

func (r reporter) Report() (gateway.Status, any) {
	h, s := r.State()
	return gateway.Status{Store: h.Store, Revision: h.Revision, Digest: s.Digest(), Counts: s.Counts()}, nil
}

func TestLedgerObserves(t *testing.T) {
	l := oneRegion(t)
	changes := []probes.Change{
		{Seq: 1, Kind: probes.RouteChange, ID: "x-r1"},
		{Seq: 2, Kind: probes.RouteChange, ID: "x-r2"},
		{Seq: 3, Kind: probes.SpecChange, ID: "x-s1"},
		{Seq: 4, Kind: probes.KeyChange, ID: "x-k1"},
		{Seq: 5, Kind: probes.KeyChange, ID: "x-k2"},
		{Seq: 6, Kind: probes.RouteChange, ID: "x-r1"},
		{Seq: 7, Kind: probes.RouteChange, ID: "x-r2", Delete: true},
		{Seq: 8, Kind: probes.RevokeChange, ID: "x-k2"},
		{Seq: 9, Kind: probes.RouteChange, ID: "x-r2", Delete: true}, // again: gone is gone
		{Seq: 10, Kind: probes.UpstreamChange, ID: "x-u"},
		{Seq: 11, Kind: probes.UpstreamChange, ID: "x-u"},
		{Seq: 12, Kind: probes.ConsumerChange, ID: "x-c"},
		{Seq: 13, Kind: probes.CertChange, ID: "x-t"},
		{Seq: 14, Kind: probes.SettingChange, ID: "x-s"},
		{Seq: 15, Kind: probes.SettingChange, ID: "x-s", Delete: true},
	}
	for _, c := range changes {
		if err := l.Make(t.Context(), c); err != nil {
			t.Fatalf("change %d: %v", c.Seq, err)
		}
	}
	regions, err := l.Regions(t.Context())
	if diff := cmp.Diff([]string{"here"}, regions); diff != "" || err != nil {
		t.Fatalf("regions (-want +got):\n%s%v", diff, err)
	}
	lost := probes.Change{Seq: 20, Kind: probes.KeyChange, ID: "never-made"}
	seen, err := l.Observe(t.Context(), "here", append(changes, lost))
	if err != nil {
		t.Fatal(err)
	}
	want := []probes.Observation{
		{Region: "here", Kind: probes.RouteChange, ID: "x-r1", Version: 6, Object: new(int64(6)), Data: 6},
		{Region: "here", Kind: probes.RouteChange, ID: "x-r2", Object: new(int64(0))},
		{Region: "here", Kind: probes.SpecChange, ID: "x-s1", Version: 3, Object: new(int64(3)), Data: -1},
		{Region: "here", Kind: probes.KeyChange, ID: "x-k1", Version: 4, Object: new(int64(4)), Data: 4},
		{Region: "here", Kind: probes.KeyChange, ID: "x-k2", Version: 5, Object: new(int64(5)), Revoked: true, Refused: true},
		{Region: "here", Kind: probes.UpstreamChange, ID: "x-u", Version: 11, Object: new(int64(11)), Data: -1},
		{Region: "here", Kind: probes.ConsumerChange, ID: "x-c", Version: 12, Object: new(int64(12)), Data: -1},
		{Region: "here", Kind: probes.CertChange, ID: "x-t", Version: 13, Object: new(int64(13)), Data: -1},
		{Region: "here", Kind: probes.SettingChange, ID: "x-s", Object: new(int64(0)), Data: -1},
		{Region: "here", Kind: probes.KeyChange, ID: "never-made", Object: new(int64(0)), Refused: true},
	}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("observations (-want +got):\n%s", diff)
	}
	if digest, err := l.Digest(t.Context(), "here"); err != nil || digest == "" {
		t.Errorf("digest %q, %v", digest, err)
	}
	loss := probes.EstimateLoss(acked(changes), seen, time.Minute)
	if loss.Acked != len(changes) || loss.Lost+loss.Stale+loss.Resurrected+loss.Corrupt+loss.Phantom != 0 {
		t.Errorf("nothing was lost, and yet: %+v", loss)
	}
}

func acked(changes []probes.Change) []probes.Entry {
	var all []probes.Entry
	for _, c := range changes {
		all = append(all, probes.Entry{Change: c, Sent: time.Duration(c.Seq), Done: time.Duration(c.Seq), Result: probes.Acked})
	}
	return all
}

// TestLedgerResults tells what did not happen from what may have.
func TestLedgerResults(t *testing.T) {
	for name, test := range map[string]struct {
		status   int
		rejected bool
	}{"conflict": {http.StatusConflict, true}, "bad": {http.StatusBadRequest, true}, "gateway": {http.StatusBadGateway, false}, "unavailable": {http.StatusServiceUnavailable, false}} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(test.status) }))
			defer s.Close()
			l := &ledgerAdmin{writer: nativeWriter{&native.Client{URL: s.URL, HTTP: s.Client()}}}
			err := l.Make(t.Context(), probes.Change{Seq: 1, Kind: probes.KeyChange, ID: "k"})
			if rejected := (*probes.RejectedError)(nil); err == nil || errors.As(err, &rejected) != test.rejected {
				t.Errorf("%d is %v", test.status, err)
			}
		})
	}
	l := &ledgerAdmin{writer: nativeWriter{&native.Client{URL: "http://127.0.0.1:1"}}}
	if err := l.Make(t.Context(), probes.Change{Seq: 1, Kind: probes.RouteChange, ID: "r"}); !errors.As(err, new(*probes.RejectedError)) {
		t.Errorf("refused connection is %v", err)
	}
}
