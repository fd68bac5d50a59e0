package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"gwdr/gateway/admin"
)

// listener is an http.Server on its socket.
type listener struct {
	*http.Server
	socket    net.Listener
	cert, key string // PEM files; empty: no TLS
}

func (l *listener) run() error {
	var err error
	if l.cert != "" {
		err = l.ServeTLS(l.socket, l.cert, l.key)
	} else {
		err = l.Serve(l.socket)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve %s: %w", l.socket.Addr(), err)
}

// listen opens the sockets: the admin API's first, then the data plane's.
func (in *instance) listen(stopping <-chan struct{}) ([]*listener, error) {
	o := in.options
	tokens, err := o.tokens()
	if err != nil {
		return nil, err
	}
	audit, err := in.openAudit()
	if err != nil {
		return nil, err
	}
	api := &admin.Server{Instance: o.instance, Region: o.region, Role: o.role, Store: in.store, Tokens: tokens, Stopping: stopping, Log: in.Log, Audit: audit,
		Metrics: promhttp.HandlerFor(prometheus.Gatherers{in.metrics, prometheus.DefaultGatherer}, promhttp.HandlerOpts{})}
	if in.proxy != nil {
		api.Data = dataPlane{in.proxy}
	}
	var handler http.Handler
	if in.standby == nil {
		handler = api.Handler()
	} else {
		in.standby.api = &standbyAPI{server: api}
		handler = in.standby.api
	}
	first, err := in.bind(o.admin, "--admin", handler)
	if err != nil {
		return nil, err
	}
	first.cert, first.key = o.tlsCert, o.tlsKey
	if in.proxy == nil {
		return []*listener{first}, nil
	}
	second, err := in.bind(o.listen, "--listen", in.proxy)
	if err != nil {
		return nil, errors.Join(err, first.socket.Close())
	}
	api.Listen = "http://" + second.socket.Addr().String() // nobody is served yet
	if in.standby != nil {
		in.standby.api.become(in.standby, nil)
	}
	return []*listener{first, second}, nil
}

func (in *instance) bind(address, flag string, handler http.Handler) (*listener, error) {
	socket, err := net.Listen("tcp", address)
	if err != nil {
		return nil, withHint(fmt.Errorf("open socket: %w", err), "choose another address by %s", flag)
	}
	return &listener{socket: socket, Server: &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(in.Log.Handler(), slog.LevelDebug),
	}}, nil
}

// announce tells people and --ready-file where everything is served.
func (in *instance) announce(servers []*listener) error {
	ready := struct {
		Listen string `json:"listen,omitempty"`
		Admin  string `json:"admin"`
		PID    int    `json:"pid"`
	}{Admin: servers[0].socket.Addr().String(), PID: os.Getpid()}
	if len(servers) > 1 {
		ready.Listen = servers[1].socket.Addr().String()
		in.progress("serving on http://%s", ready.Listen)
	}
	in.progress("admin API on http://%s", ready.Admin)
	return writeReady(in.options.readyFile, ready)
}

// writeReady tells whoever waits for the file, if there is one, what is served.
func writeReady(file string, ready any) error {
	if file == "" {
		return nil
	}
	b, err := json.Marshal(ready)
	if err == nil {
		err = os.WriteFile(file+".new", append(b, '\n'), 0o600)
	}
	if err == nil {
		err = os.Rename(file+".new", file)
	}
	if err != nil {
		return fmt.Errorf("write ready file: %w", err)
	}
	return nil
}

// drain takes no new requests and waits for those under way, the data plane's first.
func (in *instance) drain(servers []*listener) error {
	ctx, cancel := context.WithTimeout(context.Background(), in.options.drain)
	defer cancel()
	var errs []error
	for i := len(servers) - 1; i >= 0; i-- {
		err := servers[i].Shutdown(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			in.Log.Warn("requests under way were cut off", "address", servers[i].socket.Addr().String(), "after", in.options.drain)
			err = servers[i].Close()
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
