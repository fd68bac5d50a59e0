package process

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gwdr/fleet"
	"gwdr/fleet/link"
)

// cutsOf prepares a fault and returns what it would do to which links, by target.
func cutsOf(t *testing.T, lab *Lab, f fleet.Fault, s fleet.Selector) (map[string]map[string]link.State, error) {
	t.Helper()
	all, err := lab.Instances(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f.ID, f.Lease = "test", time.Hour
	u, err := lab.Prepare(t.Context(), f, s.Select(all))
	if err != nil {
		return nil, err
	}
	data, err := decodeUndo(u)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]map[string]link.State{}
	for _, target := range data.Targets {
		got[target.ID] = map[string]link.State{}
		for _, c := range target.Links {
			got[target.ID][c.Link] = c.State
		}
	}
	return got, nil
}

func TestWhichLinksAreCut(t *testing.T) {
	lab := up(t, newOptions(t))
	isolated := link.State{Mode: link.Blackhole, Deaf: true}
	there := link.State{Mode: link.Shape, There: link.Flow{Drop: true}}
	back := link.State{Mode: link.Shape, Back: link.Flow{Drop: true}}
	slow := link.Flow{Delay: 3 * time.Millisecond, Jitter: time.Millisecond}
	late := link.State{Mode: link.Shape, There: slow, Back: slow}
	type links = map[string]link.State
	east, west := fleet.Selector{Region: "us-east"}, fleet.Selector{Region: "us-west"}
	for name, test := range map[string]struct {
		fault fleet.Fault
		from  fleet.Selector
		want  map[string]links
	}{
		"a region is one side, and stays whole": {fleet.Fault{Kind: fleet.Isolate}, east, map[string]links{
			"us-east-1": {"edge--us-east-1": isolated}, "us-east-2": {"edge--us-east-2": isolated},
			"us-east-control": {"edge--us-east-control": isolated, "us-east-control--us-west-control": isolated, "us-west-control--us-east-control": isolated},
		}},
		"an instance loses its control plane": {fleet.Fault{Kind: fleet.Isolate}, fleet.Selector{Instance: "us-east-1"}, map[string]links{
			"us-east-1": {"edge--us-east-1": isolated, "us-east-1--us-east-control": isolated},
		}},
		"one way, whoever connects": {fleet.Fault{Kind: fleet.Partition, With: fleet.Params{Peer: west}}, east, map[string]links{
			"us-east-1": {}, "us-east-2": {},
			"us-east-control": {"us-east-control--us-west-control": there, "us-west-control--us-east-control": back},
		}},
		"a link between two targets is cut once": {
			fleet.Fault{Kind: fleet.Latency, With: fleet.Params{Delay: slow.Delay, Jitter: slow.Jitter}}, fleet.Selector{Role: fleet.Control}, map[string]links{
				"us-east-control": {"edge--us-east-control": late, "us-east-control--us-west-control": late,
					"us-east-1--us-east-control": late, "us-east-2--us-east-control": late},
				"us-west-control": {"edge--us-west-control": late, "us-west-control--us-east-control": late,
					"us-west-1--us-west-control": late, "us-west-2--us-west-control": late},
			}},
		"all instances share one link to the upstream": {fleet.Fault{Kind: fleet.Reset}, fleet.Selector{Role: fleet.Upstream}, map[string]links{
			"echo": {"gateways--echo": {Mode: link.Reset}},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := cutsOf(t, lab, test.fault, test.from)
			if diff := cmp.Diff(test.want, got); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestFaultsThatWouldBreakNothingAreRefused(t *testing.T) {
	lab := up(t, newOptions(t))
	for want, test := range map[string]struct {
		fault fleet.Fault
		from  fleet.Selector
	}{
		"no link of the lab leads from there to its peer": {
			fleet.Fault{Kind: fleet.Partition, With: fleet.Params{Peer: fleet.Selector{Region: "us-west"}}}, fleet.Selector{Instance: "us-east-1"}},
		"streams, which lose no packets":         {fleet.Fault{Kind: fleet.Loss, With: fleet.Params{Share: 0.5}}, fleet.Selector{Instance: "us-east-1"}},
		"no name is resolved":                    {fleet.Fault{Kind: fleet.DNS}, fleet.Selector{Instance: "us-east-1"}},
		"fault test: fault partition needs peer": {fleet.Fault{Kind: fleet.Partition}, fleet.Selector{Instance: "us-east-1"}},
	} {
		_, err := cutsOf(t, lab, test.fault, test.from)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
}

// keptAlive is a connection to a data instance over its link that is known to carry.
type keptAlive struct {
	*net.TCPConn
	answers *bufio.Reader
}

func keepAlive(t *testing.T, lab *Lab, id string) *keptAlive {
	t.Helper()
	conn, err := net.DialTimeout("tcp", lab.LinkAddr(id), soon)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	k := &keptAlive{conn.(*net.TCPConn), bufio.NewReader(conn)}
	if _, err := k.get(soon); err != nil {
		t.Fatalf("before the fault: %v", err)
	}
	return k
}

// get makes one request on the connection and returns how long its answer took.
func (k *keptAlive) get(limit time.Duration) (time.Duration, error) {
	k.SetDeadline(time.Now().Add(limit))
	start := time.Now()
	if _, err := io.WriteString(k, "GET / HTTP/1.1\r\nHost: gwdr\r\n\r\n"); err != nil {
		return 0, err
	}
	resp, err := http.ReadResponse(k.answers, nil)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return time.Since(start), err
}

// TestConnectionsThatWereMadeBefore feel the fault, too.
func TestConnectionsThatWereMadeBefore(t *testing.T) {
	lab := up(t, newOptions(t))
	const quiet = 100 * time.Millisecond
	silent := func(t *testing.T, k *keptAlive) {
		if _, err := k.get(quiet); !isTimeout(err) {
			t.Errorf("a request on an old connection ended with %v, want silence", err)
		}
	}
	edge := fleet.Selector{Role: fleet.Edge}
	for kind, test := range map[fleet.FaultKind]struct {
		with  fleet.Params
		check func(*testing.T, *keptAlive)
	}{
		fleet.Isolate:   {check: silent},
		fleet.BlackHole: {check: silent},
		fleet.Partition: {fleet.Params{Peer: edge}, silent},
		fleet.Reset: {check: func(t *testing.T, k *keptAlive) {
			if _, err := k.get(soon); !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
				t.Errorf("an old connection ended with %v, want a reset", err)
			}
		}},
		fleet.Latency: {fleet.Params{Delay: 50 * time.Millisecond}, func(t *testing.T, k *keptAlive) {
			if took, err := k.get(soon); err != nil || took < 100*time.Millisecond {
				t.Errorf("an answer on an old connection took %s, %v", took, err)
			}
		}},
		fleet.Bandwidth: {fleet.Params{Rate: 200}, func(t *testing.T, k *keptAlive) {
			if took, err := k.get(soon); err != nil || took < 500*time.Millisecond { // of about 200 bytes
				t.Errorf("an answer on an old connection took %s, %v", took, err)
			}
		}},
	} {
		t.Run(string(kind), func(t *testing.T) {
			k := keepAlive(t, lab, "edge--us-east-1")
			u := injectInto(t, lab, fleet.Fault{ID: "test", Kind: kind, With: test.with}, fleet.Selector{Instance: "us-east-1"})
			test.check(t, k)
			if err := lab.Revert(t.Context(), u); err != nil {
				t.Fatal(err)
			}
			keepAlive(t, lab, "edge--us-east-1")
		})
	}
}

// injectInto injects a fault whose lease outlives the test.
func injectInto(t *testing.T, lab *Lab, f fleet.Fault, s fleet.Selector) fleet.Undo {
	t.Helper()
	all, err := lab.Instances(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if f.Lease == 0 {
		f.Lease = time.Hour
	}
	u, err := lab.Prepare(t.Context(), f, s.Select(all))
	if err != nil {
		t.Fatal(err)
	}
	if err := lab.Inject(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	return u
}

// modes returns what every link does that does not pass.
func modes(t *testing.T, lab *Lab) map[string]link.Mode {
	t.Helper()
	infos, err := lab.Links().Links(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	broken := map[string]link.Mode{}
	for _, info := range infos {
		if info.Mode != link.Pass {
			broken[info.ID] = info.Mode
		}
	}
	return broken
}

func TestSecondFaultOfALinkIsRefusedAndLeavesTheFirst(t *testing.T) {
	lab := up(t, newOptions(t))
	east := fleet.Selector{Instance: "us-east-1"}
	first := injectInto(t, lab, fleet.Fault{ID: "first", Kind: fleet.BlackHole}, east)
	all, err := lab.Instances(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	second, err := lab.Prepare(t.Context(), fleet.Fault{ID: "second", Kind: fleet.Reset, Lease: time.Hour}, fleet.Selector{Role: fleet.Data}.Select(all))
	if err != nil {
		t.Fatal(err)
	}
	if err := lab.Inject(t.Context(), second); err == nil || !strings.Contains(err.Error(), "link edge--us-east-1 is cut by fault first") {
		t.Errorf("second fault of a link: %v", err)
	}
	if err := lab.Revert(t.Context(), second); err != nil {
		t.Errorf("revert of the refused fault: %v", err)
	}
	want := map[string]link.Mode{"edge--us-east-1": link.Blackhole, "us-east-1--us-east-control": link.Blackhole}
	if diff := cmp.Diff(want, modes(t, lab)); diff != "" {
		t.Errorf("links after the second fault (-want +got):\n%s", diff)
	}
	if _, err := lab.Verify(t.Context(), first); err != nil {
		t.Errorf("the first fault: %v", err)
	}
	if err := lab.Revert(t.Context(), first); err != nil {
		t.Error(err)
	}
	if left := modes(t, lab); len(left) > 0 {
		t.Errorf("links do not pass: %v", left)
	}
}

// TestNetworkFaultOfWhatIsDown: a link whose far end another fault has killed cannot be seen to carry, and is mended.
func TestNetworkFaultOfWhatIsDown(t *testing.T) {
	lab := up(t, newOptions(t))
	east := fleet.Selector{Instance: "us-east-1"}
	late := injectInto(t, lab, fleet.Fault{ID: "late", Kind: fleet.Latency, With: fleet.Params{Delay: 20 * time.Millisecond}}, east)
	kill := injectInto(t, lab, fleet.Fault{ID: "kill", Kind: fleet.Kill}, east)
	if seen, err := lab.Verify(t.Context(), late); err == nil {
		t.Errorf("the delay to a dead instance was seen: %s", seen)
	}
	lab.do(t.Context(), http.MethodDelete, "/faults/late", nil, nil)
	if left := modes(t, lab); len(left) > 0 {
		t.Errorf("links do not pass: %v", left)
	}
	if err := lab.Revert(t.Context(), kill); err != nil {
		t.Fatal(err)
	}
	if err := lab.Revert(t.Context(), late); err != nil {
		t.Fatal(err)
	}
}

// TestLinksKilledDuringAFault: the fault is over then, which everybody learns who renews it, and the lab is whole again.
func TestLinksKilledDuringAFault(t *testing.T) {
	lab := up(t, newOptions(t))
	u := injectInto(t, lab, fleet.Fault{ID: "test", Kind: fleet.Isolate, Lease: 3 * time.Second}, fleet.Selector{Region: "us-east"})
	before := processes(t, lab)[linksID]
	if err := (identity{PID: before.PID, Start: before.Start}).Kill(); err != nil {
		t.Fatal(err)
	}
	until(t, "the links run again", func() bool {
		p := processes(t, lab)[linksID]
		return p.Running && p.PID != before.PID && probe(t.Context(), lab.http, lab.file.LinksURL+"/ready") == nil
	})
	if seen, err := lab.Verify(t.Context(), u); err == nil {
		t.Errorf("the fault is said to be in effect: %s", seen)
	}
	if err := lab.Renew(t.Context(), u); err == nil || !strings.Contains(err.Error(), "does not own it") {
		t.Errorf("renew: %v", err)
	}
	until(t, "nothing is left after the lease", func() bool {
		left, err := lab.Leftovers(t.Context())
		return err == nil && len(left) == 0
	})
	if err := lab.Revert(t.Context(), u); err != nil {
		t.Error(err)
	}
	wholeAgain(t, lab)
}

// wholeAgain fails the test unless every link passes and every instance answers over its link.
func wholeAgain(t *testing.T, lab *Lab) {
	t.Helper()
	if left := modes(t, lab); len(left) > 0 {
		t.Errorf("links do not pass: %v", left)
	}
	for id, ends := range lab.file.Ends {
		if err := carries(t.Context(), brokenLink{Link: id, Addr: lab.LinkAddr(id), Far: ends.Addr}); err != nil {
			t.Error(err)
		}
	}
}

// TestLinksHealWithoutTheSupervisor stops the supervisor: nobody is there to revert, and the lease heals all the same.
func TestLinksHealWithoutTheSupervisor(t *testing.T) {
	lab := up(t, newOptions(t))
	injectInto(t, lab, fleet.Fault{ID: "test", Kind: fleet.Isolate, Lease: time.Second}, fleet.Selector{Region: "us-east"})
	supervisor := lab.Supervisor()
	if err := syscall.Kill(supervisor, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Kill(supervisor, syscall.SIGCONT) })
	until(t, "the links pass again", func() bool { return len(modes(t, lab)) == 0 })
	wholeAgain(t, lab)
	if err := syscall.Kill(supervisor, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	until(t, "the supervisor knows", func() bool {
		left, err := lab.Leftovers(t.Context())
		return err == nil && len(left) == 0
	})
}

func TestUploadIsAsLargeAsItSays(t *testing.T) {
	for _, size := range []int64{100, 500, 5_000, 60_000, 1 << 20} {
		var out strings.Builder
		sent, err := fill(&out, size)
		if err != nil || sent != int64(out.Len()) || sent > size || sent < size-int64(len(padding(20))) {
			t.Errorf("of %d bytes %d were sent, and %d said, %v", size, out.Len(), sent, err)
		}
		in := bufio.NewReader(strings.NewReader(out.String()))
		var closing []bool
		for {
			r, err := http.ReadRequest(in)
			if err != nil {
				break
			}
			closing = append(closing, r.Close)
		}
		if n := len(closing); n == 0 || slices.Index(closing, true) != n-1 {
			t.Errorf("of %d bytes the requests end the connection: %v", size, closing)
		}
	}
}
