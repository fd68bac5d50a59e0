package docker

import (
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// listed is a container in the engine's list.
type listed struct {
	ID     string `json:"Id"`
	Names  []string
	State  string
	Labels map[string]string
}

// name returns the container's own name: those with another slash are what containers that link to it call it.
func (l listed) name() string {
	for _, n := range l.Names {
		if n = strings.TrimPrefix(n, "/"); !strings.Contains(n, "/") {
			return n
		}
	}
	return l.ID
}

// container is what the engine says of one.
type container struct {
	ID     string `json:"Id"`
	Name   string
	State  state
	Config struct {
		Labels       map[string]string
		ExposedPorts map[string]struct{}
		StopTimeout  *int // seconds
	}
	HostConfig struct {
		NetworkMode   string
		AutoRemove    bool
		RestartPolicy restartPolicy
		PortBindings  map[string][]binding
		cpuLimit
	}
	NetworkSettings struct {
		Networks map[string]endpoint
		Ports    map[string][]binding
	}
}

type state struct {
	Status  string
	Running bool // also when it is paused
	Paused  bool
	// Restarting says that the engine is about to start it again, after it ended by itself.
	Restarting bool
	StartedAt  string
	ExitCode   int // of the process that ended last
}

type restartPolicy struct {
	Name              string
	MaximumRetryCount int
}

// normal spells out the policy that is meant by none.
func (p restartPolicy) normal() restartPolicy {
	if p.Name == "" {
		p.Name = "no"
	}
	return p
}

type binding struct {
	HostIP   string `json:"HostIp"`
	HostPort string
}

// cpuLimit is how much CPU a container may use: either so many billionths of one, or Quota in each Period, in microseconds.
// Nothing, or less, is no limit.
type cpuLimit struct {
	NanoCPUs int64 `json:"NanoCpus,omitempty"`
	Quota    int64 `json:"CpuQuota,omitempty"`
	Period   int64 `json:"CpuPeriod,omitempty"`
}

// defaultPeriod is the kernel's, in microseconds.
const defaultPeriod = 100_000

// cpus returns the limit in CPUs; 0 is none.
func (l cpuLimit) cpus() float64 {
	switch {
	case l.NanoCPUs > 0:
		return float64(l.NanoCPUs) / 1e9
	case l.Quota > 0 && l.Period > 0:
		return float64(l.Quota) / float64(l.Period)
	case l.Quota > 0:
		return float64(l.Quota) / defaultPeriod
	}
	return 0
}

// endpoint is a container's place in a network.
type endpoint struct {
	Network           string `json:",omitempty"` // its name, which the engine says elsewhere
	NetworkID         string
	IPAMConfig        *ipamConfig `json:",omitempty"`
	Links             []string
	Aliases           []string
	DriverOpts        map[string]string
	IPAddress         string
	GlobalIPv6Address string
}

type ipamConfig struct {
	IPv4Address  string   `json:",omitempty"`
	IPv6Address  string   `json:",omitempty"`
	LinkLocalIPs []string `json:",omitempty"`
}

// names returns the aliases that somebody gave: the engine adds the beginning of the container's id by itself.
func (e endpoint) names(id string) []string {
	var own []string
	for _, a := range e.Aliases {
		if !strings.HasPrefix(id, a) {
			own = append(own, a)
		}
	}
	slices.Sort(own)
	return slices.Compact(own)
}

// network is what the engine says of one.
type network struct {
	ID     string `json:"Id"`
	Name   string
	Driver string
	IPAM   struct {
		Config []struct{ Subnet, Gateway string }
	}
	Containers map[string]struct{ Name, IPv4Address string }
}

// holder returns the name of another container that has the address, or "".
func (n network) holder(address, than string) string {
	for id, c := range n.Containers {
		if ip, _, _ := strings.Cut(c.IPv4Address, "/"); ip == address && id != than {
			return c.Name
		}
	}
	return ""
}

// builtin are the pools of an engine that was given none.
func builtin() []prefix {
	pools := []prefix{{netip.MustParsePrefix("192.168.0.0/16"), 20}}
	for _, base := range []string{"172.17.0.0/16", "172.18.0.0/16", "172.19.0.0/16", "172.20.0.0/14", "172.24.0.0/14", "172.28.0.0/14"} {
		pools = append(pools, prefix{netip.MustParsePrefix(base), 16})
	}
	return pools
}

// chosen reports whether somebody chose the network's subnet. Only there the engine gives a container the address that is
// asked for. It does not say so: a subnet of its own pools with a gateway looks like one that it took itself.
func (n network) chosen(pools []prefix) bool {
	if n.Name == "bridge" || len(n.IPAM.Config) == 0 {
		return false
	}
	if len(pools) == 0 {
		pools = builtin()
	}
	return slices.ContainsFunc(n.IPAM.Config, func(c struct{ Subnet, Gateway string }) bool {
		subnet, err := netip.ParsePrefix(c.Subnet)
		return err == nil && subnet.Addr().Is4() && (c.Gateway == "" || !slices.ContainsFunc(pools, func(p prefix) bool {
			return p.Size == subnet.Bits() && p.Base.Overlaps(subnet)
		}))
	})
}

// doors returns where the container may answer, as host:port: at its own addresses, and where its ports are published.
func (c container) doors() []string {
	var all []string
	for _, port := range slices.Sorted(maps.Keys(c.Config.ExposedPorts)) {
		number, ok := strings.CutSuffix(port, "/tcp")
		for _, name := range slices.Sorted(maps.Keys(c.NetworkSettings.Networks)) {
			if e := c.NetworkSettings.Networks[name]; ok && e.IPAddress != "" {
				all = append(all, net.JoinHostPort(e.IPAddress, number))
			}
		}
	}
	for _, port := range slices.Sorted(maps.Keys(c.NetworkSettings.Ports)) {
		for _, b := range c.NetworkSettings.Ports[port] {
			if ip, err := netip.ParseAddr(b.HostIP); err == nil && ip.IsUnspecified() {
				b.HostIP = "127.0.0.1"
			}
			if strings.HasSuffix(port, "/tcp") && b.HostPort != "" {
				all = append(all, net.JoinHostPort(b.HostIP, b.HostPort))
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
