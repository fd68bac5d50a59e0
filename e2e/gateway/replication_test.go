//go:build linux

package gateway

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"gwdr/e2e/shell"
	"gwdr/fleet/link"
	"gwdr/gateway"
)

// Each region of a cluster is killed while all are written to, the one that orders the writes among them. The others go on, and no key or
// revocation that any of them acknowledged is lost, in any region. Who watches one sees each of them once.
func TestClusterLosesNothing(t *testing.T) {
	shell.New(t, binary)
	regions := cluster(t)
	routes(t, regions[0])
	var watches []*watched
	for _, s := range regions {
		watches = append(watches, watch(t, s))
	}
	acked := writeTo(t, 4, regions...)
	for _, s := range regions {
		acked.more(t, 200)
		killed := time.Now()
		s.end(syscall.SIGKILL)
		acked.more(t, 200)
		t.Logf("a region was killed: nothing was acknowledged for %s", acked.pause(killed).Round(time.Millisecond))
		s.start()
	}
	acked.more(t, 200)
	acked.end()
	now, err := regions[0].client().Brief(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range regions {
		watches[i].saw(t, now.Revision, acked)
		if lost := acked.lost(t, s); len(lost) > 0 {
			t.Errorf("lost: %v", lost)
		}
		s.awaits("/any", acked.works.Token, 200)
		s.awaits("/any", acked.revoked.Token, 401)
	}
	t.Logf("%d writes were acknowledged, %d of them revocations", len(acked.refs), acked.revocations())
}

// A leader that others copy is killed while it is written to, and another is promoted. What that lacks of what was acknowledged is counted,
// and none of it is dropped in silence: the old leader, once it is back, sets it aside, and hands over the revocations.
func TestLossOfAsynchronousReplication(t *testing.T) {
	shell.New(t, binary)
	for _, c := range []struct {
		clients int
		delay   time.Duration
	}{{1, 0}, {1, 20 * time.Millisecond}, {4, 20 * time.Millisecond}} {
		t.Run(fmt.Sprintf("%d clients, %s each way", c.clients, c.delay), func(t *testing.T) { loseLeader(t, c.clients, c.delay) })
	}
}

func loseLeader(t *testing.T, clients int, delay time.Duration) {
	east, west := pair(t, delay)
	routes(t, east)
	follows(t, west, east)
	acked := writeTo(t, clients, east)
	acked.more(t, 500)
	killed := time.Now()
	east.end(syscall.SIGKILL)
	acked.end()
	if _, err := west.client().Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	west.put(gateway.Consumer, "later", gateway.ConsumerBody{Name: "later"})
	paused, lost := time.Since(killed), acked.lost(t, west)
	east.start()
	follows(t, east, west)
	aside := setAside(t, east.dir)
	for _, ref := range lost {
		if !aside[ref] {
			t.Errorf("%s is neither there nor set aside", ref)
		}
	}
	gone := 0
	for _, ref := range acked.lost(t, west) {
		if gone++; ref.Kind == gateway.Revocation {
			t.Errorf("%s is not handed over", ref)
		}
	}
	west.awaits("/any", acked.revoked.Token, 401)
	t.Logf("%d writes were acknowledged in %s, %d of them revocations; %d were lost by a promotion %s after the kill; when the old leader was back, %d",
		len(acked.refs), acked.took().Round(time.Millisecond), acked.revocations(), len(lost), paused.Round(time.Millisecond), gone)
}

// routes puts a route that needs a key.
func routes(t *testing.T, s *server) {
	t.Helper()
	back := httptest.NewServer(backend())
	t.Cleanup(back.Close)
	s.put(gateway.Upstream, "back", gateway.UpstreamBody{Endpoints: endpoints(back.Listener.Addr().String())})
	s.put(gateway.Route, "any", gateway.RouteBody{Path: "/any", Upstream: "back"})
}

// cluster starts three regions that are one cluster.
func cluster(t *testing.T) (regions []*server) {
	t.Helper()
	var members []string
	for i := range 3 {
		members = append(members, fmt.Sprintf("%c=http://%s", 'a'+i, freeAddr(t)))
	}
	for _, member := range members {
		s := &server{t: t, dir: t.TempDir(), Listen: "127.0.0.1:0", Admin: "127.0.0.1:0", words: []string{binary, "serve", "--replication", "sync",
			"--region", member[:1], "--cluster", strings.Join(members, ",")}}
		s.launch()
		regions = append(regions, s)
	}
	for _, s := range regions {
		s.awaitReady()
	}
	return regions
}

// pair starts two regions, which are as far from each other as the delay says. The first leads.
func pair(t *testing.T, delay time.Duration) (east, west *server) {
	t.Helper()
	at := []string{freeAddr(t), freeAddr(t)}
	for i, more := range [][]string{{"--leader"}, nil} {
		words := append([]string{binary, "serve", "--replication", "async", "--peer", "http://" + far(t, at[1-i], delay)}, more...)
		s := &server{t: t, dir: t.TempDir(), Listen: "127.0.0.1:0", Admin: at[i], words: words}
		s.start()
		east, west = west, s
	}
	return east, west
}

// far returns an address from which everything arrives at the given one after the delay, and comes back as late.
func far(t *testing.T, address string, delay time.Duration) string {
	t.Helper()
	l, err := link.Listen(link.Spec{ID: "far", Listen: "127.0.0.1:0", To: address}, nil)
	if err == nil && delay > 0 {
		err = l.Set(link.State{Mode: link.Latency, Delay: delay, Lease: time.Hour})
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr()
}

// follows waits until a region holds what the leader does.
func follows(t *testing.T, s, leader *server) {
	t.Helper()
	shell.Eventually(t, 30*time.Second, func() error {
		mine, err := s.client().Status(t.Context())
		if err != nil {
			return err
		}
		want, err := leader.client().Status(t.Context())
		if err == nil && (mine.Mode != gateway.ModeFollower || mine.Digest != want.Digest) {
			err = fmt.Errorf("%s has %v, the leader %v", mine.Mode, mine.Counts, want.Counts)
		}
		return err
	})
}

// setAside returns what the files of an old leader hold.
func setAside(t *testing.T, dir string) map[gateway.Ref]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "forked-epoch*.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	refs := map[gateway.Ref]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
			var c gateway.Change
			if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
				t.Fatal(err)
			}
			refs[c.Entity.Ref] = true
		}
	}
	return refs
}
