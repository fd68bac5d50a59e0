package cmd

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"gwdr/gateway/admin"
	"gwdr/gateway/store"
	"gwdr/internal/workers"
)

// inheritedSocket is the descriptor of the data plane's socket in a worker: the first behind the standard ones.
const inheritedSocket = 3

// ownByWorkers are flags that each worker has of its own, or not at all.
var ownByWorkers = []string{"supervise", "data", "admin", "ready-file", "exit-on-stdin-eof", "listen-fd", "tls-cert", "tls-key", "instance", "json"}

// supervisor keeps data planes that accept from one socket, which it opens and never closes meanwhile: who connects while all of them
// are gone waits for the next one.
type supervisor struct {
	*app
	options *serveOptions
	flags   []string // of each worker, but for its own
	socket  *os.File
	crew    *workers.Crew
	hangups chan os.Signal
}

// checkSupervise refuses what workers could not share.
func (o *serveOptions) checkSupervise() error {
	switch {
	case o.supervise == 0:
		return nil
	case o.supervise < 1 || o.supervise > 64:
		return fmt.Errorf("--supervise %d is not between 1 and 64 workers", o.supervise)
	case o.role != roleData:
		return errors.New("--supervise is for --role data: a control plane is one process, which systemd or the like keeps running")
	case o.inherited != 0:
		return errors.New("a worker has no workers of its own")
	case len(o.backup.from) > 0:
		return errors.New("--supervise and --from-backup do not go together: who was promoted is one process")
	}
	return nil
}

// flagsOf returns the flags as they were given, but for those of the names.
func flagsOf(set *pflag.FlagSet, but []string) (args []string) {
	set.Visit(func(f *pflag.Flag) {
		values := []string{f.Value.String()}
		if many, ok := f.Value.(pflag.SliceValue); ok {
			values = many.GetSlice()
		}
		for _, value := range values {
			if !slices.Contains(but, f.Name) {
				args = append(args, "--"+f.Name+"="+value)
			}
		}
	})
	return args
}

// runSupervised serves by workers until ctx ends.
func runSupervised(ctx context.Context, a *app, o *serveOptions, flags []string) error {
	lock, err := store.Lock(o.data)
	if err != nil {
		return inUse(err)
	}
	defer lock.Close()
	in := &instance{app: a, options: o, metrics: prometheus.NewRegistry()}
	front, err := in.bind(o.listen, "--listen", nil, o.listenPairs())
	if err != nil {
		return err
	}
	defer front.socket.Close()
	s := &supervisor{app: a, options: o, flags: flags, hangups: make(chan os.Signal, 1)}
	signal.Notify(s.hangups, syscall.SIGHUP) // from before anybody knows whom to send it to, until all have ended
	defer signal.Stop(s.hangups)
	if s.socket, err = shared(front.socket.(*net.TCPListener)); err != nil {
		return err
	}
	defer s.socket.Close()
	s.crew = &workers.Crew{Size: o.supervise, Command: s.command, Ready: s.ready, Patience: o.patience(),
		Pause: 100 * time.Millisecond, MaxPause: 10 * time.Second, Log: a.Log}
	tokens, err := o.tokens()
	if err != nil {
		return err
	}
	handler := s.handler(ctx.Done(), in.metrics, &admin.Server{Tokens: tokens, Log: a.Log})
	api, err := in.bind(o.admin, "--admin", handler, o.adminPairs())
	if err != nil {
		return err
	}
	announce := func() error { return in.announce([]*listener{api, front}) }
	return errors.Join(s.run(ctx, api, announce), in.drain([]*listener{api}))
}

// patience is how long a worker may take to stop: for its notice, for requests under way, and for all else.
func (o *serveOptions) patience() time.Duration { return o.notice + o.drain + 10*time.Second }

// shared returns the listener's socket for workers. It does not wait in a system call, and goes on like that: a worker in such a call,
// for a connection that another one was quicker to accept, would not stop before the next connection. TCPListener.File would end that
// for all who share the socket, whenever a worker is started.
func shared(l *net.TCPListener) (*os.File, error) {
	raw, err := l.SyscallConn()
	if err != nil {
		return nil, err
	}
	var fd int
	failed := raw.Control(func(own uintptr) { fd, err = unix.FcntlInt(own, unix.F_DUPFD_CLOEXEC, 0) })
	if err = cmp.Or(failed, err); err != nil {
		return nil, fmt.Errorf("share socket: %w", err)
	}
	return os.NewFile(uintptr(fd), "listen"), nil
}

// run keeps the workers, serves what is known of them, and announces that once one can be asked, until ctx ends or any of it fails.
func (s *supervisor) run(ctx context.Context, api *listener, announce func() error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() { cancel(api.run()) }()
	go s.renewOnHangup(ctx)
	go func() {
		select {
		case <-ctx.Done():
		case <-s.crew.Serving():
			if err := announce(); err != nil {
				cancel(err)
			}
		}
	}()
	return s.crew.Run(ctx)
}

// renewOnHangup puts new workers in the place of the old ones, one after the other, on SIGHUP.
func (s *supervisor) renewOnHangup(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.hangups:
			s.progress("new workers take the place of the old ones")
			if err := s.crew.Renew(ctx); err != nil {
				s.Log.Error("not all workers are new", "error", err)
				continue
			}
			s.progress("all workers are new")
		}
	}
}

func (s *supervisor) dir(number int) string {
	return filepath.Join(s.options.data, "worker-"+strconv.Itoa(number))
}

func (s *supervisor) readyFile(number int) string { return filepath.Join(s.dir(number), "ready.json") }

// command is a worker: it has a directory and an admin API of its own.
func (s *supervisor) command(number int) *exec.Cmd {
	_ = os.Remove(s.readyFile(number)) // of the one before
	args := append([]string{"serve"}, s.flags...)
	args = append(args, "--data="+s.dir(number), "--admin=127.0.0.1:0", "--ready-file="+s.readyFile(number), "--exit-on-stdin-eof",
		"--listen-fd="+strconv.Itoa(inheritedSocket))
	if s.options.instance != "" {
		args = append(args, fmt.Sprintf("--instance=%s-%d", s.options.instance, number))
	}
	cmd := exec.Command(s.Executable, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = s.environ, s.Stdout, s.Stderr, []*os.File{s.socket}
	return cmd
}

// ready waits until the worker has a configuration. It tells people where the worker can be asked as soon as it can.
func (s *supervisor) ready(ctx context.Context, number int) error {
	for told := false; ; {
		if at, err := s.adminOf(number); err == nil {
			if !told {
				s.progress("worker %d: admin API on http://%s", number, at)
				told = true
			}
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+at+"/ready", nil)
			if err != nil {
				return err
			}
			if resp, err := http.DefaultClient.Do(req); err == nil {
				resp.Body.Close()
				if resp.StatusCode == http.StatusOK {
					return nil
				}
			}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// adminOf is the address of the worker's own admin API.
func (s *supervisor) adminOf(number int) (string, error) {
	text, err := os.ReadFile(s.readyFile(number))
	if err != nil {
		return "", err
	}
	var said struct {
		Admin string `json:"admin"`
	}
	return said.Admin, json.Unmarshal(text, &said)
}

// handler is the supervisor's own admin API. What tells of the workers is for whom api lets in.
func (s *supervisor) handler(stopping <-chan struct{}, metrics *prometheus.Registry, api *admin.Server) http.Handler {
	metrics.MustRegister(workerMetrics{s.crew})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		answerJSON(w, http.StatusOK, map[string]bool{"healthy": true})
	})
	mux.HandleFunc("GET /ready", func(w http.ResponseWriter, _ *http.Request) {
		ready := slices.ContainsFunc(s.crew.Workers(), func(w workers.Worker) bool { return w.Ready })
		select {
		case <-stopping:
			ready = false
		default:
		}
		status := http.StatusOK
		if !ready {
			status = http.StatusServiceUnavailable
		}
		answerJSON(w, status, map[string]bool{"ready": ready})
	})
	mux.HandleFunc("GET /v1/workers", api.Guard(func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, http.StatusOK, s.crew.Workers()) }))
	mux.HandleFunc("GET /v1/workers/{number}/{path...}", s.pass)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		answerJSON(w, http.StatusNotFound, map[string]string{"error": "no such page of the supervisor: a data plane's are below /v1/workers/1/"})
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(prometheus.Gatherers{metrics, prometheus.DefaultGatherer}, promhttp.HandlerOpts{}))
	return mux
}

// answerJSON answers a request of the supervisor itself.
func answerJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client is gone
}

// pass asks the admin API of a worker.
func (s *supervisor) pass(w http.ResponseWriter, r *http.Request) {
	number, err := strconv.Atoi(r.PathValue("number"))
	if err != nil || number < 1 || number > s.options.supervise {
		answerJSON(w, http.StatusNotFound, map[string]string{"error": fmt.Sprintf("workers are numbered from 1 to %d", s.options.supervise)})
		return
	}
	at, err := s.adminOf(number)
	if err != nil {
		answerJSON(w, http.StatusServiceUnavailable, map[string]string{"error": "the worker is not there"})
		return
	}
	proxy := httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
		p.Out.URL.Path, p.Out.URL.RawPath = "/"+r.PathValue("path"), ""
		p.SetURL(&url.URL{Scheme: "http", Host: at})
		p.Out.Host = r.Host // by which the worker knows a web page that has a name of its own for this machine
	}}
	proxy.ServeHTTP(w, r)
}

// workerMetrics are what Prometheus sees of the workers.
type workerMetrics struct{ crew *workers.Crew }

var (
	workerReady    = prometheus.NewDesc("gwdr_worker_ready", "Whether the worker has a configuration and serves.", []string{"worker"}, nil)
	workerRestarts = prometheus.NewDesc("gwdr_worker_restarts_total", "How often the worker has ended by itself and was started again.", []string{"worker"}, nil)
)

// Describe implements prometheus.Collector.
func (m workerMetrics) Describe(ch chan<- *prometheus.Desc) {
	ch <- workerReady
	ch <- workerRestarts
}

// Collect implements prometheus.Collector.
func (m workerMetrics) Collect(ch chan<- prometheus.Metric) {
	for _, w := range m.crew.Workers() {
		number, ready := strconv.Itoa(w.Number), 0.0
		if w.Ready {
			ready = 1
		}
		ch <- prometheus.MustNewConstMetric(workerReady, prometheus.GaugeValue, ready, number)
		ch <- prometheus.MustNewConstMetric(workerRestarts, prometheus.CounterValue, float64(w.Restarts), number)
	}
}
