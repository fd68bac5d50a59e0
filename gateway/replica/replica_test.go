package replica_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gwdr/gateway"
	"gwdr/gateway/admin"
	"gwdr/gateway/native"
	"gwdr/gateway/replica"
	"gwdr/gateway/store"
)

// region is a control plane that can go down and come back at its address.
type region struct {
	t     *testing.T
	dir   string
	lead  bool
	peers []native.Client

	address *httptest.Server
	handler atomic.Pointer[http.Handler] // nil while the region is down
	store   *store.Store
	stop    context.CancelFunc // ends replica.Run
	running sync.WaitGroup
	native.Client
}

const token = "replica-token-0123456789"

// regions returns n regions that know each other; the first is to lead. None is up yet.
func regions(t *testing.T, n int) []*region {
	t.Helper()
	all := make([]*region, n)
	for i := range all {
		r := &region{t: t, dir: t.TempDir(), lead: i == 0}
		r.address = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			h := r.handler.Load()
			if h == nil {
				panic(http.ErrAbortHandler)
			}
			(*h).ServeHTTP(w, req)
		}))
		r.Client = native.Client{URL: r.address.URL, Token: "admin-token-0123456789"}
		t.Cleanup(func() { r.down(); r.address.Close() })
		all[i] = r
	}
	for _, r := range all {
		for _, other := range all {
			if other != r {
				r.peers = append(r.peers, native.Client{URL: other.URL, Token: token})
			}
		}
	}
	return all
}

// up opens the store and settles the role, as gwdr serve does, and then serves and replicates.
func (r *region) up() {
	r.t.Helper()
	var err error
	if r.store, err = store.Open(context.Background(), store.Options{Dir: r.dir, Follower: true}); err != nil {
		r.t.Fatal(err)
	}
	rep := r.replica()
	if err := rep.Settle(context.Background()); err != nil {
		r.t.Fatal(err)
	}
	r.replicate(rep)
	r.serve()
}

func (r *region) replica() *replica.Replica {
	return &replica.Replica{Store: r.store, Peers: r.peers, Dir: r.dir, Lead: r.lead}
}

func (r *region) replicate(rep *replica.Replica) {
	ctx, cancel := context.WithCancel(context.Background())
	r.stop = cancel
	r.running.Go(func() { rep.Run(ctx) })
}

func (r *region) serve() {
	tokens, err := admin.ReadTokens(strings.NewReader("admin:" + r.Token + "\nreplica:" + token))
	if err != nil {
		r.t.Fatal(err)
	}
	h := (&admin.Server{Store: r.store, Tokens: tokens}).Handler()
	r.handler.Store(&h)
}

// alone ends the region's replication and hides it from its peers.
func (r *region) alone() {
	r.handler.Store(nil)
	r.address.CloseClientConnections()
	r.stop()
	r.running.Wait()
}

func (r *region) down() {
	if r.store == nil {
		return
	}
	r.alone()
	if err := r.store.Close(); err != nil {
		r.t.Error(err)
	}
	r.store = nil
}

// wipe empties the store of a region that is down.
func (r *region) wipe() {
	if err := os.RemoveAll(filepath.Join(r.dir, "store")); err != nil {
		r.t.Fatal(err)
	}
}

// write puts a setting straight into the store.
func (r *region) write(kind gateway.Kind, id string) {
	r.t.Helper()
	e := gateway.Entity{Ref: gateway.Ref{Kind: kind, ID: id}, Body: []byte(fmt.Sprintf(`{"reason":%q}`, id))}
	if _, _, err := r.store.Put(context.Background(), e, gateway.Condition{}); err != nil {
		r.t.Fatal(err)
	}
}

func (r *region) refs() (refs []string) {
	r.t.Helper()
	_, s, err := r.store.State(context.Background())
	if err != nil {
		r.t.Fatal(err)
	}
	for _, ref := range s.Refs() {
		refs = append(refs, ref.String())
	}
	return refs
}

func (r *region) mode() gateway.Mode { return r.store.Role().Mode }

// eventually waits until the regions hold the same entities, and checks which.
func eventually(t *testing.T, want []string, all ...*region) {
	t.Helper()
	var diff string
	for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		diff = ""
		for _, r := range all {
			diff += cmp.Diff(want, r.refs())
		}
		if diff == "" {
			return
		}
	}
	t.Fatalf("regions do not converge: %s", diff)
}

func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

func TestFollowerCopies(t *testing.T) {
	rs := regions(t, 2)
	a, b := rs[0], rs[1]
	b.up()
	if b.mode() != gateway.ModeFollower {
		t.Fatalf("first alone: %+v", b.store.Role())
	}
	a.up()
	a.write(gateway.Setting, "1")
	a.write(gateway.Setting, "2")
	eventually(t, []string{"setting/1", "setting/2"}, a, b)
	_, err := b.Put(t.Context(), gateway.Entity{Ref: gateway.Ref{Kind: gateway.Setting, ID: "x"}}, gateway.Condition{})
	if !errors.Is(err, gateway.ErrNotLeader) || !strings.Contains(err.Error(), "follower of "+a.URL) {
		t.Errorf("write to the follower: %v", err)
	}
	mine, theirs := status(t, a), status(t, b)
	if theirs.LeaderStore != mine.Store || theirs.Applied != mine.Revision || theirs.Digest != mine.Digest || theirs.Epoch != 1 {
		t.Errorf("leader %+v, follower %+v", mine, theirs)
	}
	b.down() // misses some, and goes on from where it was
	a.write(gateway.Setting, "3")
	b.up()
	eventually(t, []string{"setting/1", "setting/2", "setting/3"}, a, b)
}

func status(t *testing.T, r *region) gateway.Status {
	t.Helper()
	s, err := r.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// fork lets b miss the last changes of a, and promotes b.
func fork(t *testing.T, a, b *region) {
	t.Helper()
	a.up()
	b.up()
	a.write(gateway.Setting, "both")
	a.write(gateway.Setting, "deleted later")
	eventually(t, []string{"setting/both", "setting/deleted later"}, a, b)
	b.alone()
	a.write(gateway.Setting, "only a")
	a.write(gateway.Revocation, "0123456789abcdef")
	if _, _, err := a.store.Delete(t.Context(), gateway.Ref{Kind: gateway.Setting, ID: "deleted later"}, gateway.Condition{}); err != nil {
		t.Fatal(err)
	}
	a.down()
	b.replicate(b.replica())
	b.serve()
	if epoch, err := b.Promote(t.Context()); epoch != 2 || err != nil {
		t.Fatalf("promote: %d, %v", epoch, err)
	}
	b.write(gateway.Setting, "only b")
}

// Of two revocations of a key the earlier counts, also if the one that was to take effect later is the leader's.
func TestTheEarlierRevocationCounts(t *testing.T) {
	rs := regions(t, 2)
	a, b := rs[0], rs[1]
	fork(t, a, b)
	ref := gateway.Ref{Kind: gateway.Revocation, ID: "0123456789abcdef"}
	later := gateway.RevocationBody{Effective: new(time.Now().Add(time.Hour))}
	if _, _, err := b.store.Put(t.Context(), gateway.Entity{Ref: ref, Body: gateway.Encode(later)}, gateway.Condition{}); err != nil {
		t.Fatal(err)
	}
	a.up()
	for _, r := range rs {
		until(t, "the key is revoked now", func() bool {
			item, err := r.store.Get(t.Context(), ref)
			return err == nil && gateway.RevokedFrom(item.Body).IsZero()
		})
	}
}

func TestOldLeaderReturns(t *testing.T) {
	rs := regions(t, 2)
	a, b := rs[0], rs[1]
	fork(t, a, b)
	a.up()
	if mode := a.mode(); mode == gateway.ModeLeader {
		t.Error("the old leader serves as a leader")
	}
	eventually(t, []string{"setting/both", "setting/deleted later", "setting/only b", "revocation/0123456789abcdef"}, a, b)
	want := `{"op":"delete","kind":"setting","id":"deleted later"}
{"op":"create","kind":"setting","id":"only a","body":"eyJyZWFzb24iOiJvbmx5IGEifQ=="}
{"op":"create","kind":"revocation","id":"0123456789abcdef","body":"eyJyZWFzb24iOiIwMTIzNDU2Nzg5YWJjZGVmIn0="}
`
	got, err := os.ReadFile(filepath.Join(a.dir, "forked-epoch1.ndjson"))
	if diff := cmp.Diff(want, string(got)); diff != "" || err != nil {
		t.Errorf("set aside: %v %s", err, diff)
	}
	if files := replica.SetAside(a.dir); len(files) != 1 {
		t.Errorf("files set aside: %v", files)
	}
	if role := a.store.Role(); role != (store.Role{Mode: gateway.ModeFollower, Epoch: 2, Leader: b.URL}) {
		t.Errorf("old leader: %+v", role)
	}
	b.write(gateway.Setting, "later")
	eventually(t, b.refs(), a)
}

// A leader that is demoted first loses nothing to the one that is promoted then: followers copy on, and nothing is set aside. It can be
// taken back, too.
func TestDemotedLeaderLosesNothing(t *testing.T) {
	rs := regions(t, 2)
	a, b := rs[0], rs[1]
	a.up()
	b.up()
	for i := range 50 {
		a.write(gateway.Setting, fmt.Sprint(i))
	}
	if epoch, err := a.store.Demote(t.Context()); epoch != 1 || err != nil {
		t.Fatalf("demote: %d, %v", epoch, err)
	}
	e := gateway.Entity{Ref: gateway.Ref{Kind: gateway.Setting, ID: "refused"}, Body: []byte("{}")}
	if _, err := a.Put(t.Context(), e, gateway.Condition{}); !errors.Is(err, gateway.ErrNotLeader) {
		t.Errorf("write to what was demoted: %v", err)
	}
	eventually(t, a.refs(), b)
	if mine, theirs := status(t, a), status(t, b); mine.Mode != gateway.ModeFenced || mine.Digest != theirs.Digest {
		t.Errorf("demoted %+v, follower %+v", mine, theirs)
	}
	if epoch, err := b.Promote(t.Context()); epoch != 2 || err != nil {
		t.Fatalf("promote: %d, %v", epoch, err)
	}
	b.write(gateway.Setting, "later")
	eventually(t, b.refs(), a)
	if _, err := b.store.Demote(t.Context()); err != nil {
		t.Fatal(err)
	}
	if epoch, err := b.Promote(t.Context()); epoch != 3 || err != nil {
		t.Fatalf("promote again: %d, %v", epoch, err)
	}
	b.write(gateway.Setting, "in the third epoch")
	eventually(t, b.refs(), a)
	for _, r := range rs {
		if files := replica.SetAside(r.dir); len(files) > 0 {
			t.Errorf("set aside: %v", files)
		}
	}
}

// Both run when they see each other again.
func TestPartitionHeals(t *testing.T) {
	rs := regions(t, 2)
	a, b := rs[0], rs[1]
	fork(t, a, b)
	b.handler.Store(nil)
	a.up()
	if a.mode() != gateway.ModeLeader {
		t.Fatalf("an old leader whose peers are silent: %+v", a.store.Role())
	}
	a.write(gateway.Setting, "in the dark")
	b.serve()
	until(t, "old leader is fenced and follows", func() bool { return a.mode() == gateway.ModeFollower })
	eventually(t, []string{"setting/both", "setting/deleted later", "setting/only b", "revocation/0123456789abcdef"}, a, b)
	got, err := os.ReadFile(filepath.Join(a.dir, "forked-epoch1.ndjson"))
	if err != nil || !strings.Contains(string(got), "in the dark") {
		t.Errorf("set aside: %s %v", got, err)
	}
}

func TestTwoLeadersOfOneEpoch(t *testing.T) {
	rs := regions(t, 3)
	for _, r := range rs {
		r.up()
	}
	for _, r := range rs[1:] {
		r.alone()
	}
	rs[0].down()
	for i, r := range rs[1:] {
		if epoch, err := r.store.Promote(t.Context()); err != nil || epoch != rs[1].store.Role().Epoch {
			t.Fatalf("promote: %d, %v", epoch, err)
		}
		r.write(gateway.Setting, fmt.Sprint(i))
	}
	for _, r := range rs[1:] {
		r.replicate(r.replica())
		r.serve()
	}
	lower, higher := rs[1], rs[2]
	if higher.store.ID() < lower.store.ID() {
		lower, higher = higher, lower
	}
	until(t, "the higher id follows", func() bool { return higher.mode() == gateway.ModeFollower })
	eventually(t, lower.refs(), lower, higher)
	if lower.mode() != gateway.ModeLeader {
		t.Errorf("the lower id is %s", lower.mode())
	}
}

func TestWipedFollowerCopiesAnew(t *testing.T) {
	rs := regions(t, 2)
	a, b := rs[0], rs[1]
	a.up()
	b.up()
	a.write(gateway.Setting, "1")
	eventually(t, []string{"setting/1"}, a, b)
	b.down()
	b.wipe()
	b.up()
	eventually(t, []string{"setting/1"}, a, b)
}

// A leader that lost its store does not take its followers with it. When a backup without the latest revocation is restored,
// the follower has it.
func TestWipedLeaderIsRestored(t *testing.T) {
	rs := regions(t, 2)
	a, b := rs[0], rs[1]
	a.up()
	b.up()
	a.write(gateway.Setting, "1")
	backup, err := a.Export(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	a.write(gateway.Revocation, "0123456789abcdef")
	eventually(t, []string{"setting/1", "revocation/0123456789abcdef"}, a, b)
	a.down()
	a.wipe()
	a.up()
	if a.mode() != gateway.ModeBlank || len(b.refs()) != 2 {
		t.Fatalf("wiped leader: %+v, follower has %v", a.store.Role(), b.refs())
	}
	if err := a.Apply(t.Context(), gateway.Diff(gateway.NewState(), backup.State)); err != nil {
		t.Fatal(err)
	}
	until(t, "follower has the new store", func() bool { return b.store.Origin().Store == a.store.ID() })
	eventually(t, []string{"setting/1", "revocation/0123456789abcdef"}, a, b)
	a.write(gateway.Setting, "2")
	eventually(t, []string{"setting/1", "setting/2", "revocation/0123456789abcdef"}, a, b)
}

// After a promotion, a wiped old leader follows instead of waiting for a restore.
func TestWipedOldLeaderFollows(t *testing.T) {
	rs := regions(t, 2)
	a, b := rs[0], rs[1]
	fork(t, a, b)
	a.wipe()
	a.up()
	eventually(t, []string{"setting/both", "setting/deleted later", "setting/only b"}, a, b)
	if a.mode() != gateway.ModeFollower || a.store.ID() == "" {
		t.Errorf("%+v with id %q", a.store.Role(), a.store.ID())
	}
}

func TestNewStoreDoesNotLeadBesideALeader(t *testing.T) {
	rs := regions(t, 2)
	a, b := rs[0], rs[1]
	b.lead = true
	b.up()
	if b.mode() != gateway.ModeLeader {
		t.Fatalf("%+v", b.store.Role())
	}
	a.up()
	if a.mode() != gateway.ModeFollower {
		t.Errorf("second to come with --leader: %+v", a.store.Role())
	}
}

// renew gives a region that is down an empty disk, so that nothing there tells of an earlier store.
func (r *region) renew() { r.dir = r.t.TempDir() }

// A leader that comes back on an empty disk neither leads nor empties its followers: they hold what it lost, and may be
// promoted.
func TestNewStoreDoesNotLeadBesideAFollowerOfTheLost(t *testing.T) {
	rs := regions(t, 2)
	a, b := rs[0], rs[1]
	a.up()
	b.up()
	a.write(gateway.Setting, "1")
	eventually(t, []string{"setting/1"}, a, b)
	a.down()
	a.renew()
	a.up()
	if a.mode() != gateway.ModeFollower {
		t.Fatalf("new store: %+v", a.store.Role())
	}
	if epoch, err := b.Promote(t.Context()); epoch != 2 || err != nil {
		t.Fatalf("promote: %d, %v", epoch, err)
	}
	eventually(t, []string{"setting/1"}, a, b)
}

// The same when the new store cannot ask: it leads then, and its followers stay as they are until somebody decides.
func TestFollowerKeepsItsCopyFromANewStore(t *testing.T) {
	rs := regions(t, 2)
	a, b := rs[0], rs[1]
	a.up()
	b.up()
	a.write(gateway.Setting, "1")
	eventually(t, []string{"setting/1"}, a, b)
	a.down()
	b.down()
	a.renew()
	a.up()
	if a.mode() != gateway.ModeLeader {
		t.Fatalf("new store alone: %+v", a.store.Role())
	}
	a.write(gateway.Setting, "new")
	b.up()
	if err := b.replica().Settle(t.Context()); err != nil { // one more look, beside those of Run
		t.Error(err)
	}
	if refs := b.refs(); b.mode() != gateway.ModeFollower || len(refs) != 1 || refs[0] != "setting/1" {
		t.Fatalf("beside a new store: %+v with %v", b.store.Role(), refs)
	}
	if _, err := b.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, []string{"setting/1"}, a, b)
	if _, err := os.Stat(filepath.Join(a.dir, "forked-epoch1.ndjson")); err != nil {
		t.Errorf("what the new store took is not set aside: %v", err)
	}
}
