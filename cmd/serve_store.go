package cmd

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gwdr/gateway/store"
)

// storePlace says where the control plane's store lies, if not in an etcd of its own.
type storePlace struct {
	etcd, members             []string // values of --etcd and --cluster
	prefix                    string
	etcdCA, etcdCert, etcdKey string
	user, passwordFile        string
	cluster                   store.Cluster // but name and members
}

func (p *storePlace) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringSliceVar(&p.etcd, "etcd", nil, "keep the store in the etcd (3.4 or later) at these `URLs` instead of an embedded one")
	f.StringVar(&p.prefix, "etcd-prefix", "", "`prefix` of all keys in --etcd, so that several gateways can share it; keys begin with /gwdr/ without one")
	f.StringVar(&p.etcdCA, "etcd-ca", "", "`file` with the certificates that --etcd is trusted by (PEM; default the system's)")
	f.StringVar(&p.etcdCert, "etcd-cert", "", "`file` with the certificate that --etcd is shown (PEM)")
	f.StringVar(&p.etcdKey, "etcd-key", "", "`file` with the certificate's key (PEM)")
	f.StringVar(&p.user, "etcd-user", "", "`name` of the user of --etcd")
	f.StringVar(&p.passwordFile, "etcd-password-file", "", "`file` with the user's password")
	f.StringSliceVar(&p.members, "cluster", nil, "with --replication sync: `NAME=URL` of each member, of which this is the one that --region names")
	f.StringVar(&p.cluster.CA, "cluster-ca", "", "`file` with the certificates that members are trusted by (PEM)")
	f.StringVar(&p.cluster.Cert, "cluster-cert", "", "`file` with this member's certificate, for servers and clients (PEM)")
	f.StringVar(&p.cluster.Key, "cluster-key", "", "`file` with the certificate's key (PEM)")
	f.DurationVar(&p.cluster.Election, "cluster-election", time.Second, "how `long` a leading member may be silent: ten round trips between regions")
}

// checkStore refuses what does not go together.
func (o *serveOptions) checkStore() error {
	p := &o.place
	switch elsewhere, clustered := len(p.etcd) > 0, len(p.members) > 0; {
	case !elsewhere && (p.prefix+p.etcdCA+p.etcdCert+p.etcdKey+p.user+p.passwordFile) != "":
		return errors.New("--etcd-prefix, --etcd-ca, --etcd-cert, --etcd-key, --etcd-user and --etcd-password-file are for --etcd")
	case !clustered && (p.cluster.CA+p.cluster.Cert+p.cluster.Key) != "":
		return errors.New("--cluster-ca, --cluster-cert and --cluster-key are for --cluster")
	case !elsewhere && !clustered && o.replication == replicationSync:
		return errors.New("--replication sync needs --cluster, or an etcd over several regions by --etcd")
	case !elsewhere && !clustered:
		return nil
	case elsewhere && clustered:
		return errors.New("--etcd and --cluster do not go together")
	case o.role == roleData || len(o.backup.from) > 0:
		return errors.New("--etcd and --cluster are for control planes, and do not go with --from-backup")
	case o.replication == replicationAsync:
		return errors.New("--replication async copies between stores of their own: it does not go with --etcd and --cluster")
	case clustered && o.replication != replicationSync:
		return errors.New("--cluster needs --replication sync")
	case clustered:
		return p.checkCluster(o.region)
	}
	return p.checkEtcd()
}

func (p *storePlace) checkEtcd() error {
	for _, text := range p.etcd {
		if !isBaseURL(text) {
			return fmt.Errorf("--etcd %q is not of the form https://host:port", text)
		}
		if u, err := url.Parse(text); err == nil && u.Scheme == "http" && p.user != "" && !isLoopback(u.Host) {
			return fmt.Errorf("--etcd %s is on another machine: --etcd-user needs https", text)
		}
	}
	if (p.etcdCert == "") != (p.etcdKey == "") {
		return errors.New("--etcd-cert and --etcd-key go together")
	}
	if (p.user == "") != (p.passwordFile == "") {
		return errors.New("--etcd-user and --etcd-password-file go together")
	}
	return nil
}

// checkCluster reads --cluster.
func (p *storePlace) checkCluster(region string) error {
	p.cluster.Name, p.cluster.Members = region, map[string]string{}
	for _, member := range p.members {
		name, url, named := strings.Cut(member, "=")
		if !named || name == "" || p.cluster.Members[name] != "" {
			return fmt.Errorf("--cluster %q is not of the form NAME=https://host:port, with another name for each", member)
		}
		p.cluster.Members[name] = url
	}
	if region == "" {
		return errors.New("--cluster needs --region, the name of the member that this is")
	}
	if err := p.cluster.Validate(); err != nil {
		return fmt.Errorf("--cluster: %w", err)
	}
	return nil
}

// apply says in o where the store lies.
func (p *storePlace) apply(o *store.Options) (err error) {
	if len(p.members) > 0 {
		o.Cluster = &p.cluster
	}
	if len(p.etcd) > 0 {
		o.Etcd = &store.Etcd{Endpoints: p.etcd, Prefix: p.prefix, User: p.user}
		if o.Etcd.TLS, err = p.secrets(); err != nil {
			return err
		}
	}
	if p.passwordFile == "" {
		return nil
	}
	password, err := os.ReadFile(p.passwordFile)
	if err != nil {
		return fmt.Errorf("read etcd's password: %w", err)
	}
	o.Etcd.Password = strings.TrimSpace(string(password))
	return nil
}

// secrets returns what etcd is spoken to with over TLS.
func (p *storePlace) secrets() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if p.etcdCA != "" {
		pem, err := os.ReadFile(p.etcdCA)
		if err != nil {
			return nil, fmt.Errorf("read etcd's authority: %w", err)
		}
		if c.RootCAs = x509.NewCertPool(); !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, usageError(fmt.Errorf("read etcd's authority: %s holds no certificate", p.etcdCA))
		}
	}
	if p.etcdCert != "" {
		pair, err := tls.LoadX509KeyPair(p.etcdCert, p.etcdKey)
		if err != nil {
			return nil, fmt.Errorf("read the certificate for etcd: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}
