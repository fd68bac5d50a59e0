package cmd

import (
	"errors"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"gwdr/internal/certs"
)

// checkTLS refuses certificates without keys, and keys without certificates.
func (o *serveOptions) checkTLS() error {
	switch {
	case (o.tlsCert == "") != (o.tlsKey == ""):
		return errors.New("--tls-cert and --tls-key go together")
	case len(o.listenCerts) != len(o.listenKeys):
		return errors.New("--listen-cert and --listen-key go together, one of each for each certificate")
	case len(o.listenCerts) > 0 && !o.proxies():
		return errors.New("--listen-cert is for data planes; the admin API has --tls-cert")
	}
	return nil
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
