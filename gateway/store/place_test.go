package store_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"gwdr/gateway/store"
)

// places is where stores lie: the tests of the suite run over each.
type places interface {
	// options adds to the options of a store, which the test knows by its directory, where it lies.
	options(t *testing.T, o store.Options) store.Options
	// wipe closes the store and empties the place from outside.
	wipe(t *testing.T, s *store.Store, dir string)
}

// place is where open opens stores. Tests that run in parallel do so when those that change it have ended.
var place places = embedded{}

// suite is what holds wherever a store lies. What it leaves out is about files and limits of the embedded etcd, about a restore that is
// hidden, which a store that others may open does not do, or about a transaction that is cut off, which is etcd's affair.
var suite = map[string]func(*testing.T){
	"EntitiesAreKeptVerbatim":            TestEntitiesAreKeptVerbatim,
	"List":                               TestList,
	"Conditions":                         TestConditions,
	"IfMatchRace":                        TestIfMatchRace,
	"ApplyInChunks":                      TestApplyInChunks,
	"OneProcessHasTheStore":              TestOneProcessHasTheStore,
	"WipedStoreIsBlankUntilRestored":     TestWipedStoreIsBlankUntilRestored,
	"Roles":                              TestRoles,
	"Replicate":                          TestReplicate,
	"ReopenUnderLoad":                    TestReopenUnderLoad,
	"FillMeetsAnotherWriter":             TestFillMeetsAnotherWriter,
	"KilledStoreKeepsAcknowledgedWrites": TestKilledStoreKeepsAcknowledgedWrites,
	"StreamIsTheState":                   TestStreamIsTheState,
	"StreamOfUnknownKinds":               TestStreamOfUnknownKinds,
	"StreamShowsOneRevision":             TestStreamShowsOneRevision,
	"StreamEnds":                         TestStreamEnds,
	"ChangesLeadToTheHead":               TestChangesLeadToTheHead,
	"SinceDeletesOfNothing":              TestSinceDeletesOfNothing,
	"ChangesWhileOthersWrite":            TestChangesWhileOthersWrite,
	"WatchCatchesUp":                     TestWatchCatchesUp,
	"WatchResumes":                       TestWatchResumes,
	"WatchHeartbeat":                     TestWatchHeartbeat,
	"WatchOfTheUnknown":                  TestWatchOfTheUnknown,
	"WatchOfAnotherStore":                TestWatchOfAnotherStore,
	"Since":                              TestSince,
	"SwitchIsWatchedWhole":               TestSwitchIsWatchedWhole,
	"BulkIsSettled":                      TestBulkIsSettled,
	"DryRun":                             TestDryRun,
}

// ofMembers is what members of a cluster, each of which reads its own memory and tends its own file, could do otherwise than the only one
// or an etcd elsewhere. Each test has a cluster of its own, which takes seconds.
var ofMembers = map[string]func(*testing.T){
	"IfMatchRace":                    TestIfMatchRace,
	"ApplyInChunks":                  TestApplyInChunks,
	"WipedStoreIsBlankUntilRestored": TestWipedStoreIsBlankUntilRestored,
	"Roles":                          TestRoles,
	"StreamShowsOneRevision":         TestStreamShowsOneRevision,
	"ChangesWhileOthersWrite":        TestChangesWhileOthersWrite,
	"SwitchIsWatchedWhole":           TestSwitchIsWatchedWhole,
	"FullUnderLoad":                  TestFullUnderLoad,
}

func TestOverEtcd(t *testing.T) {
	etcd := &elsewhere{url: startEtcd(t, "--max-txn-ops=200000", "--max-request-bytes=83886080", "--quota-backend-bytes=4294967296")}
	runSuite(t, etcd, suite)
}

func TestOverCluster(t *testing.T) { runSuite(t, &clustered{}, ofMembers) }

func runSuite(t *testing.T, p places, suite map[string]func(*testing.T)) {
	before, checks := place, flag.Lookup("rapid.checks").Value.String()
	place = p
	flag.Set("rapid.checks", "10") // each of its steps waits for a disk
	defer func() {
		place = before
		flag.Set("rapid.checks", checks)
	}()
	for name, test := range suite {
		t.Run(name, test)
	}
}

// embedded is an etcd in the process.
type embedded struct{}

func (embedded) options(_ *testing.T, o store.Options) store.Options { return o }

func (embedded) wipe(t *testing.T, s *store.Store, dir string) {
	if err := errors.Join(s.Close(), os.RemoveAll(filepath.Join(dir, "store"))); err != nil {
		t.Fatal(err)
	}
}

// elsewhere is an etcd in a process of its own, with a prefix for each directory.
type elsewhere struct{ url string }

func (e *elsewhere) options(_ *testing.T, o store.Options) store.Options {
	o.Etcd = &store.Etcd{Endpoints: []string{e.url}, Prefix: o.Dir}
	return o
}

func (*elsewhere) wipe(t *testing.T, s *store.Store, _ string) {
	if err := errors.Join(s.Empty(t.Context()), s.Close()); err != nil {
		t.Fatal(err)
	}
}

// clustered is a cluster of three for each directory, of which the test has one member.
type clustered struct {
	elsewhere // a cluster is emptied likewise
	started   map[string]*store.Cluster
}

func (c *clustered) options(t *testing.T, o store.Options) store.Options {
	t.Helper()
	if c.started == nil {
		c.started = map[string]*store.Cluster{}
	}
	if c.started[o.Dir] == nil {
		three := members(t)
		c.started[o.Dir] = three[0].Cluster
		for _, other := range three[1:] {
			other.Follower, other.Quota = o.Follower, o.Quota
			t.Cleanup(begin(t, other))
		}
	}
	o.Cluster = c.started[o.Dir]
	return o
}

// begin opens a store, and returns what closes it: also one that still waits for the others, which may be gone for good.
func begin(t *testing.T, o store.Options) func() {
	ctx, giveUp := context.WithCancel(context.WithoutCancel(t.Context()))
	var opening sync.WaitGroup
	var s *store.Store
	opening.Go(func() {
		var err error
		if s, err = store.Open(ctx, o); err != nil && ctx.Err() == nil {
			t.Error(err)
		}
	})
	return func() {
		giveUp()
		if opening.Wait(); s != nil {
			s.Close()
		}
	}
}

// members returns the options of three members of a cluster.
func members(t *testing.T) (three [3]store.Options) {
	t.Helper()
	urls := map[string]string{}
	for i := range three {
		name := string(rune('a' + i))
		urls[name] = "http://" + freeAddress(t)
		three[i] = store.Options{Dir: t.TempDir(), Cluster: &store.Cluster{Name: name, Members: urls, Election: 300 * time.Millisecond}}
	}
	return three
}

// freeAddress returns an address at which nobody listened a moment ago.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// server is an etcd in a process of its own.
type server struct {
	t       *testing.T
	url     string
	secrets *tls.Config // nil: clients speak http
	args    []string
	child   *exec.Cmd
}

// startEtcd starts etcd, the installed one or else that of the module, and returns its URL.
func startEtcd(t *testing.T, args ...string) string {
	t.Helper()
	return newServer(t, nil, args...).url
}

func newServer(t *testing.T, secrets *tls.Config, args ...string) *server {
	t.Helper()
	scheme := "http"
	if secrets != nil {
		scheme = "https"
	}
	s := &server{t: t, url: scheme + "://" + freeAddress(t), secrets: secrets}
	peer := "http://" + freeAddress(t)
	s.args = append([]string{"--data-dir=" + t.TempDir(), "--listen-client-urls=" + s.url, "--advertise-client-urls=" + s.url,
		"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer, "--initial-cluster=default=" + peer}, args...)
	s.start()
	t.Cleanup(s.kill)
	return s
}

func (s *server) start() {
	s.t.Helper()
	if s.child = exec.Command("etcd", s.args...); s.child.Err != nil {
		s.child = playing(s.t, "GWDR_TEST_ETCD", s.args)
	}
	if err := s.child.Start(); err != nil {
		s.t.Fatal(err)
	}
	asking := &http.Client{Transport: &http.Transport{TLSClientConfig: s.secrets}}
	until(s.t, "etcd is healthy", func() bool {
		resp, err := asking.Get(s.url + "/health")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

func (s *server) kill() {
	s.child.Process.Kill()
	s.child.Wait()
}

// playing returns this test binary as the process that the variable stands for, with what it is told.
func playing(t *testing.T, variable string, told any) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(told)
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(exe)
	child.Env = append(os.Environ(), variable+"="+string(text))
	return child
}

// until waits until it holds.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
	}
}
