package drills

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"gwdr/fleet"
	"gwdr/probes"
)

// world is a gateway of two regions in memory that behaves: traffic fails over to the other region 100 ms after a kill,
// changes are replicated after 30 ms, and a killed control plane takes none until another one is promoted.
type world struct {
	mu        sync.Mutex
	instances []fleet.Instance
	leader    string
	stores    map[string]map[string]stored
	lagging   []func() // replication that is due
	killed    time.Time
	faults    map[string]fleet.Undo
	calls     []string // of the fleet

	injectErr, verifyErr error
	revertErr            func(attempt int) error
	renewErr             error
	gone                 error // the whole fleet is
	noFailover           bool
	undoData             string // of its undo records
	unsupported          fleet.FaultKind
	reverts              int
}

// stored is a route, a spec, a key or a revocation.
type stored struct {
	kind    probes.ChangeKind
	id      string
	version int64
}

func newWorld() *world {
	w := &world{leader: "us-east", stores: map[string]map[string]stored{}, faults: map[string]fleet.Undo{}}
	for _, region := range []string{"us-east", "us-west"} {
		w.stores[region] = map[string]stored{}
		w.instances = append(w.instances,
			fleet.Instance{ID: region + "-1", Region: region, Role: fleet.Data, Running: true},
			fleet.Instance{ID: region + "-2", Region: region, Role: fleet.Data, Running: true},
			fleet.Instance{ID: region + "-control", Region: region, Role: fleet.Control, Running: true})
	}
	return w
}

func (w *world) called(format string, args ...any) {
	w.calls = append(w.calls, fmt.Sprintf(format, args...))
}

func (w *world) Instances(context.Context) ([]fleet.Instance, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.instances), w.gone
}

func (w *world) Prepare(_ context.Context, f fleet.Fault, targets []fleet.Instance) (fleet.Undo, error) {
	u := fleet.Undo{Driver: "world", Fault: f, Data: json.RawMessage(cmp.Or(w.undoData, `{}`))}
	for _, in := range targets {
		u.Targets = append(u.Targets, in.ID)
	}
	if len(targets) == 0 {
		return u, fleet.ErrNoTarget
	}
	if f.Kind == w.unsupported {
		return u, fmt.Errorf("%s: %w", f.Kind, fleet.ErrUnsupported)
	}
	return u, nil
}

func (w *world) Inject(_ context.Context, u fleet.Undo) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.called("inject %s", u.Fault.ID)
	w.faults[u.Fault.ID] = u
	w.killed = time.Now()
	w.setRunning(u.Targets, false)
	return w.injectErr
}

func (w *world) setRunning(ids []string, running bool) {
	for i := range w.instances {
		if slices.Contains(ids, w.instances[i].ID) {
			w.instances[i].Running = running
		}
	}
}

func (w *world) Verify(context.Context, fleet.Undo) (string, error) {
	return "nothing answers", w.verifyErr
}

func (w *world) Renew(context.Context, fleet.Undo) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.gone != nil {
		return w.gone
	}
	return w.renewErr
}

// crash ends an instance that no fault has hit.
func (w *world) crash(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.setRunning([]string{id}, false)
}

// ownPID makes an instance one that this process is.
func (w *world) ownPID(id string) {
	for i := range w.instances {
		if w.instances[i].ID == id {
			w.instances[i].PID = os.Getpid()
		}
	}
}

// fail makes one of the world's errors happen from now on.
func (w *world) fail(which *error, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	*which = err
}

func (w *world) Revert(_ context.Context, u fleet.Undo) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.called("revert %s", u.Fault.ID)
	w.reverts++
	if w.revertErr != nil {
		if err := w.revertErr(w.reverts); err != nil {
			return err
		}
	}
	delete(w.faults, u.Fault.ID)
	w.setRunning(u.Targets, true)
	for region := range w.stores {
		w.stores[region] = maps.Clone(w.stores[w.leader]) // what comes back follows the leader
	}
	return nil
}

func (w *world) Leftovers(context.Context) ([]string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Sorted(maps.Keys(w.faults)), nil
}

// serving returns who answers a request now.
func (w *world) serving() (fleet.Instance, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, in := range w.instances {
		switch {
		case in.Role != fleet.Data:
		case in.Running:
			return in, true
		case time.Since(w.killed) < 100*time.Millisecond || w.noFailover:
			return fleet.Instance{}, false // the edge still believes in it
		}
	}
	return fleet.Instance{}, false
}

func (w *world) up(id string) bool {
	return slices.ContainsFunc(w.instances, func(in fleet.Instance) bool { return in.ID == id && in.Running })
}

func (w *world) Make(_ context.Context, c probes.Change) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.up(w.leader + "-control") {
		return errors.New("connection refused")
	}
	w.apply(w.leader, c)
	for region := range w.stores {
		if region != w.leader {
			time.AfterFunc(30*time.Millisecond, func() { w.replicate(region, c) })
		}
	}
	return nil
}

func (w *world) replicate(to string, c probes.Change) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.leader != to && w.up(w.leader+"-control") && w.up(to+"-control") {
		w.apply(to, c)
	}
}

func (w *world) apply(region string, c probes.Change) {
	key := string(c.Kind) + "/" + c.ID
	if c.Delete {
		delete(w.stores[region], key)
		return
	}
	w.stores[region][key] = stored{c.Kind, c.ID, c.Seq}
}

func (w *world) promote(_ context.Context, region string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.called("promote %s", region)
	w.leader = region
	return nil
}

func (w *world) leading(context.Context) (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.leader, nil
}

func (w *world) Regions(context.Context) ([]string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	regions := slices.Sorted(maps.Keys(w.stores))
	return slices.DeleteFunc(regions, func(r string) bool { return !w.up(r + "-control") }), nil
}

func (w *world) Digest(_ context.Context, region string) (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return fmt.Sprint(w.stores[region]), nil // maps print in the order of their keys
}

func (w *world) Observe(_ context.Context, region string, changes []probes.Change) ([]probes.Observation, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := map[string]bool{}
	var all []probes.Observation
	for _, c := range changes {
		kind := c.Kind
		if kind == probes.RevokeChange {
			kind = probes.KeyChange
		}
		if seen[string(kind)+c.ID] {
			continue
		}
		seen[string(kind)+c.ID] = true
		o := probes.Observation{Region: region, Kind: kind, ID: c.ID, Data: -1}
		o.Version = w.stores[region][string(kind)+"/"+c.ID].version
		if kind == probes.KeyChange {
			_, o.Revoked = w.stores[region][string(probes.RevokeChange)+"/"+c.ID]
			o.Refused = o.Revoked || o.Version == 0
		} else {
			o.Data = o.Version
		}
		all = append(all, o)
	}
	return all, nil
}

// probe makes an attempt every interval by asking serve, which takes a millisecond.
func probe(s probes.Series, serve func() (fleet.Instance, bool)) func(context.Context, time.Time, func(probes.Sample)) error {
	return func(ctx context.Context, t0 time.Time, out func(probes.Sample)) error {
		start := time.Since(t0) + s.Interval
		for seq := int64(0); ; seq++ {
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(start + time.Duration(seq)*s.Interval - time.Since(t0)):
			}
			sample := probes.Sample{Series: s.Name, Seq: seq, Due: start + time.Duration(seq)*s.Interval, Sent: time.Since(t0)}
			in, ok := serve()
			time.Sleep(time.Millisecond)
			sample.Class, sample.Instance, sample.Region, sample.Done = probes.OK, in.ID, in.Region, time.Since(t0)
			if !ok {
				sample.Class, sample.Error = probes.FailRefused, "connection refused"
			}
			out(sample)
		}
	}
}

// probes returns the series of a drill: clients, a target that no fault touches, and the survivors for a guardrail.
func (w *world) probes() []Probe {
	always := func() (fleet.Instance, bool) { return fleet.Instance{}, true }
	survivors := func() (fleet.Instance, bool) {
		w.mu.Lock()
		defer w.mu.Unlock()
		return fleet.Instance{}, w.up("us-west-1")
	}
	series := func(name string, plane probes.Plane, control bool) probes.Series {
		return probes.Series{Name: name, Plane: plane, Interval: 20 * time.Millisecond, Timeout: time.Second, Control: control}
	}
	clients, echo, survivor := series("orders/live/fresh", probes.DataPlane, false), series("echo", probes.DataPlane, true), series("survivor", "", false)
	return []Probe{
		{Series: clients, Run: probe(clients, w.serving)},
		{Series: echo, Run: probe(echo, always)},
		{Series: survivor, Guardrail: "survivor", Run: probe(survivor, survivors)},
	}
}

var _ fleet.Fleet = (*world)(nil)
var _ probes.Admin = (*world)(nil)
