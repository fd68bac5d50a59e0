package store_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"gwdr/gateway"
	"gwdr/gateway/store"
)

// An etcd with its own limits takes as much in more steps; an entity that is too large is refused, and not the connection's fault.
func TestEtcdWithItsOwnLimits(t *testing.T) {
	s := open(t, store.Options{Dir: t.TempDir(), Etcd: &store.Etcd{Endpoints: []string{startEtcd(t)}}})
	for _, size := range []int{2, 50_000} { // too many operations; and too many bytes
		changes := creates(gateway.Key, 300, strings.Repeat("x", size))
		if applied, _, err := s.Apply(t.Context(), changes, gateway.Bulk{}); applied != len(changes) || err != nil {
			t.Errorf("%d of %d, %v", applied, len(changes), err)
		}
	}
	if _, got := state(t, s); got.Len() != 300 {
		t.Errorf("%d entities", got.Len())
	}
	for _, size := range []int{3 << 20, 100 << 20} {
		if _, _, err := s.Put(t.Context(), entity(gateway.Spec, "s", strings.Repeat("x", size)), gateway.Condition{}); !errors.Is(err, store.ErrTooLarge) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

// What docs/admin-api.md says that an etcd is to be told is enough for the largest entity; and one of a version that would not start again
// with it in its log is not given it.
func TestEtcdTakesTheLargestEntity(t *testing.T) {
	t.Run("installed", func(t *testing.T) { t.Log(startsAgain(t)) })
	t.Setenv("PATH", "") // there is none but that of the module
	t.Run("of the module", func(t *testing.T) {
		if err := startsAgain(t); err != nil {
			t.Error(err)
		}
	})
	for version, want := range map[string]bool{"3.4.23": false, "3.5.6": false, "3.5.7": true, "3.6.0": true, "4.0.0-rc.1": true, "": true} {
		if got := store.ReadsLarge(version); got != want {
			t.Errorf("%q: %t", version, got)
		}
	}
}

// startsAgain applies the largest entity, and others, to an etcd, kills it, and checks that it starts again with what it acknowledged. It
// returns why nothing was applied.
func startsAgain(t *testing.T) error {
	etcd := newServer(t, nil, "--max-txn-ops=200000", "--max-request-bytes=83886080")
	s := open(t, store.Options{Dir: t.TempDir(), Etcd: &store.Etcd{Endpoints: []string{etcd.url}}})
	acked := gateway.NewState()
	largest := gateway.Change{Op: gateway.Create, Entity: entity(gateway.Spec, "s", strings.Repeat("x", gateway.MaxBody))}
	changes := append(creates(gateway.Key, 10, "{}"), largest)
	applied, _, refused := s.Apply(t.Context(), changes, gateway.Bulk{})
	if refused == nil {
		for _, c := range changes {
			acked.Apply(c)
		}
	} else if !errors.Is(refused, store.ErrTooLarge) || applied != 0 {
		t.Errorf("%d applied: %v", applied, refused)
	}
	etcd.kill()
	etcd.start()
	until(t, "store answers again", func() bool { return s.Answers(t.Context()) == nil })
	holds(t, s, acked)
	return refused
}

// Whoever is started at another gateway's store is told so: it serves that from now on.
func TestStartedAtAnotherStore(t *testing.T) {
	url, said := startEtcd(t), &bytes.Buffer{}
	at := func(dir, prefix string) store.Options {
		return store.Options{Dir: dir, Etcd: &store.Etcd{Endpoints: []string{url}, Prefix: prefix}}
	}
	moved := at(t.TempDir(), "/a")
	mine, other := open(t, moved), open(t, at(t.TempDir(), "/b"))
	moved.Etcd.Prefix, moved.Log = "/b", slog.New(slog.NewTextHandler(said, nil))
	now := reopen(t, mine, moved)
	if err := now.Close(); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("store is another one\" before=%s now=%s", mine.ID(), other.ID())
	if now.ID() != other.ID() || !strings.Contains(said.String(), want) {
		t.Errorf("%s, said: %s", now.ID(), said)
	}
}

// An etcd that is full says so to whoever writes, and is its operators' to mend: nothing that was acknowledged is lost, reads go on, and
// writes do as soon as there is room.
func TestEtcdIsFull(t *testing.T) {
	url := startEtcd(t, fmt.Sprintf("--quota-backend-bytes=%d", smallQuota))
	s, ctx := open(t, store.Options{Dir: t.TempDir(), Etcd: &store.Etcd{Endpoints: []string{url}}}), t.Context()
	acked := fill(t, s, func(n int) string { return fmt.Sprint(n % 3) })
	e := entity(gateway.Spec, "0", "{}")
	for name, write := range map[string]func() error{
		"put":    func() error { _, _, err := s.Put(ctx, e, gateway.Condition{}); return err },
		"delete": func() error { _, _, err := s.Delete(ctx, e.Ref, gateway.Condition{}); return err },
		"apply":  func() error { _, _, err := s.Apply(ctx, creates(gateway.Key, 3, "{}"), gateway.Bulk{}); return err },
		"role":   func() error { return s.Fence(ctx, "http://other", 9) },
	} {
		if err := write(); !errors.Is(err, store.ErrEtcdFull) {
			t.Errorf("%s: %v", name, err)
		}
	}
	holds(t, s, acked)
	if used, quota := s.Size(); used != 0 || quota != 0 {
		t.Errorf("%d of %d bytes, of which nothing is known", used, quota)
	}
	mend(t, url)
	put(t, s, e)
	acked.Put(e)
	holds(t, s, acked)
}

// mend does what operators do to an etcd that is full.
func mend(t *testing.T, url string) {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{url}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	head, err := c.Get(t.Context(), "x")
	if err == nil {
		_, err = c.Compact(t.Context(), head.Header.Revision, clientv3.WithCompactPhysical())
	}
	if err == nil {
		_, err = c.Defragment(t.Context(), url)
	}
	if err == nil {
		_, err = c.AlarmDisarm(t.Context(), &clientv3.AlarmMember{})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// authority makes certificates.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.cert, a.key = a.issue("ca", &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

// issue makes a certificate for 127.0.0.1 and writes NAME.pem and NAME.key. Without an authority yet, it signs itself.
func (a *authority) issue(name string, as *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	as.SerialNumber, as.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: name}
	as.NotBefore, as.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	as.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	as.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = as, key
	}
	der, err := x509.CreateCertificate(rand.Reader, as, parent, key.Public(), signer)
	if err != nil {
		a.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{
		a.path(name + ".pem"): {Type: "CERTIFICATE", Bytes: der},
		a.path(name + ".key"): {Type: "PRIVATE KEY", Bytes: secret},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

func (a *authority) path(file string) string { return filepath.Join(a.dir, file) }

// client returns what a client with a certificate of the authority's speaks TLS with.
func (a *authority) client(name string) *tls.Config {
	a.t.Helper()
	a.issue(name, &x509.Certificate{KeyUsage: x509.KeyUsageDigitalSignature})
	pair, err := tls.LoadX509KeyPair(a.path(name+".pem"), a.path(name+".key"))
	if err != nil {
		a.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	return &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}}
}

// The store is one user's, who may see its keys alone, behind TLS with certificates on both sides.
func TestEtcdWithCredentials(t *testing.T) {
	a := newAuthority(t)
	a.issue("server", &x509.Certificate{KeyUsage: x509.KeyUsageDigitalSignature})
	secrets := a.client("gwdr")
	url := newServer(t, secrets, "--client-cert-auth", "--trusted-ca-file="+a.path("ca.pem"),
		"--cert-file="+a.path("server.pem"), "--key-file="+a.path("server.key")).url
	enableUsers(t, url, secrets)
	at := func(prefix, password string) store.Options {
		return store.Options{Dir: t.TempDir(), Etcd: &store.Etcd{Endpoints: []string{url}, Prefix: prefix, TLS: secrets, User: "gwdr", Password: password}}
	}
	s := open(t, at("/mine", "secret"))
	put(t, s, entity(gateway.Route, "a", "1"))
	revision := put(t, s, entity(gateway.Route, "a", "2"))
	if got, err := collect(t.Context(), s, revision-1, revision); err != nil || len(got) != 1 {
		t.Errorf("%v, %v", got, err)
	}
	if h, got := state(t, s); got.Len() != 1 || h.Revision < revision {
		t.Errorf("%v at %d", got.Refs(), h.Revision)
	}
	if _, err := store.Open(t.Context(), at("/mine", "wrong")); err == nil || !strings.Contains(err.Error(), "invalid user ID or password") {
		t.Errorf("wrong password: %v", err)
	}
	if _, err := store.Open(t.Context(), at("/other", "secret")); err == nil || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("keys of others: %v", err)
	}
}

// enableUsers makes a user gwdr with the password secret, who has the keys that begin with /mine.
func enableUsers(t *testing.T, url string, secrets *tls.Config) {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{url}, TLS: secrets})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx := t.Context()
	for _, user := range []string{"root", "gwdr"} {
		_, err1 := c.RoleAdd(ctx, user)
		_, err2 := c.UserAdd(ctx, user, "secret")
		_, err3 := c.UserGrantRole(ctx, user, user)
		if err := errors.Join(err1, err2, err3); err != nil {
			t.Fatal(err)
		}
	}
	_, err = c.RoleGrantPermission(ctx, "gwdr", "/mine", clientv3.GetPrefixRangeEnd("/mine"), clientv3.PermissionType(clientv3.PermReadWrite))
	if err == nil {
		_, err = c.AuthEnable(ctx)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Two processes have one store: what one writes the other sees; when it is emptied both are blank; and a restore by one is the end of
// that for the other.
func TestTwoShareAStore(t *testing.T) {
	e := &store.Etcd{Endpoints: []string{startEtcd(t)}}
	a := open(t, store.Options{Dir: t.TempDir(), Etcd: e})
	b := open(t, store.Options{Dir: t.TempDir(), Etcd: e})
	other := open(t, store.Options{Dir: t.TempDir(), Etcd: &store.Etcd{Endpoints: e.Endpoints, Prefix: "/other"}})
	if !a.Fresh() || b.Fresh() || a.ID() != b.ID() || other.ID() == a.ID() {
		t.Errorf("%s %s %s", a.ID(), b.ID(), other.ID())
	}
	put(t, a, entity(gateway.Route, "a", "1"))
	revision := put(t, b, entity(gateway.Route, "b", "1"))
	if item, err := a.Get(t.Context(), gateway.Ref{Kind: gateway.Route, ID: "b"}); err != nil || item.Revision != revision {
		t.Errorf("%+v, %v", item, err)
	}
	if _, got := state(t, other); got.Len() != 0 {
		t.Errorf("another gateway's: %v", got.Refs())
	}
	watched := make(chan error, 1)
	go func() {
		watched <- b.Watch(t.Context(), "", revision, func(gateway.Batch) error { return nil })
	}()
	if err := a.Empty(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*store.Store{a, b} {
		until(t, "store is blank", func() bool { return s.Role() == store.Role{Mode: gateway.ModeBlank, Epoch: 1} && s.ID() == "" })
		if _, _, err := s.Put(t.Context(), entity(gateway.Route, "a", "1"), gateway.Condition{}); !errors.Is(err, gateway.ErrNotLeader) {
			t.Errorf("put into what was emptied: %v", err)
		}
	}
	if err := <-watched; !errors.Is(err, store.ErrReplaced) {
		t.Errorf("watch: %v", err)
	}
	if _, _, err := a.Apply(t.Context(), creates(gateway.Key, 10, "{}"), gateway.Bulk{Restore: true}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := b.AwaitContent(ctx); err != nil || b.ID() != a.ID() || b.Role() != a.Role() {
		t.Errorf("%v: %+v, want %+v", err, b.Role(), a.Role())
	}
	put(t, b, entity(gateway.Route, "b", "2"))
}

// What one process has just done to the role holds for the other's next step.
func TestTwoShareARole(t *testing.T) {
	e, ctx := &store.Etcd{Endpoints: []string{startEtcd(t)}}, t.Context()
	a := open(t, store.Options{Dir: t.TempDir(), Etcd: e})
	b := open(t, store.Options{Dir: t.TempDir(), Etcd: e})
	for epoch := range int64(3) {
		if led, err := a.Demote(ctx); led != 1+epoch || err != nil {
			t.Errorf("demoted in epoch %d, %v", led, err)
		}
		if leads, err := b.Promote(ctx); leads != 2+epoch || err != nil {
			t.Errorf("promoted in epoch %d, %v", leads, err)
		}
	}
	if _, err := a.Demote(ctx); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Put(ctx, entity(gateway.Route, "a", "1"), gateway.Condition{}); !errors.Is(err, gateway.ErrNotLeader) {
		t.Errorf("put into what another demoted: %v", err)
	}
}

// An etcd that is gone is told of soon, also to a process that starts meanwhile; and used again when it is back.
func TestEtcdIsGone(t *testing.T) {
	t.Parallel() // it waits most of the time
	server := newServer(t, nil)
	o := store.Options{Dir: t.TempDir(), Etcd: &store.Etcd{Endpoints: []string{server.url}}}
	s := open(t, o)
	revision := put(t, s, entity(gateway.Route, "a", "1"))
	watched, watching := make(chan error, 1), make(chan struct{}, 1000)
	go func() {
		watched <- s.Watch(t.Context(), "", revision, func(gateway.Batch) error { watching <- struct{}{}; return nil })
	}()
	<-watching
	server.kill()
	if err := <-watched; !errors.Is(err, store.ErrNoQuorum) {
		t.Errorf("watch: %v", err)
	}
	silent(t, s)
	id := s.ID()
	s = reopen(t, s, o)
	if s.ID() != id {
		t.Errorf("id %q, want %q", s.ID(), id)
	}
	silent(t, s)
	if _, err := store.Open(t.Context(), store.Options{Dir: t.TempDir(), Etcd: o.Etcd}); !errors.Is(err, store.ErrNoQuorum) {
		t.Errorf("a new one: %v", err)
	}
	server.start()
	until(t, "writes go on", func() bool {
		_, _, err := s.Put(t.Context(), entity(gateway.Route, "b", "1"), gateway.Condition{})
		return err == nil
	})
}

// Members of a cluster speak TLS, and only to those whose certificate they trust.
func TestClusterWithCertificates(t *testing.T) {
	t.Parallel() // it waits most of the time
	a, options := newAuthority(t), members(t)
	urls := map[string]string{}
	for name, url := range options[0].Cluster.Members {
		urls[name] = strings.Replace(url, "http:", "https:", 1)
		a.issue(name, &x509.Certificate{KeyUsage: x509.KeyUsageDigitalSignature})
	}
	for _, o := range options {
		c := o.Cluster
		c.Members, c.CA, c.Cert, c.Key = urls, a.path("ca.pem"), a.path(c.Name+".pem"), a.path(c.Name+".key")
	}
	defer begin(t, options[1])()
	put(t, open(t, options[0]), entity(gateway.Route, "a", "1"))
	stranger := newAuthority(t)
	stranger.issue("c", &x509.Certificate{KeyUsage: x509.KeyUsageDigitalSignature})
	options[2].Cluster.Cert, options[2].Cluster.Key = stranger.path("c.pem"), stranger.path("c.key")
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if _, err := store.Open(ctx, options[2]); err == nil {
		t.Error("a member with a stranger's certificate joined")
	}
}
