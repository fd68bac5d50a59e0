//go:build linux

package gateway

import (
	"net/http/httptest"
	"syscall"
	"testing"

	"gwdr/e2e/shell"
	"gwdr/gateway"
)

// A data plane needs its control plane for nothing but changes: it serves without, also when it is killed and starts again, and takes the
// changes up once there is a control plane again.
func TestControlPlaneLost(t *testing.T) {
	shell.New(t, binary)
	back := httptest.NewServer(backend())
	t.Cleanup(back.Close)
	control := serve(t, "--role", "control")
	control.put(gateway.Upstream, "back", gateway.UpstreamBody{Endpoints: endpoints(back.Listener.Addr().String())})
	control.put(gateway.Route, "old", gateway.RouteBody{Path: "/old", Upstream: "back", Scopes: []string{"read"}})
	key, revoked := control.issue("read"), control.issue("read")
	if err := control.client().RevokeKey(t.Context(), revoked.ID, "leaked"); err != nil {
		t.Fatal(err)
	}
	data := serve(t, "--role", "data", "--control", "http://"+control.Admin)
	serves := func() {
		t.Helper()
		data.awaits("/old", key.Token, 200)
		data.awaits("/old", revoked.Token, 401)
		data.awaits("/new", key.Token, 404)
		data.awaits("/.gwdr/ready", "", 200)
	}
	serves()
	control.end(syscall.SIGKILL)
	serves()
	for _, how := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		data.end(how)
		data.start()
		serves()
	}
	control.start()
	control.put(gateway.Route, "new", gateway.RouteBody{Path: "/new", Upstream: "back"})
	data.awaits("/new", key.Token, 200)
	data.awaits("/old", revoked.Token, 401)
}
