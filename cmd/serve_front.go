package cmd

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gwdr/gateway"
	"gwdr/gateway/proxy"
	"gwdr/internal/certs"
	"gwdr/internal/telemetry"
)

// checkFront refuses what would not be served as it was meant.
func (o *serveOptions) checkFront() error {
	switch {
	case (o.tlsCert == "") != (o.tlsKey == ""):
		return errors.New("--tls-cert and --tls-key go together")
	case len(o.listenCerts) != len(o.listenKeys):
		return errors.New("--listen-cert and --listen-key go together, one of each for each certificate")
	case len(o.listenCerts) > 0 && !o.proxies():
		return errors.New("--listen-cert is for data planes; the admin API has --tls-cert")
	case o.accessLog != "" && !o.proxies():
		return errors.New("--access-log is for data planes")
	case o.maxInFlight < 0:
		return fmt.Errorf("--max-in-flight %d is not a number of requests", o.maxInFlight)
	case o.maxInFlight > 0 && !o.proxies():
		return errors.New("--max-in-flight is for data planes")
	}
	return o.readNetworks(&proxy.Options{})
}

// readNetworks reads the flags that name addresses and networks.
func (o *serveOptions) readNetworks(into *proxy.Options) (err error) {
	for _, list := range []struct {
		flag  string
		texts []string
		into  *[]netip.Prefix
	}{
		{"--trust-proxy", o.trusted, &into.Trusted},
		{"--allow-from", o.allowed, &into.AllowFrom},
		{"--deny-from", o.denied, &into.DenyFrom},
	} {
		if len(list.texts) > 0 && !o.proxies() {
			return fmt.Errorf("%s is for data planes", list.flag)
		}
		if *list.into, err = gateway.ParseNetworks(list.texts); err != nil {
			return fmt.Errorf("%s %w", list.flag, err)
		}
	}
	return nil
}

// openProxy makes the data plane, which has nothing loaded yet.
func (in *instance) openProxy() (err error) {
	o := in.options
	options := proxy.Options{Instance: o.instance, Region: o.region, LastGood: in.lastGood(), UpstreamsAt: o.upstreamsAt, Metrics: in.metrics,
		MaxInFlight: o.maxInFlight, Log: in.Log, Now: o.clock()}
	if err = o.readNetworks(&options); err != nil {
		return err
	}
	if err = in.openCounter(&options); err != nil {
		return err
	}
	if options.Access, err = in.openAccessLog(); err != nil {
		return err
	}
	if err = in.traceRequests(&options); err != nil {
		return err
	}
	in.proxy, err = proxy.New(options)
	return err
}

// traceRequests makes traces, if the variables of OpenTelemetry say where to.
func (in *instance) traceRequests(options *proxy.Options) error {
	collector, err := in.traceEndpoint()
	if err != nil {
		return usageError(err)
	}
	if collector == nil {
		return nil
	}
	if in.traces, err = telemetry.NewRequests(context.Background(), version()); err != nil {
		return errors.New(withoutPath(err.Error(), true))
	}
	options.Trace = tracer{in.traces}
	return nil
}

// endTraces sends the last traces. A collector that does not take them is no more than a warning.
func (in *instance) endTraces() {
	if in.traces == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), tracePatience)
	defer cancel()
	if err := in.traces.Close(ctx); err != nil {
		in.Log.Warn("the last traces are lost", "error", withoutPath(err.Error(), true))
	}
}

// tracer is telemetry's, for the proxy.
type tracer struct{ *telemetry.Requests }

// Begin implements proxy.Tracer.
func (t tracer) Begin(header http.Header, at time.Time) proxy.Span {
	return span{t.Requests.Begin(header, at)}
}

type span struct{ telemetry.Request }

// End implements proxy.Span.
func (s span) End(o proxy.Outcome) {
	s.Request.End(telemetry.Served{Method: o.Method, Scheme: o.Scheme, Host: o.Host, Path: o.Path, Client: o.Client, Route: o.Route,
		Upstream: o.Upstream, Endpoint: o.Endpoint, Key: o.Key, Issuer: o.Issuer, Status: o.Status, Attempts: o.Attempts})
}

// adminPairs are the certificates of the admin API.
func (o *serveOptions) adminPairs() []certs.Pair {
	if o.tlsCert == "" {
		return nil
	}
	return []certs.Pair{{Cert: o.tlsCert, Key: o.tlsKey}}
}

// listenPairs are the certificates of the data plane.
func (o *serveOptions) listenPairs() (pairs []certs.Pair) {
	for i, cert := range o.listenCerts {
		pairs = append(pairs, certs.Pair{Cert: cert, Key: o.listenKeys[i]})
	}
	return pairs
}

// measureCertificates says when the certificates expire, so that somebody can be warned before.
func (in *instance) measureCertificates(flag string, set *certs.Set) {
	in.metrics.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name:        "gwdr_certificate_expiry_timestamp_seconds",
		Help:        "When the first of the certificates that are served expires, in seconds since 1970.",
		ConstLabels: prometheus.Labels{"listener": strings.TrimPrefix(flag, "--")},
	}, func() float64 { return float64(set.Expires().Unix()) }))
}
