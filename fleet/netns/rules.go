package netns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"gwdr/fleet"
)

const (
	patience = 10 * time.Second       // for nft, and for a holder to begin or to end
	leaving  = 2 * time.Second        // for a holder that has lost its file to be gone
	answer   = 500 * time.Millisecond // in which a connection that is not disturbed is there
)

func supported() []fleet.FaultKind {
	return []fleet.FaultKind{fleet.Isolate, fleet.Partition, fleet.Reset, fleet.BlackHole, fleet.Loss}
}

// target describes a namespace, and refuses one in which nobody could see the fault.
func (f *Fleet) target(ctx context.Context, fault fleet.Fault, in fleet.Instance, targets, all []fleet.Instance) (target, error) {
	t := target{Name: in.ID}
	var err error
	if t.Inode, err = inode(in.ID); err != nil {
		return t, err
	}
	peers := fault.With.Peer.Select(all)
	if (fault.With.Peer != fleet.Selector{}) && len(peers) == 0 {
		return t, fmt.Errorf("peer: %w", fleet.ErrNoTarget)
	}
	self, err := address(in.URL)
	if err != nil {
		return t, err
	}
	var candidates []look // none from where gwdr is: whatever answers at the address there need not be the namespace
	if len(peers) == 0 {
		peers = all
	}
	for _, p := range peers {
		to, err := address(p.URL)
		switch {
		case err != nil:
			return t, err
		case has(targets, p.ID):
		case fault.Kind == fleet.Partition:
			candidates = append(candidates, look{From: in.ID, To: to})
		default:
			candidates = append(candidates, look{From: p.ID, To: self})
		}
	}
	for _, l := range candidates {
		if l.works(ctx) {
			t.Looks = append(t.Looks, l)
		}
	}
	if len(t.Looks) == 0 {
		return t, errors.New("no connection works that the fault would disturb: nobody could see it")
	}
	t.Rules, err = rules(fault, in.ID, targets, fault.With.Peer.Select(all))
	return t, err
}

func has(all []fleet.Instance, id string) bool {
	return len(fleet.Selector{Instance: id}.Select(all)) > 0
}

// works reports whether a connection is there: one that a busy machine made wait is tried again.
func (l look) works(ctx context.Context) bool {
	for range 3 {
		if l.try(ctx) == nil {
			return true
		}
	}
	return false
}

// try connects.
func (l look) try(ctx context.Context) error {
	return within(l.From, func() error {
		c, err := (&net.Dialer{Timeout: answer}).DialContext(ctx, "tcp", l.To.String())
		if err != nil {
			return err
		}
		return c.Close()
	})
}

// rules returns the rules of the three chains, which are there already.
func rules(fault fleet.Fault, self string, targets, peers []fleet.Instance) ([]string, error) {
	var all []string
	among, err := addresses(targets, self)
	if err != nil {
		return nil, err
	}
	to, err := addresses(peers, "")
	if err != nil {
		return nil, err
	}
	for _, side := range []struct{ chain, lo, peer string }{{"in", "iif lo", "saddr"}, {"out", "oif lo", "daddr"}, {"through", "", "saddr"}, {"through", "", "daddr"}} {
		add := func(match, verdict string) {
			all = append(all, strings.Join([]string{side.chain, match, verdict}, " "))
		}
		if side.lo != "" {
			add(side.lo, "accept")
		}
		if fault.Kind == fleet.Isolate {
			for _, a := range among {
				add(family(a)+" "+side.peer+" "+a.String(), "accept")
			}
		}
		matches := []string{""}
		if len(to) > 0 {
			matches = nil
			for _, a := range to {
				matches = append(matches, family(a)+" "+side.peer+" "+a.String())
			}
		}
		for _, match := range matches {
			switch {
			case fault.Kind == fleet.Partition && side.peer == "daddr", fault.Kind == fleet.Isolate, fault.Kind == fleet.BlackHole:
				add(match, "counter drop")
			case fault.Kind == fleet.Loss && (match != "" || side.peer == "daddr" || side.chain == "in"):
				add(match, fmt.Sprintf("numgen random mod 1000 < %d counter drop", int(fault.With.Share*1000+0.5)))
			case fault.Kind == fleet.Reset:
				add(match+" tcp flags & rst == rst", "accept") // our own resets pass
				add(match+" meta l4proto tcp", "counter reject with tcp reset")
			}
		}
	}
	return all, nil
}

func family(a netip.Addr) string {
	if a.Is4() {
		return "ip"
	}
	return "ip6"
}

// addresses lists where the instances but one are.
func addresses(all []fleet.Instance, but string) (out []netip.Addr, err error) {
	for _, in := range all {
		if in.ID == but {
			continue
		}
		err := within(in.ID, func() error {
			found, err := net.InterfaceAddrs()
			for _, a := range found {
				if p, err := netip.ParsePrefix(a.String()); err == nil && !p.Addr().IsLoopback() && !p.Addr().IsLinkLocalUnicast() {
					out = append(out, p.Addr())
				}
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}
