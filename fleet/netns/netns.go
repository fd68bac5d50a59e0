// Package netns is a fleet of network namespaces of this machine, whatever runs in them. Faults are rules of nftables, in
// tables with the owner flag: a holder process in the namespace owns them, and when it ends, the kernel takes them away.
package netns

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gwdr/fleet"
)

// Driver is the name of this driver in undo records and in gwdr.yaml.
const Driver = "netns"

// Namespace is one opted-in network namespace.
type Namespace struct {
	Region string     `json:"region,omitempty"`
	Role   fleet.Role `json:"role,omitempty"` // none is data
	URL    string     `json:"url"`            // where the others reach its server: http://ADDRESS:PORT
}

// Options say which namespaces are meant.
type Options struct {
	Namespaces map[string]Namespace // by their names, as of ip netns
	Allow      bool                 // they may be broken
	State      string               // where holders keep their files
	Holder     []string             // command of a process that calls Hold
	Log        *slog.Logger
}

// Fleet is network namespaces that somebody opted in.
type Fleet struct {
	options Options
	nft     string
}

var _ fleet.Fleet = (*Fleet)(nil)

// Check says what of the namespaces cannot be used, whatever the machine is like.
func (o Options) Check() error {
	for name, n := range o.Namespaces {
		if !namePattern.MatchString(name) {
			return fmt.Errorf("namespaces: %q cannot be the name of one", name)
		}
		if _, err := address(n.URL); err != nil {
			return fmt.Errorf("namespaces: %s: %w", name, err)
		}
		if roles := []fleet.Role{"", fleet.Control, fleet.Data, fleet.Edge, fleet.Upstream, fleet.Location}; !slices.Contains(roles, n.Role) {
			return fmt.Errorf("namespaces: %s: role %q is none of %v", name, n.Role, roles[1:])
		}
	}
	return nil
}

// Open finds nft and looks at the namespaces. It refuses whoever is not root, and the namespaces of the machine and of gwdr by
// whatever name.
func Open(o Options) (*Fleet, error) {
	f, err := reach(o)
	if err == nil {
		err = o.Check()
	}
	if err != nil {
		return nil, fmt.Errorf("open netns fleet: %w", err)
	}
	for name := range o.Namespaces {
		if err := within(name, func() error { return nil }); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("open netns fleet: %w", err)
		}
	}
	return f, nil
}

func reach(o Options) (*Fleet, error) {
	nft, err := exec.LookPath("nft")
	switch {
	case os.Geteuid() != 0:
		return nil, errors.New("only root may enter network namespaces")
	case err != nil:
		return nil, fmt.Errorf("it needs the command nft (package nftables): %w", err)
	case len(o.Namespaces) == 0:
		return nil, errors.New("it has no namespaces")
	case !filepath.IsAbs(o.State):
		return nil, errors.New("its directory must be absolute")
	}
	return &Fleet{options: o, nft: nft}, nil
}

// address returns the host and port of a URL. A name is no address: who would resolve it in the namespace?
func address(text string) (netip.AddrPort, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" {
		return netip.AddrPort{}, fmt.Errorf("url %q is not of the form http://ADDRESS:PORT", text)
	}
	a, err := netip.ParseAddrPort(u.Host)
	if err != nil {
		return a, fmt.Errorf("url %q is not of the form http://ADDRESS:PORT", text)
	}
	return a, nil
}

// Instances lists the namespaces by name. One that is not there does not run.
func (f *Fleet) Instances(context.Context) ([]fleet.Instance, error) {
	var all []fleet.Instance
	for _, name := range slices.Sorted(maps.Keys(f.options.Namespaces)) {
		n := f.options.Namespaces[name]
		_, err := inode(name)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("list namespaces: %w", err)
		}
		in := fleet.Instance{ID: name, Region: n.Region, Role: n.Role, Running: err == nil, URL: n.URL}
		if in.Role == "" {
			in.Role = fleet.Data
		}
		all = append(all, in)
	}
	return all, nil
}

// Inject starts a holder in each target and returns when its table is there.
func (f *Fleet) Inject(ctx context.Context, u fleet.Undo) error {
	data, err := read(u)
	if err != nil {
		return err
	}
	if !f.options.Allow {
		return fmt.Errorf("inject fault %s: %w", u.Fault.ID, fleet.ErrNotAllowed)
	}
	for _, t := range data.Targets {
		if err := f.hold(ctx, u, data, t); err != nil {
			return fmt.Errorf("inject fault %s: %s: %w", u.Fault.ID, t.Name, err)
		}
	}
	return nil
}

// Renew extends the lease of each holder. It fails where the kernel has no table of this fault any more.
func (f *Fleet) Renew(ctx context.Context, u fleet.Undo) error {
	data, err := read(u)
	if err != nil {
		return err
	}
	for _, t := range data.Targets {
		if err := f.renew(ctx, u, data, t); err != nil {
			return fmt.Errorf("renew fault %s: %s: %w", u.Fault.ID, t.Name, err)
		}
	}
	return nil
}

func (f *Fleet) renew(ctx context.Context, u fleet.Undo, data undoData, t target) error {
	now := time.Now()
	if err := os.Chtimes(data.file(t), now, now); err != nil {
		return err
	}
	there, err := f.broken(ctx, u, data, t)
	if err == nil && !there {
		err = errors.New("its table is gone")
	}
	return err
}

// Revert ends the holders, also when the namespace has no name any more, and shows that the tables are gone.
func (f *Fleet) Revert(ctx context.Context, u fleet.Undo) error {
	data, err := read(u)
	if err != nil {
		return err
	}
	var failed []error
	for _, t := range data.Targets {
		err := release(data.file(t))
		if err == nil {
			err = f.awaitGone(ctx, u, data, t)
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("revert fault %s: %s: %w", u.Fault.ID, t.Name, err))
		}
	}
	return errors.Join(failed...)
}

// awaitGone returns once the target has no table of the fault. A holder that has lost its file is about to end by itself.
func (f *Fleet) awaitGone(ctx context.Context, u fleet.Undo, data undoData, t target) error {
	for deadline := time.Now().Add(leaving); ; time.Sleep(10 * time.Millisecond) {
		there, err := f.broken(ctx, u, data, t)
		if err != nil || !there {
			return err
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return errors.New("its table is still there")
		}
	}
}

// Leftovers scans the namespaces for tables of ours.
func (f *Fleet) Leftovers(ctx context.Context) ([]string, error) {
	ids := map[string]bool{}
	for name := range f.options.Namespaces {
		tables, err := f.tables(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("look for faults: %w", err)
		}
		for _, table := range tables {
			if id, ours := strings.CutPrefix(table, prefix); ours {
				ids[id] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(ids)), nil
}

// broken reports whether the target's table of this preparation is there. Another namespace of the same name has none. With an
// error nobody knows.
func (f *Fleet) broken(ctx context.Context, u fleet.Undo, data undoData, t target) (bool, error) {
	tables, err := f.tables(ctx, t.Name)
	if err != nil || !slices.Contains(tables, prefix+u.Fault.ID) {
		return false, err
	}
	chains, err := f.run(ctx, t.Name, "list", "chains", "inet")
	return bytes.Contains(chains, []byte("chain "+data.Nonce)), err
}

// tables lists the tables of a namespace, by name; one that is not there has none. It is an error if nft fails, or says what nobody
// understands. (nft -j is not asked: that of nftables 1.0.6 sometimes crashes over a table with an owner.)
func (f *Fleet) tables(ctx context.Context, name string) ([]string, error) {
	text, err := f.run(ctx, name, "list", "tables", "inet")
	if _, gone := inode(name); errors.Is(gone, os.ErrNotExist) { // also if it went meanwhile
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return parseTables(string(text))
}

func parseTables(text string) ([]string, error) {
	var names []string
	for line := range strings.Lines(text) {
		table, ok := strings.CutPrefix(strings.TrimSpace(line), "table inet ")
		if !ok {
			return nil, fmt.Errorf("nft lists %q, which is no table", line)
		}
		name, _, _ := strings.Cut(table, " ")
		names = append(names, name)
	}
	return names, nil
}

// run runs nft in the namespace, and returns what it says.
func (f *Fleet) run(ctx context.Context, name string, args ...string) (out []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err = within(name, func() error {
		var said bytes.Buffer
		cmd := exec.CommandContext(ctx, f.nft, args...)
		cmd.Stderr = &said
		if out, err = cmd.Output(); err != nil {
			return fmt.Errorf("nft %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(said.String()))
		}
		return nil
	})
	return out, err
}

// path of a namespace that ip netns made.
func path(name string) string { return filepath.Join("/run/netns", name) }

// Reopen returns the fleet that the undo record was made by, whatever has become of its namespaces.
func Reopen(u fleet.Undo, holder []string, log *slog.Logger) (*Fleet, error) {
	data, err := read(u)
	if err != nil {
		return nil, err
	}
	return reach(Options{Namespaces: data.Namespaces, Allow: true, State: data.State, Holder: holder, Log: log})
}
