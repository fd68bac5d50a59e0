package process

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"gwdr/fleet"
)

var _ fleet.Fleet = (*Lab)(nil)

// Instances lists the instances of the gateway, the upstream behind it, and the locations that keep its backups in the lab's own
// directory, by id.
func (l *Lab) Instances(ctx context.Context) ([]fleet.Instance, error) {
	all, err := l.targets(ctx)
	if err != nil {
		return nil, err
	}
	var instances []fleet.Instance
	for _, p := range all {
		if isInstance(p.Role) {
			instances = append(instances, p.Instance)
		}
	}
	return instances, nil
}

// targets lists the processes and the locations, by id.
func (l *Lab) targets(ctx context.Context) ([]Process, error) {
	processes, err := l.Processes(ctx)
	if err != nil {
		return nil, err
	}
	places, err := l.dir.places()
	if err != nil {
		return nil, err
	}
	all := append(processes, places...)
	slices.SortFunc(all, func(a, b Process) int { return compareIDs(a.ID, b.ID) })
	return all, nil
}

// Prepare says how the fault would be undone and touches nothing.
func (l *Lab) Prepare(ctx context.Context, f fleet.Fault, targets []fleet.Instance) (fleet.Undo, error) {
	processes, err := l.targets(ctx)
	if err != nil {
		return fleet.Undo{}, fmt.Errorf("prepare fault %s: %w", f.ID, err)
	}
	byID := make(map[string]Process, len(processes))
	for _, p := range processes {
		byID[p.ID] = p
	}
	var chosen []Process
	for _, t := range targets {
		p, ok := byID[t.ID]
		if !ok {
			return fleet.Undo{}, fmt.Errorf("prepare fault %s: the lab has no instance %q", f.ID, t.ID)
		}
		chosen = append(chosen, p)
	}
	if err := l.file.Topology.checkFault(f, chosen); err != nil {
		return fleet.Undo{}, fmt.Errorf("prepare %w", err)
	}
	u, err := encodeUndo(string(l.dir), l.file.identity, f, chosen)
	if prepare := injectors()[f.Kind].prepare; err == nil && prepare != nil {
		return prepare(l, u, processes)
	}
	return u, err
}

// Inject breaks what u was prepared for; it returns when that is so.
func (l *Lab) Inject(ctx context.Context, u fleet.Undo) error {
	if _, err := decodeUndo(u); err != nil {
		return err
	}
	if err := l.do(ctx, http.MethodPost, "/faults", u, nil); err != nil {
		return fmt.Errorf("inject fault %s: %w", u.Fault.ID, err)
	}
	return nil
}

// Verify looks at the processes and their ports itself: it takes nothing from the supervisor, only that it lives.
func (l *Lab) Verify(ctx context.Context, u fleet.Undo) (string, error) {
	data, err := decodeUndo(u)
	if err != nil {
		return "", err
	}
	if !data.Lab.Alive() {
		return "", fmt.Errorf("verify fault %s: %w", u.Fault.ID, l.gone())
	}
	injector, ok := injectors()[u.Fault.Kind]
	if !ok {
		return "", fmt.Errorf("verify fault %s: %s: %w", u.Fault.ID, u.Fault.Kind, fleet.ErrUnsupported)
	}
	seen := make([]string, len(data.Targets))
	group, ctx := errgroup.WithContext(ctx)
	for i, t := range data.Targets { // at once: some looks take half a second each
		group.Go(func() error {
			what, err := injector.look(l, ctx, u.Fault, t)
			seen[i] = t.ID + ": " + what
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return "", fmt.Errorf("verify fault %s: %w", u.Fault.ID, err)
	}
	return strings.Join(seen, "; "), nil
}

// lookDown sees that the process is gone and that nothing listens on its ports.
func (l *Lab) lookDown(ctx context.Context, _ fleet.Fault, t targetID) (string, error) {
	if t.Alive() {
		return "", fmt.Errorf("process %d of %s still runs", t.PID, t.ID)
	}
	for _, addr := range t.Ports {
		if err := connect(ctx, addr); !errors.Is(err, syscall.ECONNREFUSED) {
			return "", fmt.Errorf("%s of %s does not refuse connections (%v)", addr, t.ID, err)
		}
	}
	return fmt.Sprintf("process %d is gone, nothing listens on %s", t.PID, strings.Join(t.Ports, " and ")), nil
}

// lookBlank sees that the control plane says it has lost its store.
func (l *Lab) lookBlank(ctx context.Context, _ fleet.Fault, t targetID) (string, error) {
	mode, err := controlMode(ctx, l.http, "http://"+t.Ports[len(t.Ports)-1], l.file.AdminToken)
	if err != nil {
		return "", fmt.Errorf("%s: %w", t.ID, err)
	}
	if mode != modeBlank {
		return "", fmt.Errorf("%s says it is %q, not %s", t.ID, mode, modeBlank)
	}
	return "says it is " + modeBlank, nil
}

// connect returns nil if something accepts connections at addr.
func connect(ctx context.Context, addr string) error {
	d := net.Dialer{Timeout: time.Second}
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	return conn.Close()
}

// Renew extends the lease of the fault. It is an error if the fault has healed.
func (l *Lab) Renew(ctx context.Context, u fleet.Undo) error {
	return l.do(ctx, http.MethodPost, "/faults/"+url.PathEscape(u.Fault.ID)+"/renew", nil, nil)
}

// Revert ends the fault. It returns nil once every target accepts connections again, or can be listed, or if the fault or the
// whole lab is gone. The end of a lab leaves what a fault did to locations: that is reverted here then.
func (l *Lab) Revert(ctx context.Context, u fleet.Undo) error {
	data, err := decodeUndo(u)
	if err != nil {
		return err
	}
	if !data.Lab.Alive() {
		return l.mendOrphans(data)
	}
	if data.Lab != l.file.identity {
		return fmt.Errorf("revert fault %s: it was injected into another lab, in %s", u.Fault.ID, data.Dir)
	}
	err = l.do(ctx, http.MethodDelete, "/faults/"+url.PathEscape(u.Fault.ID), nil, nil)
	if errors.Is(err, ErrNoLab) {
		return l.mendOrphans(data)
	}
	if errors.Is(err, errUnknownFault) {
		return nil
	}
	if err := errors.Join(err, data.mended()); err != nil {
		return err
	}
	for _, t := range data.Targets {
		for _, addr := range t.Ports {
			if err := connect(ctx, addr); err != nil {
				return fmt.Errorf("revert fault %s: %s is not back: %w", u.Fault.ID, t.ID, err)
			}
		}
	}
	return nil
}

// Leftovers lists faults that are still in effect, by id. If the lab is gone, there are at most those of locations.
func (l *Lab) Leftovers(ctx context.Context) ([]string, error) {
	faults, err := l.Faults(ctx)
	if errors.Is(err, ErrNoLab) {
		return l.orphans()
	}
	var ids []string
	for _, f := range faults {
		ids = append(ids, f.ID)
	}
	return ids, err
}
