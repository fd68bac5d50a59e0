package cmd

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/server/v3/embed"

	"gwdr/gateway"
)

// Where a store lies, what does not go together is refused before anything is made.
func TestServeRefusesPlacesOfTheStore(t *testing.T) {
	three := "a=http://127.0.0.1:1,b=http://127.0.0.1:2,c=http://127.0.0.1:3"
	for _, c := range []struct {
		says string
		args []string
	}{
		{"sync needs --cluster", []string{"--replication", "sync"}},
		{"are for --etcd", []string{"--etcd-user", "u"}},
		{"are for --cluster", []string{"--cluster-ca", "x"}},
		{"do not go together", []string{"--etcd", "http://127.0.0.1:1", "--cluster", three}},
		{"are for control planes", []string{"--role", "data", "--etcd", "http://127.0.0.1:1"}},
		{"stores of their own", []string{"--replication", "async", "--etcd", "http://127.0.0.1:1"}},
		{"--cluster needs --replication sync", []string{"--cluster", three}},
		{"needs --region", []string{"--replication", "sync", "--cluster", three}},
		{`no member is named "d"`, []string{"--replication", "sync", "--region", "d", "--cluster", three}},
		{"not of the form NAME=", []string{"--replication", "sync", "--region", "a", "--cluster", "http://127.0.0.1:1"}},
		{"that needs https", []string{"--replication", "sync", "--region", "a", "--cluster", strings.ReplaceAll(three, "127.0.0.1", "10.0.0.1")}},
		{"not of the form https://host:port", []string{"--etcd", "localhost"}},
		{"--etcd-user needs https", []string{"--etcd", "http://10.0.0.1:2379", "--etcd-user", "u", "--etcd-password-file", "p"}},
		{"go together", []string{"--etcd", "http://127.0.0.1:1", "--etcd-user", "u"}},
		{"go together", []string{"--etcd", "https://127.0.0.1:1", "--etcd-cert", "x"}},
		{"--peer needs --replication async", []string{"--replication", "sync", "--peer", "http://x", "--region", "a", "--cluster", three}},
	} {
		args := append([]string{"serve", "--data", t.TempDir()}, c.args...)
		if says := serveFails(t, exitUsage, args...); !strings.Contains(says, c.says) {
			t.Errorf("%v: %s", c.args, says)
		}
	}
	nobody := []string{"serve", "--data", t.TempDir(), "--etcd", "http://127.0.0.1:1"}
	if says := serveFails(t, exitError, nobody...); !strings.Contains(says, "is etcd running there?") {
		t.Errorf("etcd that is not there: %s", says)
	}
}

// ask sends a request to the admin API and returns the status and the answer.
func (s *served) ask(method, path, body string) (status int, answer string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, "http://"+s.Admin+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// freePort returns an address at which nobody listened a moment ago.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Three regions are one cluster: what one takes all serve. One may be lost, and writes go on; without a quorum they are refused soon,
// while data planes serve on; and all goes on when another is back.
func TestServeCluster(t *testing.T) {
	var members []string
	dirs, all := map[string]string{}, map[string]*served{}
	for _, name := range []string{"a", "b", "c"} {
		members = append(members, name+"=http://"+freePort(t))
		dirs[name] = t.TempDir()
	}
	start := func(name string) *served {
		return startServing(t, dirs[name], "--replication", "sync", "--region", name, "--cluster", strings.Join(members, ","), "--cluster-election", "300ms")
	}
	for name := range dirs {
		all[name] = start(name)
	}
	for _, s := range all {
		s.awaitReady()
	}
	a, b, c := all["a"], all["b"], all["c"]
	fillGateway(t, a.client(""))
	for name, s := range all {
		eventuallyServed(t, "route at "+name, func() bool { return s.status("/open") == 200 })
		if status, text := s.ask("GET", "/leader", ""); status != 200 {
			t.Errorf("leader %s: %d %s", name, status, text)
		}
	}
	a.end()
	eventuallyServed(t, "write without a", func() bool { status, _ := b.ask("PUT", "/v1/setting/s", "{}"); return status == 200 || status == 201 })
	c.end()
	begun := time.Now()
	if status, text := b.ask("PUT", "/v1/setting/s", "{}"); status != 503 || !strings.Contains(text, `"code":"no_quorum"`) || time.Since(begun) > 5*time.Second {
		t.Errorf("write without a quorum: %d %s after %s", status, text, time.Since(begun))
	}
	if status, text := b.ask("GET", "/leader", ""); status != 503 || !strings.Contains(text, "no_quorum") {
		t.Errorf("leader without a quorum: %d %s", status, text)
	}
	if got := b.status("/open"); got != 200 {
		t.Errorf("data plane without a quorum: %d", got)
	}
	a = start("a")
	a.awaitReady()
	eventuallyServed(t, "write with a", func() bool { status, _ := b.ask("PUT", "/v1/setting/s", "{}"); return status == 200 })
	eventuallyServed(t, "route at a", func() bool { return a.status("/open") == 200 })
	b.end()
	lostDisk(t, filepath.Join(dirs["b"], "store"))
	says := serveFails(t, exitRefused, "serve", "--data", dirs["b"], "--replication", "sync", "--region", "b", "--cluster", strings.Join(members, ","))
	if !strings.Contains(says, "has lost its store") {
		t.Errorf("member without its disk: %s", says)
	}
}

func lostDisk(t *testing.T, dir string) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
}

// Two control planes have one store in an etcd elsewhere.
func TestServeOverEtcd(t *testing.T) {
	etcd := startEtcd(t)
	a := serveUntilEnd(t, t.TempDir(), "--etcd", etcd, "--etcd-prefix", "/shop")
	b := serveUntilEnd(t, t.TempDir(), "--etcd", etcd, "--etcd-prefix", "/shop")
	other := serveUntilEnd(t, t.TempDir(), "--etcd", etcd)
	fillGateway(t, a.client(""))
	eventuallyServed(t, "route at the other", func() bool { return b.status("/open") == 200 })
	mine, err := a.client("").Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := b.client("").Status(t.Context())
	if err != nil || mine.Store != theirs.Store || mine.Digest != theirs.Digest || theirs.Mode != gateway.ModeLeader {
		t.Errorf("%+v\n%+v\n%v", mine, theirs, err)
	}
	if status, err := other.client("").Status(t.Context()); err != nil || status.Store == mine.Store || len(status.Counts) > 0 {
		t.Errorf("without the prefix: %+v, %v", status, err)
	}
	if _, metrics := a.ask("GET", "/metrics", ""); strings.Contains(metrics, "gwdr_control_store_quota_bytes") || !strings.Contains(metrics, "gwdr_control_leader 1") {
		t.Errorf("metrics: %s", metrics)
	}
}

// startEtcd starts an etcd in this process that clients reach, and returns its URL.
func startEtcd(t *testing.T) string {
	t.Helper()
	c := embed.NewConfig()
	c.Dir, c.LogLevel, c.LogOutputs = t.TempDir(), "error", []string{os.DevNull}
	client, peer := url.URL{Scheme: "http", Host: freePort(t)}, url.URL{Scheme: "http", Host: freePort(t)}
	c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	c.ListenPeerUrls, c.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	c.InitialCluster = fmt.Sprintf("%s=%s", c.Name, &peer)
	e, err := embed.StartEtcd(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	<-e.Server.ReadyNotify()
	return client.String()
}
