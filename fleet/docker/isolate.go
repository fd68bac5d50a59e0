package docker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"gwdr/fleet"
)

// refuseIsolate refuses a container that could not be connected again as it is.
func refuseIsolate(_ *Fleet, _ fleet.Fault, c container, t *target) error {
	mode := c.HostConfig.NetworkMode
	switch {
	case mode == "host", mode == "none", strings.HasPrefix(mode, "container:"), len(t.Networks) == 0:
		return fmt.Errorf("it has no network of its own (%s): %w", mode, fleet.ErrUnsupported)
	}
	for name, e := range c.NetworkSettings.Networks {
		if e.IPAddress == "" {
			return fmt.Errorf("it has no address in network %s: %w", name, fleet.ErrUnsupported)
		}
		if !slices.Contains(t.Pinned, e.NetworkID) {
			return fmt.Errorf("it could get another address: the engine gives a certain one only in a network that was created with a subnet, and %s looks as if it was not: %w",
				name, fleet.ErrUnsupported)
		}
	}
	return refuseChance(c)
}

func (f *Fleet) disconnect(ctx context.Context, t target) error {
	for _, id := range slices.Sorted(maps.Keys(t.Networks)) {
		if err := f.detach(ctx, t, id); err != nil {
			return err
		}
	}
	return nil
}

func (f *Fleet) detach(ctx context.Context, t target, networkID string) error {
	body := map[string]any{"Container": t.ID, "Force": true}
	if err := f.engine.call(ctx, http.MethodPost, "/networks/"+url.PathEscape(networkID)+"/disconnect", body, nil); err != nil {
		return fmt.Errorf("disconnect %s: %w", t.Name, err)
	}
	return nil
}

// reconnect connects the container again as it was.
func (f *Fleet) reconnect(ctx context.Context, t target) error {
	c, err := f.engine.inspect(ctx, t.ID)
	if err != nil {
		return err
	}
	return f.connectAll(ctx, c, t)
}

// connectAll connects the container with each of its networks, unless it is as it was. An address that somebody has asked
// for it gets, or there is an error. One that the engine had chosen it gets unless another has it by now: nobody was
// promised that one, and the engine itself gives it away when it is started again.
func (f *Fleet) connectAll(ctx context.Context, c container, t target) error {
	for _, id := range slices.Sorted(maps.Keys(t.Networks)) {
		was := t.Networks[id]
		now, there := attached(c, id)
		if there && sameEndpoint(now, was, t.ID) == nil {
			continue
		}
		n, err := f.engine.network(ctx, id)
		if errors.Is(err, errNotFound) {
			return fmt.Errorf("its network %s was removed meanwhile: it stays disconnected until the container is created anew", was.Network)
		} else if err != nil {
			return err
		}
		wish := was.IPAddress
		if who := n.holder(wish, t.ID); !slices.Contains(t.Pinned, id) || who != "" && !was.asked() {
			wish = ""
			f.options.Log.Warn("container has another address than before", "container", t.Name, "network", n.Name, "before", was.IPAddress, "now_of", who)
		}
		if wish == "" && there {
			continue
		}
		if err := f.move(ctx, t, n, wish, there); err != nil {
			return err
		}
	}
	return nil
}

// move connects the container with a network, at the address if there is one; before, it is disconnected if it is there
// already.
func (f *Fleet) move(ctx context.Context, t target, n network, address string, there bool) error {
	if there {
		if err := f.detach(ctx, t, n.ID); err != nil {
			return err
		}
	}
	was := t.Networks[n.ID]
	body := map[string]any{"Links": was.Links, "Aliases": was.names(t.ID), "DriverOpts": was.DriverOpts}
	if address != "" {
		ipam := ipamConfig{IPv4Address: address, IPv6Address: was.GlobalIPv6Address}
		if was.IPAMConfig != nil {
			ipam.LinkLocalIPs = was.IPAMConfig.LinkLocalIPs
		}
		body["IPAMConfig"] = ipam
	}
	err := f.engine.call(ctx, http.MethodPost, "/networks/"+url.PathEscape(n.ID)+"/connect", map[string]any{"Container": t.ID, "EndpointConfig": body}, nil)
	if err == nil {
		return nil
	}
	if who := n.holder(address, t.ID); who != "" {
		return fmt.Errorf("connect with network %s at %s, which container %s has by now: %w", n.Name, address, who, err)
	}
	return fmt.Errorf("connect with network %s at %s: %w", n.Name, address, err)
}

// attached returns the container's endpoint in a network.
func attached(c container, networkID string) (endpoint, bool) {
	for _, e := range c.NetworkSettings.Networks {
		if e.NetworkID == networkID && (e.IPAddress != "" || !c.State.Running) {
			return e, true
		}
	}
	return endpoint{}, false
}

// asked reports whether somebody has asked for the endpoint's address.
func (e endpoint) asked() bool {
	return e.IPAMConfig != nil && (e.IPAMConfig.IPv4Address != "" || e.IPAMConfig.IPv6Address != "")
}

func sameAddress(a, b endpoint) bool {
	return a.IPAddress == b.IPAddress && a.GlobalIPv6Address == b.GlobalIPv6Address
}

// sameEndpoint says how an endpoint is not as it was.
func sameEndpoint(now, was endpoint, id string) error {
	if !sameAddress(now, was) {
		return fmt.Errorf("its address is %s, it was %s", strings.TrimSpace(now.IPAddress+" "+now.GlobalIPv6Address), strings.TrimSpace(was.IPAddress+" "+was.GlobalIPv6Address))
	}
	return sameNames(now, was, id)
}

func sameNames(now, was endpoint, id string) error {
	switch {
	case !slices.Equal(now.names(id), was.names(id)):
		return fmt.Errorf("its aliases are %v, they were %v", now.names(id), was.names(id))
	case !slices.Equal(now.Links, was.Links):
		return fmt.Errorf("its links are %v, they were %v", now.Links, was.Links)
	case !maps.Equal(now.DriverOpts, was.DriverOpts):
		return fmt.Errorf("its driver options are %v, they were %v", now.DriverOpts, was.DriverOpts)
	}
	return nil
}

// isConnected says how the container is not connected as it was, but for addresses that the engine had chosen.
func isConnected(c container, t target) error {
	for _, id := range slices.Sorted(maps.Keys(t.Networks)) {
		was := t.Networks[id]
		now, ok := attached(c, id)
		if !ok {
			return fmt.Errorf("it is not in network %s, in which it was %s", was.Network, was.IPAddress)
		}
		same := sameNames
		if was.asked() {
			same = sameEndpoint
		}
		if err := same(now, was, t.ID); err != nil {
			return err
		}
	}
	return nil
}

// sameNetworks says how the container is not connected as it was.
func sameNetworks(c container, t target) error {
	for _, id := range slices.Sorted(maps.Keys(t.Networks)) {
		now, ok := attached(c, id)
		if !ok {
			return fmt.Errorf("it is not in network %s, in which it was %s", t.Networks[id].Network, t.Networks[id].IPAddress)
		}
		if err := sameEndpoint(now, t.Networks[id], t.ID); err != nil {
			return err
		}
	}
	return nil
}

func isAlone(c container, _ target) error {
	switch {
	case len(c.NetworkSettings.Networks) > 0:
		return fmt.Errorf("it is still in %s", strings.Join(slices.Sorted(maps.Keys(c.NetworkSettings.Networks)), ", "))
	case !c.State.Running:
		return errors.New("it does not run")
	}
	return nil
}

// lookAlone asks the networks, which are other objects of the engine than the container, and the container itself.
func (f *Fleet) lookAlone(ctx context.Context, t target) (string, error) {
	for id := range t.Networks {
		n, err := f.engine.network(ctx, id)
		if err != nil && !errors.Is(err, errNotFound) {
			return "", err
		}
		if _, ok := n.Containers[t.ID]; ok {
			return "", fmt.Errorf("network %s says that it is in it", n.Name)
		}
	}
	silent, err := f.lookSilent(ctx, t)
	if len(t.Networks) == 1 {
		return "its network does not know it; " + silent, err
	}
	return fmt.Sprintf("its %d networks do not know it; %s", len(t.Networks), silent), err
}
