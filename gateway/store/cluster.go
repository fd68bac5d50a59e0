package store

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
)

// Cluster is a cluster of embedded members, each in a process of its own. What is acknowledged is on the disks of most of them.
type Cluster struct {
	Name          string            // of the member that this is
	Members       map[string]string // by name: the URL at which the others reach it, http or https
	CA, Cert, Key string            // PEM files: who is trusted, and who this member is, as a client and as a server; empty without https
	Election      time.Duration     // how long a leader may be silent; 0: a second
}

// A member that was away for long gets all that there is, and not each change since.
const (
	defaultElection  = time.Second
	clusterSnapshots = 2000 // changes
	clusterCatchUp   = 1000
)

// Validate reports why the cluster cannot be.
func (c *Cluster) Validate() error {
	if c.Members[c.Name] == "" {
		return fmt.Errorf("no member is named %q: there are %s", c.Name, strings.Join(slices.Sorted(maps.Keys(c.Members)), ", "))
	}
	if len(c.Members)%2 == 0 {
		return fmt.Errorf("%d members stand the loss of no more than %d do: name an odd number", len(c.Members), len(c.Members)-1)
	}
	schemes := map[string]bool{}
	for name, text := range c.Members {
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.Port() == "" || strings.Trim(u.Path, "/") != "" {
			return fmt.Errorf("member %s: %q is not of the form https://host:port", name, text)
		}
		if ip := net.ParseIP(u.Hostname()); u.Scheme == "http" && !ip.IsLoopback() {
			return fmt.Errorf("member %s: %s is reachable from other machines: that needs https", name, text)
		}
		schemes[u.Scheme] = true
	}
	if len(schemes) > 1 {
		return errors.New("members are reached by either http or https")
	}
	if schemes["https"] && (c.CA == "" || c.Cert == "" || c.Key == "") {
		return errors.New("members that are reached by https need a CA, a certificate and its key")
	}
	return nil
}

// joins has the embedded etcd be a member of the cluster.
func (s *Store) joins(c *Cluster, config *embed.Config) error {
	if err := c.Validate(); err != nil {
		return fmt.Errorf("join cluster: %w", err)
	}
	own, err := url.Parse(c.url(c.Name))
	if err != nil {
		return fmt.Errorf("join cluster: %w", err)
	}
	config.Name = c.Name
	config.AdvertisePeerUrls, config.ListenPeerUrls = []url.URL{*own}, []url.URL{listenAt(*own)}
	var members []string
	for _, name := range slices.Sorted(maps.Keys(c.Members)) {
		members = append(members, name+"="+c.url(name))
	}
	config.InitialCluster = strings.Join(members, ",")
	tls := &config.PeerTLSInfo
	tls.TrustedCAFile, tls.CertFile, tls.KeyFile, tls.ClientCertAuth = c.CA, c.Cert, c.Key, c.CA != ""
	if err := s.checkMember(c, config); err != nil {
		return fmt.Errorf("join cluster: %w", err)
	}
	s.cluster = c
	election := c.Election
	if election == 0 {
		election = defaultElection
	}
	config.ElectionMs, config.TickMs = uint(election.Milliseconds()), uint(election.Milliseconds()/10)
	config.SnapshotCount, config.SnapshotCatchUpEntries = clusterSnapshots, clusterCatchUp
	return nil
}

// url returns the URL of a member as etcd writes it.
func (c *Cluster) url(name string) string { return strings.TrimSuffix(c.Members[name], "/") }

// others returns the URLs of the other members.
func (c *Cluster) others() (urls []string) {
	for name := range c.Members {
		if name != c.Name {
			urls = append(urls, c.url(name))
		}
	}
	return urls
}

// listenAt returns the address of a member, or all addresses where it is given by name.
func listenAt(u url.URL) url.URL {
	if net.ParseIP(u.Hostname()) == nil {
		u.Host = net.JoinHostPort("0.0.0.0", u.Port())
	}
	return u
}
