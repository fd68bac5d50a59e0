package cmd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gwdr/internal/certs"
	"gwdr/probes/vantage"
)

// agentGoodbye bounds how long an agent that is ended waits for its controller to fetch the rest.
const agentGoodbye = 5 * time.Second

// The attempts a second that an agent makes, of all series together: by itself, and at the very most. More than the first is for
// whoever owns its host to allow.
const (
	agentRate    = 1000
	maxAgentRate = 64 * agentRate
)

// agentOptions are the flags of gwdr probe agent.
type agentOptions struct {
	Listen    string
	TokenFile string
	Cert, Key string
	Allow     []string
	MaxRate   float64
	MaxFor    time.Duration
	Lease     time.Duration
	ReadyFile string
}

func newProbeAgentCommand(a *app) *cobra.Command {
	var o agentOptions
	cmd := &cobra.Command{
		Use:   "agent",
		Short: "Probe from this host for a 'gwdr probe' elsewhere",
		Long: `Agent waits for 'gwdr probe --vantage', probes as that one asks, and sends it every attempt. It keeps nothing on disk, and neither
logs nor stores the headers that it is sent.

It serves one controller at a time, who must have the token. Where other machines can reach it, TLS is needed as well. It never
probes without a controller: when nothing was heard of that one for --lease, the probing ends. Until then it goes on and keeps
what it measured, so that a connection that is cut for a while leaves no gap.

It makes no more than --max-rate attempts a second, for no longer than --max-for, and with --allow asks these hosts only: whoever
has the token can make this host send requests, but not many, and not anywhere.

SIGTERM or an interrupt ends it; the controller gets the rest.`,
		Example: `  head -c 32 /dev/urandom | base64 > token; chmod 600 token
  gwdr probe agent --token-file token   # on the loopback, for an SSH tunnel
  gwdr probe agent --token-file token --listen :7070 \
    --cert cert.pem --key key.pem --allow api.example.com

  GWDR_VANTAGE_TOKEN=$(cat token) gwdr probe https://api.example.com/ping \
    --vantage eu=https://agent.eu.example.com:7070`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runProbeAgent(cmd.Context(), a, o) },
	}
	o.addFlags(cmd)
	return cmd
}

func (o *agentOptions) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.Listen, "listen", "127.0.0.1:7070", "`address` that controllers connect to")
	f.StringVar(&o.TokenFile, "token-file", "", "`file` with the token that a controller must have")
	f.StringVar(&o.Cert, "cert", "", "`file` with the certificate chain (PEM)")
	f.StringVar(&o.Key, "key", "", "`file` with the certificate's key (PEM)")
	f.StringArrayVar(&o.Allow, "allow", nil, "probe this `host` only: NAME, NAME:PORT or *.DOMAIN; may be repeated (default: any)")
	f.Float64Var(&o.MaxRate, "max-rate", agentRate, "attempts a second that are the most, of all series together but that of its own control target")
	f.DurationVar(&o.MaxFor, "max-for", 24*time.Hour+sessionSlack, "the longest `time` to probe for one controller")
	f.DurationVar(&o.Lease, "lease", 10*time.Second, "stop probing when nothing was heard of the controller for this `time`")
	f.StringVar(&o.ReadyFile, "ready-file", "", "`file` to write {\"listen\",\"pid\"} to once controllers can connect")
	for _, flag := range []string{"listen", "allow", "max-rate", "max-for", "lease"} {
		completeFlag(cmd, flag, cobra.NoFileCompletions)
	}
}

// check refuses what would leave the agent open, or of no use.
func (o *agentOptions) check() error {
	switch {
	case o.TokenFile == "":
		return withHint(errors.New("an agent needs --token-file: it sends requests for whoever has the token"),
			"head -c 32 /dev/urandom | base64 > token; chmod 600 token")
	case (o.Cert == "") != (o.Key == ""):
		return errors.New("--cert and --key go together")
	case !isLoopback(o.Listen) && o.Cert == "":
		return withHint(fmt.Errorf("--listen %s is reachable from other machines: that needs --cert and --key", o.Listen),
			"or listen on 127.0.0.1, and come through an SSH tunnel")
	case !(o.MaxRate > 0 && o.MaxRate <= maxAgentRate):
		return fmt.Errorf("--max-rate %v is not between 0 and %d attempts a second", o.MaxRate, maxAgentRate)
	case o.MaxFor <= 0:
		return errors.New("--max-for must be positive")
	case o.Lease < time.Second || o.Lease > 10*time.Minute:
		return fmt.Errorf("--lease %s is not between 1s and 10m", o.Lease)
	}
	for _, host := range o.Allow {
		if host == "" || strings.ContainsAny(host, "/@ ") {
			return fmt.Errorf("--allow %q is not of the form NAME, NAME:PORT or *.DOMAIN", host)
		}
	}
	return nil
}

func (o *agentOptions) token() (string, error) {
	b, err := os.ReadFile(o.TokenFile)
	if err != nil {
		return "", fmt.Errorf("read token: %w", err)
	}
	token := strings.TrimSpace(string(b))
	if len(token) < 16 || strings.ContainsAny(token, " \r\n") {
		return "", usageError(fmt.Errorf("read token: %s does not hold one line of 16 characters or more", o.TokenFile))
	}
	return token, nil
}

func runProbeAgent(ctx context.Context, a *app, o agentOptions) error {
	if err := o.check(); err != nil {
		return usageError(err)
	}
	token, err := o.token()
	if err != nil {
		return err
	}
	a.warnReadable(o.TokenFile)
	a.warnReadable(o.Key)
	var set *certs.Set
	if o.Cert != "" {
		if set, err = certs.Load([]certs.Pair{{Cert: o.Cert, Key: o.Key}}, a.Log); err != nil {
			return usageError(err)
		}
	}
	control, err := startControl("")
	if err != nil {
		return err
	}
	defer control.close()
	socket, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return withHint(fmt.Errorf("open socket: %w", err), "choose another address by --listen")
	}
	if err := raisePriority(); err != nil {
		a.Log.Info("a busy machine may disturb the measurement", "err", err)
	}
	agent := &vantage.Agent{Token: token, Tool: "gwdr " + version(), Control: control.url, Lease: o.Lease, MaxRate: o.MaxRate,
		MaxFor: o.MaxFor, Allow: o.Allow, Log: a.Log}
	server := &listener{socket: socket, certs: set, Server: &http.Server{
		Handler: agent.Handler(), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(a.Log.Handler(), slog.LevelDebug)}}
	server.gate = newGate(socket, server.Server)
	return a.serveAgent(ctx, agent, server, o.ReadyFile)
}

// serveAgent serves until ctx ends, then lets the controller fetch the rest.
func (a *app) serveAgent(ctx context.Context, agent *vantage.Agent, server *listener, readyFile string) error {
	failed := make(chan error, 1)
	go func() { failed <- server.run() }()
	address := server.socket.Addr().String()
	a.progress("probe agent on %s", server.url())
	err := writeReady(readyFile, struct {
		Listen string `json:"listen"`
		PID    int    `json:"pid"`
	}{address, os.Getpid()})
	if err == nil {
		select {
		case <-ctx.Done():
		case err = <-failed:
			agent.Close()
			return err
		}
	}
	agent.Close()
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), agentGoodbye)
	defer cancel()
	if server.Shutdown(ending) != nil { // a controller that does not read
		err = errors.Join(err, server.Close())
	}
	return err
}
