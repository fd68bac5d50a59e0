package probes

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	grpcstatus "google.golang.org/grpc/status"
)

// serveHealth serves the health service of grpc-go and returns its address.
func serveHealth(t *testing.T, options ...grpc.ServerOption) (*health.Server, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h, s := health.NewServer(), grpc.NewServer(options...)
	healthpb.RegisterHealthServer(s, h)
	go s.Serve(l)
	t.Cleanup(s.Stop)
	return h, l.Addr().String()
}

// withToken is a server that wants a credential.
func withToken() grpc.ServerOption {
	return grpc.UnaryInterceptor(func(ctx context.Context, r any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		switch got := metadata.ValueFromIncomingContext(ctx, "authorization"); {
		case len(got) == 0:
			return nil, grpcstatus.Error(codes.Unauthenticated, "no token")
		case got[0] != "Bearer right":
			return nil, grpcstatus.Error(codes.PermissionDenied, "wrong token")
		}
		return next(ctx, r)
	})
}

func TestGRPCHealth(t *testing.T) {
	h, address := serveHealth(t)
	h.SetServingStatus("orders.v1.Orders", healthpb.HealthCheckResponse_SERVING)
	h.SetServingStatus("payments.v1.Payments", healthpb.HealthCheckResponse_NOT_SERVING)
	_, guarded := serveHealth(t, withToken())
	none := grpc.NewServer()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go none.Serve(l)
	t.Cleanup(none.Stop)
	notGRPC := serveHTTP2(t, echo, false)
	missing := serveHTTP2(t, status(404), false)
	with := func(token string) map[string]string { return map[string]string{"Authorization": "Bearer " + token} }
	for name, c := range map[string]struct {
		request Request
		want    Class
	}{
		"server":             {Request{URL: "grpc://" + address}, OK},
		"fresh":              {Request{URL: "grpc://" + address, Fresh: true}, OK},
		"service":            {Request{URL: "grpc://" + address + "/orders.v1.Orders"}, OK},
		"not serving":        {Request{URL: "grpc://" + address + "/payments.v1.Payments"}, FailStatus},
		"unknown service":    {Request{URL: "grpc://" + address + "/nobody"}, FailStatus},
		"no health service":  {Request{URL: "grpc://" + l.Addr().String()}, FailStatus},
		"with a token":       {Request{URL: "grpc://" + guarded, Header: with("right")}, OK},
		"without a token":    {Request{URL: "grpc://" + guarded}, FailAuth},
		"with a wrong token": {Request{URL: "grpc://" + guarded, Header: with("wrong")}, FailAuth},
		"not gRPC":           {Request{URL: strings.Replace(notGRPC.URL, "http:", "grpc:", 1)}, FailBody},
		"HTTP 404":           {Request{URL: strings.Replace(missing.URL, "http:", "grpc:", 1)}, FailStatus},
		"refused":            {Request{URL: strings.Replace(refused(t), "http:", "grpc:", 1)}, FailRefused},
		"hang":               {Request{URL: strings.Replace(listen(t, hang), "http:", "grpc:", 1)}, FailTimeout},
		"no name":            {Request{URL: "grpc://gateway.invalid:1", dial: noDNS}, FailDNS},
	} {
		t.Run(name, func(t *testing.T) {
			timeout := 5 * time.Second
			if c.want == FailTimeout {
				timeout = 100 * ms
			}
			got := once(t, c.request, timeout)
			if got.Class != c.want || (got.Error == "") != (c.want == OK) {
				t.Errorf("class = %s (%s), want %s", got.Class, got.Error, c.want)
			}
		})
	}
}

func TestGRPCOverTLS(t *testing.T) {
	ours, theirs := newAuthority(t, "ours"), newAuthority(t, "theirs")
	valid := time.Now().Add(time.Hour).Truncate(time.Second)
	certificate := ours.issue(t, valid, nil, net.IPv4(127, 0, 0, 1))
	_, address := serveHealth(t, grpc.Creds(credentials.NewServerTLSFromCert(&certificate)))
	s := once(t, Request{URL: "grpcs://" + address, TLS: ours.trusted()}, 5*time.Second)
	if s.Class != OK || s.TLS == nil || !s.TLS.NotAfter.Equal(valid) {
		t.Errorf("%+v with %+v, want ok until %v", s, s.TLS, valid)
	}
	s = once(t, Request{URL: "grpcs://" + address, TLS: theirs.trusted()}, 5*time.Second)
	if s.Class != FailTLS || s.TLS == nil || s.TLS.Problem != UnknownAuthority {
		t.Errorf("%+v with %+v, want an unknown authority", s, s.TLS)
	}
}

func TestGRPCIsSeenAtOnceWhenItIsBack(t *testing.T) {
	h, address := serveHealth(t)
	s, err := newSender(Request{URL: "grpc://" + address})
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	var got []Class
	for _, is := range []healthpb.HealthCheckResponse_ServingStatus{
		healthpb.HealthCheckResponse_SERVING, healthpb.HealthCheckResponse_NOT_SERVING, healthpb.HealthCheckResponse_SERVING,
	} {
		h.SetServingStatus("", is)
		var sample Sample
		s.send(t.Context(), soon(), &sample)
		got = append(got, sample.Class)
	}
	if got[0] != OK || got[1] != FailStatus || got[2] != OK {
		t.Errorf("%v, want ok, fail:status, ok", got)
	}
}

func FuzzHealthStatus(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 2, 8, 1})
	f.Add([]byte{0, 0, 0, 0, 0})
	f.Add([]byte{1, 0, 0, 0, 2, 8, 1})
	f.Fuzz(func(t *testing.T, body []byte) {
		if _, ok := healthStatus(body); ok && (len(body) < grpcPrefix || body[0] != 0) {
			t.Errorf("%x is taken for a message", body)
		}
	})
}
