package proxy

import (
	"net"
	"net/http"
	"strings"
	"testing"

	"gwdr/gateway"
)

// TestUpstreamsAt: whatever an upstream is called, and however it is to be checked, nothing but the one address is dialled.
func TestUpstreamsAt(t *testing.T) {
	echo := backend(t, "echo")
	at := strings.TrimPrefix(echo.URL, "http://")
	real, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dialled := make(chan struct{}, 100)
	over := make(chan struct{})
	go func() {
		defer close(over)
		for {
			c, err := real.Accept()
			if err != nil {
				return
			}
			dialled <- struct{}{}
			c.Close()
		}
	}()
	checkedBody := checked("http://"+real.Addr().String(), "https://"+real.Addr().String())
	g := newGateway(t, Options{UpstreamsAt: at},
		entity(gateway.Upstream, "checked", checkedBody), open("checked", "/checked", "checked"),
		upstreamOf("plain", "http://"+real.Addr().String()), open("plain", "/plain", "plain"),
		upstreamOf("tls", "https://"+real.Addr().String()), open("tls", "/tls", "tls"),
		upstreamOf("named", "https://orders.invalid:8443"), open("named", "/named", "named"))
	url := serve(t, g)
	for round := range 3 {
		for _, path := range []string{"/checked", "/checked", "/plain", "/tls", "/named"} {
			if got := get(t, url+path); got.Status != http.StatusOK || got.Backend != "echo" {
				t.Errorf("%s: %d from %q", path, got.Status, got.Backend)
			}
		}
		// The same upstreams anew: health checks would begin here.
		checkedBody.Retries++
		if err := g.Update(gateway.Batch{Revision: int64(2 + round), Changes: []gateway.Change{{Op: gateway.Update, Entity: entity(gateway.Upstream, "checked", checkedBody)}}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, u := range g.live.Load().upstreams {
		if u.stop != nil {
			t.Errorf("%s is checked", u.id)
		}
	}
	real.Close()
	<-over
	if len(dialled) > 0 {
		t.Errorf("the real upstream saw %d connections", len(dialled))
	}
}
