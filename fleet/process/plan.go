package process

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"gwdr/fleet"
	"gwdr/fleet/link"
)

// Processes of the lab that are no instance of the gateway.
const (
	supervisorID = "supervisor"
	edgeID       = "edge"
	echoID       = "echo"
	linksID      = "links"

	roleLinks fleet.Role = "links"
)

// program is one child process: what it is and how it is started, the same way each time.
type program struct {
	fleet.Instance          // ID, Region, Role, URL, AdminURL
	Args           []string // after the executable
	Listen         string   // host:port of its data plane, or ""
	Member         string   // host:port at which the other members of its store reach it, or ""
	Admin          string   // host:port of its admin API, or ""
	Started        string   // URL that answers 200 once it serves
	Ready          string   // URL that answers 200 once it does its work; it may need a configuration first
}

// ports returns the addresses that the program listens on.
func (p program) ports() []string {
	return slices.DeleteFunc([]string{p.Listen, p.Member, p.Admin}, func(addr string) bool { return addr == "" })
}

// plan is the whole lab: which processes, with which arguments, on which ports, over which links.
type plan struct {
	topology Topology
	dir      layout
	programs []program
	links    linksFile
	echo     echoFile
	members  map[string]string // host:port of each region's member of the one store, if there is one
	endpoints

	take func() (string, error)
	err  error // the first of take
}

// endpoints are the addresses that users of the lab need.
type endpoints struct {
	Edge     string            `json:"edge"`
	Echo     string            `json:"echo"`
	LinksURL string            `json:"links_url"`
	Controls map[string]string `json:"controls"` // URL of each region's control plane, directly
	Links    map[string]string `json:"links"`    // host:port of each link, by id
	Ends     map[string]ends   `json:"ends"`     // of each link between the lab's processes, by id
}

// ends are what a link connects.
type ends struct {
	From string `json:"from,omitempty"` // id of the process that connects; empty is all data instances
	To   string `json:"to"`             // id of the process that it connects to
	Addr string `json:"addr"`           // host:port of that, directly
}

// newPlan lays the lab out on ports from take.
func newPlan(dir layout, t Topology, take func() (string, error)) (*plan, error) {
	p := &plan{topology: t, dir: dir, take: take}
	p.Controls, p.endpoints.Links, p.Ends = map[string]string{}, map[string]string{}, map[string]ends{}
	p.addLinks()
	p.addEcho()
	admin := make(map[string]string, len(t.Regions))
	for _, r := range t.Regions {
		admin[r.Name] = p.port()
		p.Controls[r.Name] = "http://" + admin[r.Name]
	}
	p.addMembers()
	for i, r := range t.Regions {
		p.addControl(r.Name, i == 0, admin)
		p.between(edgeID, controlID(r.Name), admin[r.Name])
	}
	for _, r := range t.Regions {
		for n := 1; n <= r.Instances; n++ {
			p.addData(r.Name, dataID(r.Name, n))
		}
	}
	p.addEdge()
	for _, l := range t.Links {
		p.link(l.ID, l.To)
	}
	if p.err != nil {
		return nil, p.err
	}
	return p, nil
}

func controlID(region string) string     { return region + "-control" }
func dataID(region string, n int) string { return region + "-" + strconv.Itoa(n) }
func edgeTo(id string) string            { return linkID(edgeID, id) }
func linkID(from, to string) string      { return from + "--" + to }

func (p *plan) port() string {
	addr, err := p.take()
	if err != nil && p.err == nil {
		p.err = err
	}
	return addr
}

// link adds a link and returns its address.
func (p *plan) link(id, to string) string {
	addr := p.port()
	p.links.Links = append(p.links.Links, link.Spec{ID: id, Listen: addr, To: to})
	p.endpoints.Links[id] = addr
	return addr
}

// between adds a link between two processes and returns its address.
func (p *plan) between(from, to, addr string) string {
	id := linkID(cmp.Or(from, "gateways"), to)
	p.Ends[id] = ends{from, to, addr}
	return p.link(id, addr)
}

func (p *plan) addLinks() {
	addr := p.port()
	p.links.Listen = addr
	p.LinksURL = "http://" + addr
	p.add(program{
		Instance: fleet.Instance{ID: linksID, Role: roleLinks, AdminURL: p.LinksURL}, Admin: addr,
		Args:    []string{"lab", "links", "--file", p.dir.links(), "--exit-on-stdin-eof"},
		Started: p.LinksURL + "/ready", Ready: p.LinksURL + "/ready",
	})
}

// addEcho adds the upstream. All data instances share one link to it, as they share the configuration that names it.
func (p *plan) addEcho() {
	addr := p.port()
	p.Echo, p.echo.Listen = "http://"+addr, addr
	p.add(program{
		Instance: fleet.Instance{
			ID: echoID, Role: fleet.Upstream, URL: "http://" + p.between("", echoID, addr), AdminURL: p.Echo + "/.gwdr",
		},
		Admin:   addr,
		Args:    []string{"lab", "echo", "--file", p.dir.echo(), "--exit-on-stdin-eof"},
		Started: p.Echo + echoReady, Ready: p.Echo + echoReady,
	})
}

// addMembers gives each region's control plane an address for the other members of the store.
func (p *plan) addMembers() {
	p.members = map[string]string{}
	if p.topology.Replication != ReplicationSync {
		return
	}
	for _, r := range p.topology.Regions {
		p.members[r.Name] = p.port()
	}
}

// cluster returns the value of --cluster: who the members of the store are, and where they reach each other.
func (p *plan) cluster() string {
	var members []string
	for _, r := range p.topology.Regions {
		members = append(members, r.Name+"=http://"+p.members[r.Name])
	}
	return strings.Join(members, ",")
}

// addControl adds a region's control plane. Its peers are those of the other regions: over links, but for the members of one store,
// which all know each other by the same addresses.
func (p *plan) addControl(region string, leader bool, admin map[string]string) {
	id := controlID(region)
	args := append(p.serve(fleet.Control, id, region, admin[region]), "--replication", p.topology.Replication)
	switch p.topology.Replication {
	case ReplicationSync:
		args = append(args, "--cluster", p.cluster())
	case ReplicationAsync:
		for _, other := range p.topology.Regions {
			if other.Name != region {
				args = append(args, "--peer", "http://"+p.between(id, controlID(other.Name), admin[other.Name]))
			}
		}
		if leader {
			args = append(args, "--leader")
		}
	}
	url := p.Controls[region]
	p.add(program{
		Instance: fleet.Instance{ID: id, Region: region, Role: fleet.Control, AdminURL: url},
		Args:     args, Member: p.members[region], Admin: admin[region], Started: url + "/ready", Ready: url + "/ready",
	})
}

// addData adds a data instance, which follows its region's control plane, over a link.
func (p *plan) addData(region, id string) {
	listen, admin := p.port(), p.port()
	through := p.between(edgeID, id, listen)
	control := controlID(region)
	follows := p.between(id, control, strings.TrimPrefix(p.Controls[region], "http://"))
	args := append(p.serve(fleet.Data, id, region, admin), "--listen", listen, "--control", "http://"+follows,
		"--clock-file", p.dir.clock(id))
	p.add(program{
		Instance: fleet.Instance{
			ID: id, Region: region, Role: fleet.Data, URL: "http://" + through, AdminURL: "http://" + admin,
		},
		Args: args, Listen: listen, Admin: admin,
		Started: "http://" + admin + "/health", Ready: "http://" + admin + "/ready",
	})
}

// addEdge adds the edge: an ordinary data plane that has its configuration on disk and follows nobody.
func (p *plan) addEdge() {
	listen, admin := p.port(), p.port()
	p.Edge = "http://" + listen
	p.add(program{
		Instance: fleet.Instance{ID: edgeID, Role: fleet.Edge, URL: p.Edge, AdminURL: "http://" + admin},
		Args:     append(p.serve(fleet.Data, edgeID, "", admin), "--listen", listen), Listen: listen, Admin: admin,
		Started: "http://" + admin + "/ready", Ready: "http://" + admin + "/ready",
	})
}

// serve returns the arguments that every gateway process gets.
func (p *plan) serve(role fleet.Role, id, region, admin string) []string {
	args := []string{
		"serve", "--role", string(role), "--data", p.dir.node(id), "--admin", admin, "--token-file", p.dir.tokens(),
		"--control-token-file", p.dir.replicaToken(), "--instance", id, "--exit-on-stdin-eof", "--drain", "1s",
	}
	if region != "" {
		args = append(args, "--region", region)
	}
	return args
}

func (p *plan) add(prog program) { p.programs = append(p.programs, prog) }
