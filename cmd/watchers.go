package cmd

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"
)

// metricsHelp explains --metrics where there is one.
const metricsHelp = `With --metrics ADDRESS, Prometheus finds at http://ADDRESS/metrics how it goes while it runs: an address without a host is
reached from this machine only, and port 0 takes a free one and says which. Nobody is asked for a password there, and the
endpoint ends with the command.`

func addMetricsFlag(cmd *cobra.Command, address *string) {
	cmd.Flags().StringVar(address, "metrics", "", "`address` for /metrics while it runs, as :9464; without a host it is this machine only (default off)")
	completeFlag(cmd, "metrics", cobra.NoFileCompletions)
}

// checkAddress refuses an address, given by the flag, that nothing can be served at; "" is none.
func checkAddress(flag, address string) error {
	if address == "" {
		return nil
	}
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil {
		return withHint(fmt.Errorf("%s: %w", flag, err), "%s 127.0.0.1:9464, or :9464", flag)
	}
	return nil
}

// serveWatchers serves what, which others watch, at the address that the flag gave until stop is called. Without an address
// it serves nothing; without a host nobody but this machine.
func (a *app) serveWatchers(flag, address, what, path string, handler http.Handler) (stop func(), err error) {
	if address == "" {
		return func() {}, nil
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if host == "" {
		host = "127.0.0.1"
	}
	socket, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, withHint(fmt.Errorf("open socket: %w", err), "choose another address by %s", flag)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10, ErrorLog: slog.NewLogLogger(a.Log.Handler(), slog.LevelDebug)}
	go func() {
		if err := server.Serve(socket); !errors.Is(err, http.ErrServerClosed) {
			a.Log.Error(what+" are not served any more", "error", err)
		}
	}()
	a.progress("%s on http://%s%s", what, socket.Addr(), path)
	return func() { _ = server.Close() }, nil
}

// serveMetrics serves the metrics of a running command.
func (a *app) serveMetrics(address string, g prometheus.Gatherer) (stop func(), err error) {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(g, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	return a.serveWatchers("--metrics", address, "metrics", "/metrics", mux)
}
