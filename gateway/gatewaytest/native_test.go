package gatewaytest_test

import (
	"net/http/httptest"
	"testing"

	"gwdr/gateway"
	"gwdr/gateway/admin"
	"gwdr/gateway/gatewaytest"
	"gwdr/gateway/native"
	"gwdr/gateway/store"
)

// TestNative runs the suite over the bundled gateway: client, admin API, etcd.
func TestNative(t *testing.T) {
	gatewaytest.TestTarget(t, func(t *testing.T) gateway.Target {
		s, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		server := httptest.NewServer((&admin.Server{Store: s}).Handler())
		t.Cleanup(server.Close)
		return &native.Client{URL: server.URL, HTTP: server.Client()}
	})
}
