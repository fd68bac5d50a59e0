package store

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"

	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver"
	"go.etcd.io/etcd/server/v3/etcdserver/api/membership"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.uber.org/zap"

	"gwdr/gateway"
)

// ErrMemberLost is wrapped by the error of Open when a member of a cluster is there without its disk, ErrMemberRemoved when it seems that the
// others have taken it out, and ErrOtherMember when the disk is there, but of a store that was alone, of a member at another address, or of
// a member while no cluster is asked for.
var (
	ErrMemberLost    = errors.New("this member of the cluster has lost its store")
	ErrMemberRemoved = errors.New("as that of a member does which the others have removed")
	ErrOtherMember   = errors.New("this store was made for another place")
)

// checkMember finds out how a member joins that has no store. One that was a member before has lost what it promised to remember: as
// the same it would vote twice, and acknowledged changes could be lost. So the others have to take it for a new one first, by Replace.
func (s *Store) checkMember(c *Cluster, config *embed.Config) error {
	if wal.Exist(filepath.Join(config.Dir, "member", "wal")) {
		return nil
	}
	id, _, err := s.readIdentity()
	if err != nil {
		return err
	}
	secrets, err := config.PeerTLSInfo.ClientConfig()
	if err != nil {
		return fmt.Errorf("read certificate: %w", err)
	}
	switch m := memberAt(c.url(c.Name), c.others(), secrets); {
	case m != nil && !m.IsStarted():
		config.ClusterState = embed.ClusterStateFlagExisting
	case id != "", m != nil && len(m.ClientURLs) > 0:
		return fmt.Errorf("%w in %s", ErrMemberLost, config.Dir)
	}
	return nil
}

// checkMembership refuses an etcd that was made for another place: as a member of a cluster, one that was alone would go on to acknowledge
// changes alone; and one that was a member would, alone, wait for the others for ever.
func (s *Store) checkMembership() error {
	config, cluster := s.etcd.Config(), s.etcd.Server.Cluster()
	now := config.AdvertisePeerUrls[0].String()
	made := cluster.Member(s.etcd.Server.MemberID()) // nil: not known before it is ready, as it ended right after it was made
	if made != nil && !slices.Contains(made.PeerURLs, now) {
		at := strings.Join(made.PeerURLs, ", ")
		return fmt.Errorf("%w: the etcd in %s is a member at %s, and not at %s", ErrOtherMember, config.Dir, at, now)
	}
	return nil
}

// memberAt returns what the members at the URLs know about the one at a URL, or nil if none of them answers or knows it.
func memberAt(url string, urls []string, secrets *tls.Config) *membership.Member {
	through := &http.Transport{TLSClientConfig: secrets, DisableKeepAlives: true}
	cluster, err := etcdserver.GetClusterFromRemotePeers(zap.NewNop(), urls, through)
	if err != nil {
		return nil
	}
	for _, m := range cluster.Members() {
		if slices.Contains(m.PeerURLs, url) {
			return m
		}
	}
	return nil
}

// Replace has the cluster take the member of the name, whose disk is lost, for a new one, which is then started without a store. The error
// wraps gateway.ErrNotFound if there is no such member, gateway.ErrConflict if it answers, and ErrNoQuorum if too few others do, or not
// for long enough yet.
func (s *Store) Replace(ctx context.Context, name string) error {
	if err := s.replace(ctx, name); err != nil {
		return fmt.Errorf("replace member %s: %w", name, err)
	}
	return nil
}

func (s *Store) replace(ctx context.Context, name string) error {
	if s.cluster == nil || s.cluster.Members[name] == "" {
		return gateway.ErrNotFound
	}
	config, url := s.etcd.Config(), s.cluster.url(name)
	secrets, err := config.PeerTLSInfo.ClientConfig()
	if err != nil {
		return fmt.Errorf("read certificate: %w", err)
	}
	if memberAt(url, []string{url}, secrets) != nil {
		return fmt.Errorf("%w: it answers, so that its disk is not lost", gateway.ErrConflict)
	}
	ctx, cancel := context.WithTimeout(ctx, bulkWithin)
	defer cancel()
	list, err := s.kv.MemberList(ctx)
	if err != nil {
		return unanswered(err)
	}
	for _, m := range list.Members {
		if m.Name != name && !slices.Contains(m.PeerURLs, url) {
			continue
		}
		if m.Name == "" { // it is taken for a new one already
			return nil
		}
		if _, err := s.kv.MemberRemove(ctx, m.ID); err != nil {
			return unanswered(err)
		}
	}
	_, err = s.kv.MemberAdd(ctx, []string{url})
	return unanswered(err)
}
