package process

import (
	"cmp"
	"context"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"gwdr/fleet"
	"gwdr/fleet/fleettest"
)

var threeRegions = Topology{
	Regions:     []Region{{Name: "us-east", Instances: 1}, {Name: "us-west", Instances: 1}, {Name: "eu", Instances: 1}},
	Replication: ReplicationSync,
}

// fakeMember is a member of a store that only knows whom it reaches.
type fakeMember struct{ self, others []string }

// newFakeMember reads the value of --cluster. Without one there is nobody to reach.
func newFakeMember(region, cluster string) (m fakeMember) {
	if cluster == "" {
		return m
	}
	for member := range strings.SplitSeq(cluster, ",") {
		name, url, _ := strings.Cut(member, "=")
		addr := strings.TrimPrefix(url, "http://")
		if name == region {
			m.self = append(m.self, addr)
		} else {
			m.others = append(m.others, addr)
		}
	}
	return m
}

// listen has the others find it.
func (m fakeMember) listen(ctx context.Context) error {
	for _, addr := range m.self {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			return err
		}
		go serveOn(ctx, l, http.NotFoundHandler())
	}
	return nil
}

// quorum refuses what takes one if there is none.
func (m fakeMember) quorum(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		there := len(m.self)
		for _, addr := range m.others {
			if connect(r.Context(), addr) == nil {
				there++
			}
		}
		if 2*there < len(m.others)+len(m.self) {
			w.WriteHeader(http.StatusServiceUnavailable)
			w.Write([]byte(`{"error":"no quorum","code":"no_quorum"}`))
			return
		}
		next(w, r)
	}
}

func syncOptions(t *testing.T) Options {
	o := newOptions(t)
	o.Topology = threeRegions
	return o
}

func TestQuorumLossConforms(t *testing.T) {
	lab := up(t, syncOptions(t))
	fleettest.Run(t, fleettest.Suite{
		Open: func(*testing.T) fleet.Fleet { return lab },
		Reopen: func(t *testing.T, u fleet.Undo) fleet.Fleet {
			other, err := Reopen(u)
			if err != nil {
				t.Fatal(err)
			}
			return other
		},
		Faults: map[fleet.FaultKind]fleettest.Case{fleet.QuorumLoss: {Selector: fleet.Selector{Role: fleet.Control}}},
	})
}

// TestQuorumLossSparesWhomClientsAsk: the majority dies, and not the region that the edge prefers, wherever that comes in the alphabet.
func TestQuorumLossSparesWhomClientsAsk(t *testing.T) {
	lab := up(t, syncOptions(t))
	u := prepare(t, lab, fleet.QuorumLoss, fleet.Selector{Role: fleet.Control})
	if seen, err := lab.Verify(t.Context(), u); err == nil {
		t.Errorf("before the fault: %s", seen)
	}
	if err := lab.Inject(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	var down []string
	for id, p := range processes(t, lab) {
		if !p.Running {
			down = append(down, id)
		}
	}
	if slices.Sort(down); !slices.Equal(down, []string{"eu-control", "us-west-control"}) {
		t.Errorf("down are %v", down)
	}
	seen, err := lab.Verify(t.Context(), u)
	for _, want := range []string{"us-east-control: refuses a write: no quorum", "us-west-control: process", "eu-control: process"} {
		if err != nil || !strings.Contains(seen, want) {
			t.Errorf("seen: %q, %v, want %q", seen, err, want)
		}
	}
	if err := lab.Revert(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	if seen, err := lab.Verify(t.Context(), u); err == nil {
		t.Errorf("after the revert: %s", seen)
	}
}

// TestQuorumLossIsOfAllMembers: of two of them, nobody could say which are left.
func TestQuorumLossIsOfAllMembers(t *testing.T) {
	lab := up(t, syncOptions(t))
	f := fleet.Fault{ID: "test", Kind: fleet.QuorumLoss, Lease: time.Hour}
	_, err := lab.Prepare(t.Context(), f, []fleet.Instance{{ID: "us-east-control"}, {ID: "eu-control"}})
	if want := "its targets are 2 of the store's 3 members"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q in it", err, want)
	}
}

// TestSyncRefuses names what a lab whose control planes are members of one store cannot do.
func TestSyncRefuses(t *testing.T) {
	for _, c := range []struct {
		kind fleet.FaultKind
		role fleet.Role
		want string // nothing: it can
	}{
		{fleet.StoreWipe, fleet.Control, "could undo what was acknowledged"},
		{fleet.StoreCorrupt, fleet.Control, "could undo what was acknowledged"},
		{fleet.Isolate, fleet.Control, "members of one store reach each other past the links"},
		{fleet.Isolate, fleet.Data, ""},
		{fleet.Kill, fleet.Control, ""},
	} {
		f := fleet.Fault{ID: "test", Kind: c.kind, Lease: time.Hour}
		target := Process{Instance: fleet.Instance{ID: "it", Role: c.role, Running: true}}
		err := threeRegions.checkFault(f, []Process{target})
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s of %s: got %v, want %q in it", c.kind, c.role, err, cmp.Or(c.want, "nothing"))
		}
	}
}

// TestMembersKnowEachOther: all are told of the same members, each of which listens where the others look for it.
func TestMembersKnowEachOther(t *testing.T) {
	p, err := newPlan("/lab", threeRegions, numbered())
	if err != nil {
		t.Fatal(err)
	}
	const want = "--replication sync --cluster us-east=http://127.0.0.1:7,us-west=http://127.0.0.1:8,eu=http://127.0.0.1:9"
	members := map[string]string{}
	for _, prog := range p.programs {
		if prog.Role != fleet.Control {
			continue
		}
		if args := strings.Join(prog.Args, " "); !strings.HasSuffix(args, want) {
			t.Errorf("%s: %s", prog.ID, args)
		}
		members[prog.Region] = prog.ports()[0]
	}
	if members["us-east"] != "127.0.0.1:7" || members["us-west"] != "127.0.0.1:8" || members["eu"] != "127.0.0.1:9" {
		t.Errorf("members are at %v", members)
	}
}
