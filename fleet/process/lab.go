package process

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"gwdr/fleet"
	"gwdr/fleet/link"
	"gwdr/fleet/proc"
)

// Lab is a client of a running lab. It implements fleet.Fleet.
type Lab struct {
	dir   layout
	file  labFile
	http  *http.Client
	owner *os.File
}

// Open returns the lab that is running in dir. The error wraps ErrNoLab if there is none.
func Open(dir string) (*Lab, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open lab: %w", err)
	}
	l := newLab(layout(abs))
	err = readJSON(l.dir.lab(), &l.file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w in %s", ErrNoLab, abs)
	}
	if err != nil {
		return nil, fmt.Errorf("open lab: %w", err)
	}
	if l.file.Schema != labSchema {
		return nil, fmt.Errorf("open lab: %s is of another version (%q, not %q)", l.dir.lab(), l.file.Schema, labSchema)
	}
	if !l.file.Alive() {
		return nil, fmt.Errorf("%w in %s: the last one died (supervisor %d is gone)", ErrNoLab, abs, l.file.PID)
	}
	return l, nil
}

// Reopen returns the lab that u was prepared for, in order to revert it. If that lab is gone, so is the fault: then
// Reopen returns a Lab whose Revert and Leftovers say so.
func Reopen(u fleet.Undo) (*Lab, error) {
	data, err := decodeUndo(u)
	if err != nil {
		return nil, err
	}
	if l, err := Open(data.Dir); err == nil && l.file.identity == data.Lab {
		return l, nil
	} else if data.Lab.Alive() {
		return nil, fmt.Errorf("lab of fault %s is running (supervisor %d) but cannot be reached: %w", u.Fault.ID, data.Lab.PID, err)
	}
	l := newLab(layout(data.Dir))
	l.file.identity = data.Lab
	return l, nil
}

func newLab(d layout) *Lab {
	return &Lab{dir: d, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4, IdleConnTimeout: 30 * time.Second}}}
}

// Edge returns the base URL at which clients reach the gateway.
func (l *Lab) Edge() string { return l.file.Edge }

// AdminURL returns the base URL of the leading control plane's admin API, through the edge. Requests need the Host
// header AdminHost.
func (l *Lab) AdminURL() string { return l.file.Edge }

// AdminToken returns the bearer token of the gateways' admin APIs.
func (l *Lab) AdminToken() string { return l.file.AdminToken }

// ControlURL returns the base URL of a region's own control plane, directly, or "" if there is no such region.
func (l *Lab) ControlURL(region string) string { return l.file.Controls[region] }

// ControlFromEdge returns the base URL at which the edge reaches a region's control plane: over a link.
func (l *Lab) ControlFromEdge(region string) string {
	return "http://" + l.file.endpoints.Links[edgeTo(controlID(region))]
}

// EchoURL returns the base URL of the echo upstream, directly.
func (l *Lab) EchoURL() string { return l.file.Echo }

// UpstreamURL returns the base URL at which gateways reach the echo upstream: over a link.
func (l *Lab) UpstreamURL() string {
	return "http://" + l.file.endpoints.Links[linkID("gateways", echoID)]
}

// ControlTarget returns the base URL at which the echo answers whatever is done to it as an upstream: for what measures the
// measurement.
func (l *Lab) ControlTarget() string { return l.file.Echo + echoControl }

// LinkAddr returns the host:port of the link with the id, or "".
func (l *Lab) LinkAddr(id string) string { return l.file.endpoints.Links[id] }

// Links returns a client for the links between the lab's parts.
func (l *Lab) Links() *link.Client {
	return &link.Client{URL: l.file.LinksURL, Token: l.file.LinksToken, HTTP: l.http}
}

// Topology returns what the lab was started with.
func (l *Lab) Topology() Topology { return l.file.Topology }

// Regions returns the names of the regions; the first one leads at the start.
func (l *Lab) Regions() []string {
	var names []string
	for _, r := range l.file.Topology.Regions {
		names = append(names, r.Name)
	}
	return names
}

// Dir returns the directory that holds everything of the lab.
func (l *Lab) Dir() string { return string(l.dir) }

// LocationsDir returns the directory for locations that keep backups of the lab. It outlives the lab.
func (l *Lab) LocationsDir() string { return l.dir.locations() }

// KeysFile returns the path at which whoever seeds the lab keeps the tokens of the keys.
func (l *Lab) KeysFile() string { return l.dir.keys() }

// LogFile returns the path of the log of the process with the id.
func (l *Lab) LogFile(id string) string { return l.dir.log(id) }

// Owned reports whether the lab ends with whoever started it.
func (l *Lab) Owned() bool { return l.file.Owned }

// Supervisor returns the pid of the supervisor.
func (l *Lab) Supervisor() int { return l.file.PID }

// StartDuration returns how long the processes took to serve.
func (l *Lab) StartDuration() time.Duration {
	return time.Duration(l.file.Ready * float64(time.Second))
}

// OwnerFile returns what keeps an owned lab alive, for passing on to another process: the lab ends when nobody holds it
// open any more. It is nil unless this Lab was returned by Start with Owned.
func (l *Lab) OwnerFile() *os.File { return l.owner }

// Processes lists all processes of the lab, also those that are no instance of the gateway, by id.
func (l *Lab) Processes(ctx context.Context) ([]Process, error) {
	var list []Process
	if err := l.do(ctx, http.MethodGet, "/instances", nil, &list); err != nil {
		return nil, fmt.Errorf("list instances: %w", err)
	}
	slices.SortFunc(list, func(a, b Process) int { return compareIDs(a.ID, b.ID) })
	return list, nil
}

// Faults lists the faults that are in effect, by id.
func (l *Lab) Faults(ctx context.Context) ([]FaultStatus, error) {
	var list []FaultStatus
	if err := l.do(ctx, http.MethodGet, "/faults", nil, &list); err != nil {
		return nil, fmt.Errorf("list faults: %w", err)
	}
	slices.SortFunc(list, func(a, b FaultStatus) int { return compareIDs(a.ID, b.ID) })
	return list, nil
}

// WaitReady returns once every instance does its work; data instances need a configuration for that.
func (l *Lab) WaitReady(ctx context.Context) error {
	instances, err := l.Instances(ctx)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, in := range instances {
		if in.AdminURL == "" { // a location
			continue
		}
		group.Go(func() error {
			return poll(ctx, "wait for "+in.ID, func() error { return probe(ctx, l.http, in.AdminURL+"/ready") })
		})
	}
	return group.Wait()
}

// Down ends the lab and returns when nothing of it runs any more. It is no error if the lab is gone already. A supervisor
// that does not end when asked to is killed.
func (l *Lab) Down(ctx context.Context) error {
	if l.owner != nil {
		defer l.owner.Close()
	}
	asking, cancel := context.WithTimeoutCause(ctx, downWithin, fmt.Errorf("not done within %s", downWithin))
	defer cancel()
	asked := l.do(asking, http.MethodPost, "/down", nil, nil)
	if refused := (*remoteError)(nil); errors.As(asked, &refused) {
		return fmt.Errorf("end lab: %w", asked)
	}
	err := poll(asking, "end lab", func() error { // also if nobody answered: it may have been ending already
		if l.file.Alive() {
			return errors.Join(fmt.Errorf("supervisor %d still runs", l.file.PID), asked)
		}
		return nil
	})
	if err == nil || ctx.Err() != nil {
		return err
	}
	if err := l.file.Kill(); err != nil {
		return fmt.Errorf("end lab: %w", err)
	}
	if _, err := Sweep(string(l.dir)); err != nil {
		return fmt.Errorf("end lab: %w", err)
	}
	return nil
}

// downWithin is how long a supervisor may take to end its lab: politely, and then not.
const downWithin = goodbye + proc.KillTimeout + time.Second

// poll tries until try succeeds or ctx ends.
func poll(ctx context.Context, what string, try func() error) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w (%w)", what, context.Cause(ctx), err)
		case <-tick.C:
		}
	}
}
