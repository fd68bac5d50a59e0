package process

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"bytes"

	"gwdr/gateway"

	"gwdr/fleet/proc"
)

// numbered gives out 127.0.0.1:1, :2 and so on.
func numbered() func() (string, error) {
	n := 0
	return func() (string, error) {
		n++
		return fmt.Sprintf("127.0.0.1:%d", n), nil
	}
}

func TestPlan(t *testing.T) {
	topology := twoRegions
	topology.Regions = []Region{{"us-east", 1}, {"us-west", 0}}
	topology.Links = []Link{{ID: "offsite", To: "192.0.2.7:443"}}
	p, err := newPlan("/lab", topology, numbered())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, prog := range p.programs {
		got = append(got, prog.ID+": "+strings.Join(prog.Args, " "))
	}
	for _, l := range p.links.Links {
		got = append(got, fmt.Sprintf("%s: %s -> %s", l.ID, l.Listen, l.To))
	}
	common := " --token-file /lab/tokens --control-token-file /lab/replica-token --instance "
	rest := " --exit-on-stdin-eof --drain 1s"
	if diff := cmp.Diff([]string{
		"links: lab links --file /lab/links.json --exit-on-stdin-eof",
		"echo: lab echo --file /lab/echo.json --exit-on-stdin-eof",
		"us-east-control: serve --role control --data /lab/nodes/us-east-control --admin 127.0.0.1:4" + common +
			"us-east-control" + rest + " --region us-east --replication async --peer http://127.0.0.1:6 --leader",
		"us-west-control: serve --role control --data /lab/nodes/us-west-control --admin 127.0.0.1:5" + common +
			"us-west-control" + rest + " --region us-west --replication async --peer http://127.0.0.1:8",
		"us-east-1: serve --role data --data /lab/nodes/us-east-1 --admin 127.0.0.1:11" + common +
			"us-east-1" + rest + " --region us-east --listen 127.0.0.1:10 --control http://127.0.0.1:13" +
			" --clock-file /lab/nodes/us-east-1/clock",
		"edge: serve --role data --data /lab/nodes/edge --admin 127.0.0.1:15" + common +
			"edge" + rest + " --listen 127.0.0.1:14",
		"gateways--echo: 127.0.0.1:3 -> 127.0.0.1:2",
		"us-east-control--us-west-control: 127.0.0.1:6 -> 127.0.0.1:5",
		"edge--us-east-control: 127.0.0.1:7 -> 127.0.0.1:4",
		"us-west-control--us-east-control: 127.0.0.1:8 -> 127.0.0.1:4",
		"edge--us-west-control: 127.0.0.1:9 -> 127.0.0.1:5",
		"edge--us-east-1: 127.0.0.1:12 -> 127.0.0.1:10",
		"us-east-1--us-east-control: 127.0.0.1:13 -> 127.0.0.1:4",
		"offsite: 127.0.0.1:16 -> 192.0.2.7:443",
	}, got); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
}

// TestNothingGoesAroundTheLinks: no process is told the address of another one, but that of a link to it.
func TestNothingGoesAroundTheLinks(t *testing.T) {
	p, err := newPlan("/lab", twoRegions, numbered())
	if err != nil {
		t.Fatal(err)
	}
	state, err := p.edgeState(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	told := string(state)
	for _, prog := range p.programs {
		for i, arg := range prog.Args {
			if i > 0 && (prog.Args[i-1] == "--peer" || prog.Args[i-1] == "--control") {
				told += arg + "\n"
			}
		}
	}
	for _, prog := range p.programs {
		for _, addr := range prog.ports() {
			if regexp.MustCompile(regexp.QuoteMeta(addr) + `\b`).MatchString(told) {
				t.Errorf("a process is told the address of %s, %s", prog.ID, addr)
			}
		}
	}
}

func TestPlanWithoutReplicationKnowsNoPeers(t *testing.T) {
	topology := twoRegions
	topology.Replication = ReplicationNone
	p, err := newPlan("/lab", topology, numbered())
	if err != nil {
		t.Fatal(err)
	}
	for _, prog := range p.programs {
		if slices.Contains(prog.Args, "--peer") || slices.Contains(prog.Args, "--leader") {
			t.Errorf("%s: %v", prog.ID, prog.Args)
		}
	}
}

func TestEdgeStateIsOneThatTheGatewayReads(t *testing.T) {
	p, err := newPlan("/lab", twoRegions, numbered())
	if err != nil {
		t.Fatal(err)
	}
	text, err := p.edgeState(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	header, state, err := gateway.ReadStream(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if header.Store == "" || header.Revision == 0 {
		t.Errorf("header %+v", header)
	}
	for e := range state.All() {
		if err := gateway.Check(e); err != nil {
			t.Error(err)
		}
	}
	if diff := cmp.Diff(map[gateway.Kind]int{gateway.Upstream: 2, gateway.Route: 2}, state.Counts()); diff != "" {
		t.Errorf("entities (-want +got):\n%s", diff)
	}
}

func TestTopologyValidate(t *testing.T) {
	for want, change := range map[string]func(*Topology){
		"a lab has 1 to 8 regions, not 9":           func(l *Topology) { l.Regions = make([]Region, 9) },
		`region name "US" is not of the form`:       func(l *Topology) { l.Regions = []Region{{"US", 1}} },
		"region a has -1 instances":                 func(l *Topology) { l.Regions = []Region{{"a", -1}} },
		"a name is there twice: a, a":               func(l *Topology) { l.Regions = []Region{{"a", 1}, {"a", 1}} },
		"1 to 32 data instances, not 0":             func(l *Topology) { l.Regions = []Region{{"a", 0}} },
		"1 to 32 data instances, not 33":            func(l *Topology) { l.Regions = []Region{{"a", 33}} },
		`replication "snyc" is none of none, async`: func(l *Topology) { l.Replication = "snyc" },
		"odd number of regions, at least 3, not 2":  func(l *Topology) { l.Replication = ReplicationSync },
		`link name "../x" is not of the form`:       func(l *Topology) { l.Links = []Link{{ID: "../x"}} },
		"a name is there twice: us-east, us-east,":  func(l *Topology) { l.Links = []Link{{ID: "us-east"}} },
	} {
		l := twoRegions
		change(&l)
		if err := l.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
	if err := twoRegions.Validate(); err != nil {
		t.Error(err)
	}
}

func TestTwoLabsNeverTakeTheSamePort(t *testing.T) {
	var a, b ports
	defer a.Close()
	defer b.Close()
	taken := map[string]bool{}
	for range 200 {
		for _, p := range []*ports{&a, &b} {
			addr, err := p.take()
			if err != nil {
				t.Fatal(err)
			}
			if taken[addr] {
				t.Fatalf("%s was given out twice", addr)
			}
			taken[addr] = true
		}
	}
}

func TestIdentity(t *testing.T) {
	self, err := proc.Identify(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if !self.Alive() {
		t.Error("this process is not alive")
	}
	for name, other := range map[string]identity{
		"another start": {PID: self.PID, Start: self.Start + 1}, "no process": {PID: 0, Start: self.Start}, "a negative pid": {PID: -1, Start: self.Start},
	} {
		if other.Alive() {
			t.Errorf("%s is alive", name)
		}
		if err := other.Kill(); err != nil && other.PID > 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTail(t *testing.T) {
	path := t.TempDir() + "/log"
	if got := tail(path, 2); got != nil {
		t.Errorf("of no file: %q", got)
	}
	if err := os.WriteFile(path, []byte(strings.Repeat("long line\n", 1000)+"a\nb\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"long line", "a", "b"}, tail(path, 3)); diff != "" {
		t.Errorf("tail (-want +got):\n%s", diff)
	}
}
