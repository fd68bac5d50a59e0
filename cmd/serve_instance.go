package cmd

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"gwdr/gateway"
	"gwdr/gateway/proxy"
	"gwdr/gateway/proxy/redis"
	"gwdr/gateway/replica"
	"gwdr/gateway/store"
	"gwdr/internal/telemetry"
)

// instance is one running gwdr serve.
type instance struct {
	*app
	options *serveOptions

	metrics *prometheus.Registry
	store   *store.Store        // nil on a data plane
	replica *replica.Replica    // nil without replication
	proxy   *proxy.Gateway      // nil on a control plane
	source  proxy.Source        // what proxy follows; nil: nothing
	lock    *os.File            // holds the data directory; nil on a control plane, whose store does
	traces  *telemetry.Requests // nil: nobody wants them
	access  *os.File            // nil without a file for the access log
	standby *standby            // nil unless it serves from a backup
	audit   *os.File            // of --audit-log; nil: none
	counter *redis.Counter      // of shared limits; nil: none

	background context.Context // ends when the instance stops serving
}

// open makes the parts, none of which listens yet. An old leader learns of a new one here.
func (in *instance) open(ctx context.Context) error {
	in.metrics = prometheus.NewRegistry()
	if len(in.options.backup.from) > 0 {
		if ordinary, err := in.openFromBackup(ctx); err != nil || !ordinary {
			return err
		}
	}
	if in.options.controls() {
		if err := in.openControl(ctx); err != nil {
			return err
		}
	}
	if in.options.proxies() {
		return in.openData()
	}
	return nil
}

func (in *instance) openControl(ctx context.Context) (err error) {
	o := in.options
	if err := refuseHalf(o.data); err != nil {
		return err
	}
	options := store.Options{Dir: o.data, Follower: o.replication == replicationAsync, Log: in.Log}
	if err := o.place.apply(&options); err != nil {
		return err
	}
	if in.store, err = store.Open(ctx, options); err != nil {
		return notOpened(err)
	}
	in.measureControl(in.store)
	if o.replication != replicationAsync {
		return nil
	}
	in.replica = &replica.Replica{Store: in.store, Dir: o.data, Lead: o.lead, Log: in.Log}
	for _, url := range o.peers {
		in.replica.Peers = append(in.replica.Peers, o.client(url))
	}
	return in.replica.Settle(ctx)
}

// notOpened adds the next step to an error of store.Open.
func notOpened(err error) error {
	switch {
	case errors.Is(err, store.ErrMemberLost):
		return withHint(exitWith(exitRefused, err), "put its disk back, or have the others take it for a new one: POST /v1/members/NAME/replace")
	case errors.Is(err, store.ErrMemberRemoved):
		return withHint(err, "if none runs in its place: POST /v1/members/NAME/replace (again, if that was a 503), and start it with an empty --data")
	case errors.Is(err, store.ErrOtherMember):
		return withHint(exitWith(exitRefused, err), "back it up, start with an empty --data, and restore; or give the flags that it was made with")
	case errors.Is(err, store.ErrNoQuorum):
		return withHint(err, "is etcd running there? most of its members must be")
	}
	return inUse(err)
}

// inUse adds the next step to an error that wraps store.ErrInUse.
func inUse(err error) error {
	if !errors.Is(err, store.ErrInUse) {
		return err
	}
	return withHint(exitWith(exitRefused, err), "another gwdr serves from this directory: stop it, or choose another --data")
}

// measureControl adds the control plane's own metrics.
func (in *instance) measureControl(st *store.Store) {
	gauge := func(name, help string, value func() float64) {
		in.metrics.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
	}
	gauge("gwdr_control_leader", "Whether this control plane takes writes.", func() float64 {
		if st.Role().Mode == gateway.ModeLeader {
			return 1
		}
		return 0
	})
	if _, quota := st.Size(); quota > 0 {
		gauge("gwdr_control_store_bytes", "What entities and history take.", func() float64 {
			used, _ := st.Size()
			return float64(used)
		})
		gauge("gwdr_control_store_quota_bytes", "What entities and history may take.", func() float64 { return float64(quota) })
	}
	gauge("gwdr_control_set_aside_files", "Files of changes that a new leader lacked, for people to look at.", func() float64 {
		return float64(len(replica.SetAside(in.options.data)))
	})
	gauge("gwdr_control_epoch", "Epoch of the leadership.", func() float64 { return float64(st.Role().Epoch) })
	gauge("gwdr_control_applied_revision", "Newest revision of the leader that is applied here.", func() float64 {
		return float64(st.Origin().Revision)
	})
}

func (in *instance) openData() (err error) {
	o := in.options
	if in.store == nil { // two that keep their last good configuration in one place would spoil it for both
		if in.lock, err = store.Lock(o.data); err != nil {
			return inUse(err)
		}
	}
	if err = in.openProxy(); err != nil {
		return err
	}
	if in.store != nil {
		in.source = ownStore{in.store}
	} else if o.control != "" {
		in.source = followed{new(o.client(o.control))}
	}
	err = in.proxy.LoadLastGood()
	switch {
	case err == nil:
	case in.source == nil:
		return withHint(err, "name a control plane by --control, or put a last good configuration at %s", in.lastGood())
	case !errors.Is(err, fs.ErrNotExist):
		in.Log.Error("last good configuration cannot be used, the control plane's is waited for", "error", err)
	}
	return nil
}

// serve listens and serves until ctx ends or a part fails, and then drains.
func (in *instance) serve(ctx context.Context) error {
	stopping := make(chan struct{})
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	in.background = background
	servers, err := in.listen(stopping)
	if err != nil {
		return err
	}
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	if in.standby != nil {
		in.standby.run()
	}
	if in.replica != nil {
		running.Go(func() { in.replica.Run(background) })
	}
	if in.source != nil {
		running.Go(func() { in.proxy.Follow(background, in.source) })
	}
	failed := make(chan error, len(servers))
	for _, s := range servers {
		running.Go(func() { failed <- s.run() })
	}
	if err := in.announce(servers); err != nil {
		return errors.Join(err, in.drain(servers))
	}
	select {
	case <-ctx.Done():
		err = in.giveNotice(failed)
	case err = <-failed:
	case <-in.stopped():
		err = errors.New("store stopped by itself")
	case err = <-in.standbyFailed():
	}
	close(stopping)
	return errors.Join(err, in.drain(servers))
}

// stopped returns the channel that tells of the store's end; without a store it never does.
func (in *instance) stopped() <-chan struct{} {
	if in.store == nil {
		return nil
	}
	return in.store.Stopped()
}

// close ends the parts that open made.
func (in *instance) close() error {
	var errs []error
	if in.standby != nil {
		errs = append(errs, in.standby.end())
	}
	if in.proxy != nil {
		errs = append(errs, in.proxy.Close())
	}
	if in.store != nil {
		errs = append(errs, in.store.Close())
	}
	in.endTraces()
	if in.counter != nil {
		errs = append(errs, in.counter.Close())
	}
	if in.access != nil {
		errs = append(errs, in.access.Close())
	}
	if in.lock != nil {
		errs = append(errs, in.lock.Close())
	}
	if in.audit != nil {
		errs = append(errs, in.audit.Close())
	}
	return errors.Join(errs...)
}

// dataPlane shows a proxy to the admin API.
type dataPlane struct{ *proxy.Gateway }

// Report returns what is served, and how it stands with upstreams and refused configurations.
func (p dataPlane) Report() (gateway.Status, any) {
	s := p.Status()
	return gateway.Status{Store: s.Store, Revision: s.Revision, Epoch: s.Epoch, Digest: s.Digest, Counts: s.Counts, Following: s.Following}, struct {
		Revision  int64                  `json:"revision"`
		Rejected  string                 `json:"rejected,omitempty"`
		Shadowed  []string               `json:"shadowed,omitempty"`
		Endpoints []proxy.EndpointStatus `json:"endpoints"`
	}{s.Revision, s.Rejected, s.Shadowed, s.Endpoints}
}

// ownStore is the store of this process, as its data plane follows it: while it is blank, there is nothing to read.
type ownStore struct{ *store.Store }

// State implements proxy.Source.
func (s ownStore) State(ctx context.Context) (gateway.Header, *gateway.State, error) {
	if err := s.AwaitContent(ctx); err != nil {
		return gateway.Header{}, nil, err
	}
	return s.Store.State(ctx)
}

// Follow implements proxy.Source.
func (s ownStore) Follow(ctx context.Context, store string, from int64, each func(gateway.Batch) error) error {
	return s.Watch(ctx, store, from, each)
}
