package cmd

import (
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
	"gwdr/gateway/proxy"
	"gwdr/internal/certs"
)

// listener is an http.Server on its socket.
type listener struct {
	*http.Server
	socket net.Listener
	gate   *gate      // of socket
	certs  *certs.Set // nil: no TLS
	guard  bool       // requests whose framing is ambiguous are refused
}

func (l *listener) scheme() string {
	if l.certs != nil {
		return "https"
	}
	return "http"
}

func (l *listener) url() string { return l.scheme() + "://" + l.socket.Addr().String() }

func (l *listener) run() error {
	var err error
	switch {
	case l.certs == nil && l.guard:
		err = l.Serve(proxy.Guard(l.Server, l.gate))
	case l.guard:
		err = l.Serve(proxy.GuardTLS(l.Server, l.gate, l.certs.Config()))
	case l.certs != nil:
		l.TLSConfig = l.certs.Config()
		err = l.ServeTLS(l.gate, "", "")
	default:
		err = l.Serve(l.gate)
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
	first, err := in.bind(o.admin, "--admin", handler, o.adminPairs())
	if err != nil {
		return nil, err
	}
	if in.proxy == nil {
		return []*listener{first}, nil
	}
	second, err := in.bind(o.listen, "--listen", in.proxy, o.listenPairs())
	if err != nil {
		return nil, errors.Join(err, first.socket.Close())
	}
	if second.certs == nil { // who speaks HTTP/2 from the first byte on, as gRPC does
		second.Protocols = new(http.Protocols)
		second.Protocols.SetHTTP1(true)
		second.Protocols.SetUnencryptedHTTP2(true)
	}
	second.guard = true
	second.gate.Listener = in.proxy.Bound(second.gate.Listener, o.limits.connections, o.limits.perAddress)
	api.Listen = second.url() // nobody is served yet
	if in.standby != nil {
		in.standby.api.become(in.standby, nil)
	}
	return []*listener{first, second}, nil
}

// bind opens a socket, of TLS if there are certificates.
func (in *instance) bind(address, flag string, handler http.Handler, pairs []certs.Pair) (*listener, error) {
	var set *certs.Set
	if len(pairs) > 0 {
		var err error
		if set, err = certs.Load(pairs, in.Log); err != nil {
			return nil, fmt.Errorf("%s: %w", flag, err)
		}
		in.measureCertificates(flag, set)
	}
	socket, err := in.socket(address, flag)
	if err != nil {
		return nil, withHint(fmt.Errorf("open socket: %w", err), "choose another address by %s", flag)
	}
	l := &listener{socket: socket, certs: set, Server: &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(in.Log.Handler(), slog.LevelDebug),
	}}
	l.gate = newGate(socket, l.Server)
	return l, nil
}

// socket opens one, or takes that of --listen from the supervisor.
func (in *instance) socket(address, flag string) (net.Listener, error) {
	if fd := in.options.inherited; fd != 0 && flag == "--listen" {
		file := os.NewFile(uintptr(fd), flag)
		defer file.Close()
		return net.FileListener(file)
	}
	return net.Listen("tcp", address)
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
	}
	if in.options.inherited == 0 { // the supervisor, who knows its number, tells people of a worker
		in.tell(servers)
	}
	return writeReady(in.options.readyFile, ready)
}

// tell tells people where everything is served.
func (in *instance) tell(servers []*listener) {
	if len(servers) > 1 {
		in.progress("serving on %s", servers[1].url())
	}
	in.progress("admin API on %s", servers[0].url())
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
		return fmt.Errorf("write --ready-file: %w", err)
	}
	return nil
}

// giveNotice has readiness fail before anything stops to listen, and serves on for as long as balancers are given to see it.
func (in *instance) giveNotice(failed <-chan error) error {
	if in.proxy == nil {
		return nil
	}
	in.proxy.Drain()
	select {
	case <-time.After(in.options.notice):
		return nil
	case err := <-failed:
		return err
	}
}
