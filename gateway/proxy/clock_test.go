package proxy

import (
	"net/http"
	"testing"
	"time"

	"gwdr/gateway"
)

// TestKeysExpireByTheGatewaysClock moves the clock past the end of a key and back.
func TestKeysExpireByTheGatewaysClock(t *testing.T) {
	now := time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	expires := now.Add(time.Minute)
	key, token := keyEntity(nil, &expires)
	clock := now
	g := newGateway(t, Options{Now: func() time.Time { return clock }}, key, upstreamOf("u", backend(t, "u").URL),
		entity(gateway.Route, "r", gateway.RouteBody{Path: "/r", Upstream: "u"}))
	url := serve(t, g)
	for _, step := range []struct {
		offset time.Duration
		want   int
	}{{0, http.StatusOK}, {2 * time.Minute, http.StatusUnauthorized}, {0, http.StatusOK}} {
		clock = now.Add(step.offset)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/r", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != step.want {
			t.Errorf("clock wrong by %s: %s, want %d", step.offset, resp.Status, step.want)
		}
	}
	clock = now.Add(time.Hour)
	resp, err := http.Get(url + "/.gwdr/ready")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got, want := resp.Header.Get("Date"), clock.Format(http.TimeFormat); got != want {
		t.Errorf("Date %q, want %q", got, want)
	}
}
