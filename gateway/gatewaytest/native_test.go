package gatewaytest_test

import (
	"context"
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
		return forgetful{&native.Client{URL: server.URL, HTTP: server.Client()}, s}
	})
}

// forgetful is a client of a store within reach.
type forgetful struct {
	*native.Client
	store *store.Store
}

func (f forgetful) Forget() error {
	ctx := context.Background()
	head, err := f.store.Revision(ctx)
	if err != nil {
		return err
	}
	return f.store.Compact(ctx, head)
}
