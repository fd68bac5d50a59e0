package process

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"gwdr/fleet"
	"gwdr/fleet/proc"
)

// Supervision says how the supervisor runs its lab.
type Supervision struct {
	Dir        string
	Executable string
	Topology   Topology
	Owner      io.Reader // the lab ends at its end; nil: it does not
	Ready      io.Writer // gets one JSON document once the lab is ready or has failed
	Env        []string
	Log        *slog.Logger
}

// readiness is the document that the supervisor writes to Supervision.Ready.
type readiness struct {
	Error   string `json:"error,omitempty"`
	Running bool   `json:"running,omitempty"` // the error wraps ErrRunning
}

// Supervise runs the lab until ctx ends, its owner goes, or a client asks for its end. All children end with it.
func Supervise(ctx context.Context, o Supervision) error {
	d := layout(o.Dir)
	lock, err := d.acquire()
	if err != nil {
		return report(o.Ready, err)
	}
	defer lock.Close()
	s, err := newSupervisor(d, o)
	if err != nil {
		return report(o.Ready, err)
	}
	defer s.held.Close()
	ctx, s.stop = context.WithCancel(ctx)
	defer s.stop()
	if o.Owner != nil {
		go func() {
			io.Copy(io.Discard, o.Owner)
			s.log.Info("owner is gone")
			s.stop()
		}()
	}
	err = s.run(ctx, o.Ready)
	return errors.Join(err, s.end())
}

// report tells the starter that the lab has failed, and returns err.
func report(ready io.Writer, err error) error {
	json.NewEncoder(ready).Encode(readiness{Error: err.Error(), Running: errors.Is(err, ErrRunning)})
	return err
}

// supervisor is the parent of all processes of a lab.
type supervisor struct {
	*plan
	file     labFile
	held     ports
	children map[string]*child
	newChild func(program) *child
	spawn    spawner
	http     *http.Client
	log      *slog.Logger
	stop     context.CancelFunc

	changing sync.Mutex // held by whoever injects or reverts

	mu     sync.Mutex
	faults map[string]*fault
}

func newSupervisor(d layout, o Supervision) (*supervisor, error) {
	if err := o.Topology.Validate(); err != nil {
		return nil, err
	}
	s := &supervisor{
		children: map[string]*child{}, faults: map[string]*fault{}, log: o.Log,
		http: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
	}
	self, err := proc.Identify(os.Getpid())
	if err != nil {
		return nil, err
	}
	if found, err := d.sweep(); err != nil {
		return nil, err
	} else if found {
		s.log.Warn("cleaned up after an earlier lab that died")
	}
	if err := d.clearLogs(); err != nil {
		return nil, err
	}
	if s.plan, err = newPlan(d, o.Topology, s.held.take); err != nil {
		return nil, errors.Join(err, s.held.Close())
	}
	s.file = labFile{
		Schema: labSchema, identity: self, Token: rand.Text(), AdminToken: rand.Text(), LinksToken: rand.Text(),
		Owned: o.Owner != nil, endpoints: s.endpoints, Topology: o.Topology, Started: time.Now().UTC(),
	}
	exe, err := openExecutable(o.Executable)
	if err != nil {
		return nil, errors.Join(err, s.held.Close())
	}
	s.spawn = newSpawner()
	env := childEnv(d, o.Env)
	s.newChild = func(prog program) *child {
		return &child{program: prog, dir: d, executable: exe, env: env, spawn: s.spawn, http: s.http, log: o.Log}
	}
	for _, prog := range s.programs {
		s.children[prog.ID] = s.newChild(prog)
	}
	return s, nil
}

// childEnv keeps the user's own configuration out of the children.
func childEnv(d layout, env []string) []string {
	return append([]string{"HOME=" + d.nodes()}, env...)
}

// run starts everything, reports, and serves until ctx ends.
func (s *supervisor) run(ctx context.Context, ready io.Writer) error {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return report(ready, fmt.Errorf("listen for clients of the lab: %w", err))
	}
	s.file.Control = "http://" + listener.Addr().String()
	server := &http.Server{Handler: s.handler(ctx), ReadHeaderTimeout: 10 * time.Second}
	defer server.Close()
	if err := s.prepareFiles(); err != nil {
		listener.Close()
		return report(ready, err)
	}
	if err := s.startAll(ctx); err != nil {
		listener.Close()
		return report(ready, err)
	}
	s.file.Ready = time.Since(s.file.Started).Seconds()
	if err := writeJSON(s.dir.lab(), s.file); err != nil {
		listener.Close()
		return report(ready, err)
	}
	go server.Serve(listener)
	if err := json.NewEncoder(ready).Encode(readiness{}); err != nil {
		return fmt.Errorf("report that the lab is ready: %w", err)
	}
	s.log.Info("lab is ready", "after_s", s.file.Ready)
	s.keepLinks(ctx)
	return nil
}

// prepareFiles writes what the children read when they start.
func (s *supervisor) prepareFiles() error {
	replica := rand.Text()
	tokens := fmt.Sprintf("admin:%s\nreplica:%s\n", s.file.AdminToken, replica)
	state, err := s.edgeState(s.file.Started)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(s.dir.node(edgeID), 0o700); err != nil {
		return fmt.Errorf("create edge directory: %w", err)
	}
	s.links.Token, s.plan.echo.Token = s.file.LinksToken, rand.Text()
	return errors.Join(
		writeFile(s.dir.tokens(), []byte(tokens)),
		writeFile(s.dir.replicaToken(), []byte(replica+"\n")),
		writeJSON(s.dir.links(), s.links),
		writeJSON(s.dir.echo(), s.plan.echo),
		writeFile(filepath.Join(s.dir.node(edgeID), "last-good.ndjson"), state),
	)
}

// startAll starts every process and waits until all serve.
func (s *supervisor) startAll(ctx context.Context) error {
	for _, prog := range s.programs {
		if err := s.children[prog.ID].start(); err != nil {
			return err
		}
	}
	return s.await(ctx, s.all(), program.started)
}

func (p program) started() string { return p.Started }
func (p program) ready() string   { return p.Ready }

// await waits until every child answers at its url.
func (s *supervisor) await(ctx context.Context, children []*child, url func(program) string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("not ready within %s", startTimeout))
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	for _, c := range children {
		group.Go(func() error { return c.answers(ctx, url(c.program)) })
	}
	return group.Wait()
}

// startTimeout bounds how long a process may take to serve.
const startTimeout = 15 * time.Second

// all returns the children in the order of the plan.
func (s *supervisor) all() []*child {
	var children []*child
	for _, prog := range s.programs {
		children = append(children, s.children[prog.ID])
	}
	return children
}

// end stops every child, politely first, and removes what only a running lab needs.
func (s *supervisor) end() error {
	s.changing.Lock()
	defer s.changing.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), goodbye)
	defer cancel()
	children := append(s.all(), s.quiet()...)
	errs := []error{signalAll(children, syscall.SIGTERM), signalAll(children, syscall.SIGCONT)} // one that is stopped hears it then
	for _, c := range children {
		if c.gone(ctx) != nil {
			s.log.Warn("child does not end, kill it", "instance", c.ID)
			errs = append(errs, c.kill(context.Background()))
		}
	}
	_, err := s.dir.sweep()
	return errors.Join(append(errs, err)...)
}

// quiet ends what faults do in the background, and returns the processes that are part of faults.
func (s *supervisor) quiet() (beside []*child) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.faults {
		f.halt()
		beside = append(beside, f.beside...)
	}
	return beside
}

// goodbye is how long children may take to end by themselves.
const goodbye = 2 * time.Second

// targets returns the children that u names to be broken, beside its locations, and checks that they are the ones that it was prepared for.
func (s *supervisor) targets(u fleet.Undo) ([]*child, undoData, error) {
	data, err := decodeUndo(u)
	if err != nil {
		return nil, undoData{}, err
	}
	if data.Lab != s.file.identity {
		return nil, undoData{}, errors.New("fault was prepared for another lab")
	}
	var children []*child
	for _, t := range data.Targets {
		if _, ok := t.place(); ok || t.Spared {
			continue
		}
		c := s.children[t.ID]
		if c == nil {
			return nil, undoData{}, fmt.Errorf("the lab has no instance %q", t.ID)
		}
		children = append(children, c)
	}
	return children, data, nil
}
