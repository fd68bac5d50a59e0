// Package netns is a fleet of network namespaces of this machine, whatever runs in them. Faults are rules of nftables, in
// tables with the owner flag: a holder process in the namespace owns them, and when it ends, the kernel takes them away.
package netns

import (
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
	Region string     `mapstructure:"region"`
	Role   fleet.Role `mapstructure:"role"` // none is data
	URL    string     `mapstructure:"url"`  // where the others reach its server: http://ADDRESS:PORT
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

// Open checks the namespaces. It refuses whoever is not root, and the initial namespace by whatever name.
func Open(o Options) (*Fleet, error) {
	nft, err := exec.LookPath("nft")
	switch {
	case os.Geteuid() != 0:
		return nil, errors.New("open netns fleet: only root may enter network namespaces")
	case err != nil:
		return nil, fmt.Errorf("open netns fleet: it needs the command nft (Debian package nftables): %w", err)
	case len(o.Namespaces) == 0:
		return nil, errors.New("open netns fleet: it has no namespaces")
	}
	for name, n := range o.Namespaces {
		if _, err := address(n.URL); err != nil {
			return nil, fmt.Errorf("open netns fleet: namespace %s: %w", name, err)
		}
		if _, err := inode(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("open netns fleet: %w", err)
		}
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
		return fmt.Errorf("inject fault %s: %w", u.Fault.ID, errNotAllowed)
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
		now := time.Now()
		err := os.Chtimes(data.file(t), now, now)
		if err == nil && !f.broken(ctx, u, data, t) {
			err = errors.New("its table is gone")
		}
		if err != nil {
			return fmt.Errorf("renew fault %s: %s: %w", u.Fault.ID, t.Name, err)
		}
	}
	return nil
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
		if err == nil && f.broken(ctx, u, data, t) {
			err = errors.New("its table is still there")
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("revert fault %s: %s: %w", u.Fault.ID, t.Name, err))
		}
	}
	return errors.Join(failed...)
}

// Leftovers scans the namespaces for tables of ours.
func (f *Fleet) Leftovers(ctx context.Context) ([]string, error) {
	ids := map[string]bool{}
	for name := range f.options.Namespaces {
		tables, err := f.list(ctx, name, "tables", "inet")
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("look for faults: %w", err)
		}
		for line := range strings.Lines(tables) {
			if id, ours := strings.CutPrefix(strings.TrimSpace(line), "table inet "+prefix); ours {
				ids[id] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(ids)), nil
}

// broken reports whether the target's table of this preparation is there. Another namespace of the same name has none.
func (f *Fleet) broken(ctx context.Context, u fleet.Undo, data undoData, t target) bool {
	text, err := f.list(ctx, t.Name, "table", "inet", prefix+u.Fault.ID)
	return err == nil && strings.Contains(text, "chain "+data.Nonce)
}

// list runs nft list in the namespace.
func (f *Fleet) list(ctx context.Context, name string, what ...string) (text string, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err = within(name, func() error {
		out, err := exec.CommandContext(ctx, f.nft, append([]string{"list"}, what...)...).Output()
		text = string(out)
		return err
	})
	return text, err
}

// path of a namespace that ip netns made.
func path(name string) string { return filepath.Join("/run/netns", name) }

// Reopen opens the namespaces that the undo record was made in.
func Reopen(u fleet.Undo, holder []string, log *slog.Logger) (*Fleet, error) {
	data, err := read(u)
	if err != nil {
		return nil, err
	}
	return Open(Options{Namespaces: data.Namespaces, Allow: true, State: data.State, Holder: holder, Log: log})
}
