package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"gwdr/gateway/admin"
)

// The values of --role and --replication.
const (
	roleAll, roleControl, roleData                     = "all", "control", "data"
	replicationNone, replicationAsync, replicationSync = "none", "async", "sync"
)

type serveOptions struct {
	role, data, listen, admin  string
	control, controlTokenFile  string
	controlToken               string // of the file
	instance, region           string
	tokenFile, tlsCert, tlsKey string
	listenCerts, listenKeys    []string
	trusted, allowed, denied   []string
	accessLog                  string
	maxInFlight                int
	auditLog                   string
	peers                      []string
	replication                string
	lead                       bool
	readyFile                  string
	exitOnEOF                  bool
	supervise, inherited       int
	notice, drain              time.Duration
	backup                     fromBackup
	place                      storePlace
	upstreamsAt                string
	clockFile                  string
	limits                     limitOptions
}

func newServeCommand(a *app) *cobra.Command {
	o := &serveOptions{}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the bundled gateway",
		Long: `Run the bundled gateway: a data plane that serves API traffic, a control plane with an embedded etcd and the admin API,
or both in one process. A data plane keeps its last good configuration on disk and starts from it when the control plane
is gone. Control planes of several regions follow one leader (--replication async with --peer), or are one cluster of three,
which loses nothing with a region (--replication sync with --cluster). The store can also lie in an etcd that you run (--etcd).

With --from-backup it needs no control plane, and nothing to restore to: it serves the newest state that the backups give,
with every revocation known anywhere, and goes after newer ones as they appear. It takes no changes until it is promoted
(POST /v1/promote); from then on it is an ordinary gateway that holds what it served, also when it is started again with
the same command. docs/restore.md is the page for the worst day.

GET /v1 of the admin API lists its endpoints; docs/admin-api.md describes them.`,
		Example: `  gwdr serve      # everything in one process, on this machine only
  gwdr serve --role control --data /var/lib/gwdr --token-file tokens
  gwdr serve --role data --data /var/lib/gwdr-data --listen :8080 \
    --admin 127.0.0.1:8082 --control http://127.0.0.1:8081 \
    --control-token-file token

  # one of three regions, each with its own --region, that are one cluster
  gwdr serve --replication sync --region a --cluster-ca ca.pem \
    --cluster-cert a.pem --cluster-key a.key --cluster \
    a=https://10.1.0.1:2380,b=https://10.2.0.1:2380,c=https://10.3.0.1:2380

  # the gateway is gone: serve from the backups, at once
  gwdr serve --from-backup --listen :8080   # of all locations in gwdr.yaml
  gwdr serve --from-backup offsite --listen :8080
  curl -X POST 127.0.0.1:8081/v1/promote    # make it the gateway

  # a first route, a key, a call
  curl -X PUT 127.0.0.1:8081/v1/upstream/hello \
    -d '{"endpoints":[{"url":"http://127.0.0.1:9000"}]}'
  curl -X PUT 127.0.0.1:8081/v1/route/hello \
    -d '{"path":"/{rest...}","upstream":"hello"}'
  curl -X POST 127.0.0.1:8081/v1/keys -d '{}'
  curl 127.0.0.1:8080/ -H 'Authorization: Bearer gwk_...'`,
		Args: o.backup.arguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runServe(cmd.Context(), a, o, flagsOf(cmd.Flags(), ownByWorkers))
		},
	}
	o.addFlags(cmd)
	o.place.addFlags(cmd)
	o.backup.addFlags(a, cmd)
	return cmd
}

func (o *serveOptions) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.role, "role", roleAll, "`role` of this process: all, control or data")
	f.StringVar(&o.data, "data", "", "`directory` for the store and the last good configuration (default gateway in gwdr's state directory)")
	f.StringVar(&o.listen, "listen", "127.0.0.1:8080", "`address` of the data plane")
	f.StringVar(&o.admin, "admin", "127.0.0.1:8081", "`address` of the admin API, health and metrics")
	f.StringVar(&o.control, "control", "", "`URL` of the control plane that a data plane follows; without it, the last good configuration serves")
	f.StringVar(&o.controlTokenFile, "control-token-file", "", "`file` with the token for --control and --peer, and nothing else")
	f.StringVar(&o.instance, "instance", "", "`name` of this instance, sent as X-Gwdr-Instance")
	f.StringVar(&o.region, "region", "", "`name` of the region, sent as X-Gwdr-Region")
	f.StringVar(&o.tokenFile, "token-file", "", "`file` with the admin API's tokens, one role:token a line; roles: admin, operator, viewer, backup, replica")
	f.StringVar(&o.auditLog, "audit-log", "", "`file` to append each change of the configuration to, as a line of JSON (default: the log)")
	f.StringVar(&o.tlsCert, "tls-cert", "", "`file` with the admin API's certificate chain (PEM)")
	f.StringVar(&o.tlsKey, "tls-key", "", "`file` with the certificate's key (PEM)")
	f.StringArrayVar(&o.listenCerts, "listen-cert", nil, "`file` with a certificate chain (PEM) of the data plane; repeatable, the first is for unknown hosts")
	f.StringArrayVar(&o.listenKeys, "listen-key", nil, "`file` with the key (PEM) of a --listen-cert, in their order")
	f.StringArrayVar(&o.trusted, "trust-proxy", nil, "`address` or network (10.0.0.0/8) of proxies in front that say truly whom they ask for; repeatable")
	f.StringArrayVar(&o.allowed, "allow-from", nil, "`address` or network of clients whose requests are taken; repeatable (default any)")
	f.StringArrayVar(&o.denied, "deny-from", nil, "`address` or network of clients whose requests are not taken, even if allowed; repeatable")
	o.limits.addFlags(f)
	f.StringVar(&o.accessLog, "access-log", "", "`file` for a line of JSON for each request, or - for standard output")
	f.IntVar(&o.maxInFlight, "max-in-flight", 0, "`requests` that may be under way at a time; more are answered 503 at once (0: any number)")
	f.StringArrayVar(&o.peers, "peer", nil, "`URL` of another region's control plane; repeatable")
	f.StringVar(&o.replication, "replication", replicationNone, "`kind` of replication between regions: none, async or sync")
	f.BoolVar(&o.lead, "leader", false, "lead if the store is new and no peer has led or followed yet (always so without replication)")
	f.StringVar(&o.readyFile, "ready-file", "", "`file` to write {\"listen\",\"admin\",\"pid\"} to once it listens there (host:port, no scheme); "+
		"whether it has a configuration, /.gwdr/ready says")
	f.BoolVar(&o.exitOnEOF, "exit-on-stdin-eof", false, "stop when stdin ends: with the process that started this one")
	f.IntVar(&o.supervise, "supervise", 0, "serve by so many `workers`, which are started again when they crash; SIGHUP puts new ones in their place")
	f.IntVar(&o.inherited, "listen-fd", 0, "`descriptor` of the socket of --listen: of a worker")
	_ = f.MarkHidden("listen-fd")
	f.StringVar(&o.upstreamsAt, "upstreams-at", "", "reach every upstream at this `address` (host:port) instead, unencrypted and without health checks: for rehearsals")
	f.StringVar(&o.clockFile, "clock-file", "", "`file` that says by how much the clock for keys is wrong, such as 5m or -1h: for drills")
	_ = f.MarkHidden("clock-file")
	f.DurationVar(&o.notice, "drain-notice", 0, "how long a stop serves on while readiness fails already, so that balancers go elsewhere")
	f.DurationVar(&o.drain, "drain", 5*time.Second, "how long a stop waits for requests under way")
}

// runServe serves until ctx ends. The flags are those of workers, if there are to be any.
func runServe(ctx context.Context, a *app, o *serveOptions, flags []string) error {
	if err := o.check(); err != nil {
		return usageError(err)
	}
	secrets := []string{o.tokenFile, o.controlTokenFile, o.tlsKey, o.limits.redisPasswordFile, o.place.etcdKey, o.place.passwordFile, o.place.cluster.Key}
	for _, file := range append(secrets, o.listenKeys...) {
		a.warnReadable(file)
	}
	if err := o.readControlToken(); err != nil {
		return err
	}
	if o.data == "" {
		o.data = filepath.Join(a.Config.State, "gateway")
	}
	if err := o.checkPlaces(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if a.Env("GOGC") == "" {
		tuneGC(ctx)
	}
	if o.exitOnEOF {
		go func() {
			_, _ = io.Copy(io.Discard, a.Stdin) // an error is an end too
			cancel()
		}()
	}
	if o.supervise > 0 {
		return runSupervised(ctx, a, o, flags)
	}
	if o.inherited != 0 { // its supervisor does what is to be done, also where both get it
		signal.Ignore(syscall.SIGHUP)
	}
	in := &instance{app: a, options: o}
	err := in.open(ctx)
	if err == nil {
		err = in.serve(ctx)
	}
	return errors.Join(err, in.close())
}

// check refuses options that contradict each other.
func (o *serveOptions) check() error {
	if err := errors.Join(o.checkAddresses(), o.checkDurations()); err != nil {
		return err
	}
	switch {
	case !slices.Contains([]string{roleAll, roleControl, roleData}, o.role):
		return fmt.Errorf("--role %q is none of all, control, data", o.role)
	case !slices.Contains([]string{replicationNone, replicationAsync, replicationSync}, o.replication):
		return fmt.Errorf("--replication %q is none of none, async, sync", o.replication)
	case o.control != "" && o.role != roleData:
		return errors.New("--control is for --role data: other roles have a store of their own")
	case o.role == roleData && (len(o.peers) > 0 || o.replication != replicationNone || o.lead):
		return errors.New("--peer, --replication and --leader are for control planes")
	case o.role == roleData && o.auditLog != "":
		return errors.New("--audit-log is for control planes")
	case len(o.peers) > 0 && o.replication != replicationAsync:
		return errors.New("--peer needs --replication async")
	case o.upstreamsAt != "" && !o.proxies():
		return errors.New("--upstreams-at is for data planes")
	case o.upstreamsAt != "" && !isAddress(o.upstreamsAt):
		return fmt.Errorf("--upstreams-at %q is not of the form host:port", o.upstreamsAt)
	case o.clockFile != "" && !isLoopback(o.listen):
		return errors.New("--clock-file is for drills on this machine: --listen must be a loopback address")
	case !isLoopback(o.admin) && (o.tokenFile == "" || o.tlsCert == ""):
		return fmt.Errorf("--admin %s is reachable from other machines: that needs --token-file, --tls-cert and --tls-key", o.admin)
	}
	return errors.Join(o.checkFront(), o.checkLimits(), o.checkSupervise(), o.checkBackup(), o.checkStore(), o.checkURLs())
}

// checkAddresses refuses what no socket can be opened at.
func (o *serveOptions) checkAddresses() error {
	for _, a := range []struct{ flag, text string }{{"--listen", o.listen}, {"--admin", o.admin}} {
		if _, port, err := net.SplitHostPort(a.text); err != nil || !isPort(port) {
			return fmt.Errorf("%s %q is not of the form host:port, such as 127.0.0.1:8080, or :8080 for all addresses", a.flag, a.text)
		}
	}
	return nil
}

// checkDurations refuses those that end before they begin.
func (o *serveOptions) checkDurations() error {
	for _, d := range []struct {
		flag  string
		value time.Duration
	}{{"--drain", o.drain}, {"--drain-notice", o.notice}, {"--poll", o.backup.poll}, {"--cluster-election", o.place.cluster.Election}} {
		if d.value < 0 {
			return fmt.Errorf("%s %s is less than nothing", d.flag, d.value)
		}
	}
	return nil
}

// checkURLs refuses what is no address of a control plane. One that can never be reached would not be noticed: a leader
// with such a peer would not learn that it was replaced.
func (o *serveOptions) checkURLs() error {
	for _, peer := range o.peers {
		if !isBaseURL(peer) {
			return fmt.Errorf("--peer %q is not of the form http://host:port", peer)
		}
	}
	if o.control != "" && !isBaseURL(o.control) {
		return fmt.Errorf("--control %q is not of the form http://host:port", o.control)
	}
	return nil
}

func isBaseURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" && u.User == nil && u.RawQuery == ""
}

func isAddress(text string) bool {
	host, port, err := net.SplitHostPort(text)
	return err == nil && host != "" && port != "" && isPort(port)
}

func isPort(text string) bool {
	_, err := net.LookupPort("tcp", text)
	return err == nil
}

func (o *serveOptions) controls() bool { return o.role != roleData }
func (o *serveOptions) proxies() bool  { return o.role != roleControl }

func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// tokens reads --token-file; without one there are none.
func (o *serveOptions) tokens() (admin.Tokens, error) {
	if o.tokenFile == "" {
		return nil, nil
	}
	f, err := os.Open(o.tokenFile)
	if err != nil {
		return nil, fmt.Errorf("read --token-file: %w", err)
	}
	defer f.Close()
	tokens, err := admin.ReadTokens(f)
	if err != nil {
		return nil, usageError(fmt.Errorf("read --token-file %s: %w", o.tokenFile, err))
	}
	return tokens, nil
}
