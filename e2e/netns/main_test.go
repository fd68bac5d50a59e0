//go:build linux

// Package netns tests the fleet of network namespaces with whole drills, in namespaces that it makes itself: gwdr, the edge and the
// regions are all in one of them, and nothing of the machine's own network is touched.
package netns

import (
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"gwdr/e2e/shell"
)

var binary string

// TestMain makes this test binary the servers, too: what follows it is the address, then those of the regions if it is the edge.
func TestMain(m *testing.M) {
	if os.Getenv("GWDR_TEST_SERVER") != "" {
		fmt.Fprintln(os.Stderr, serve(os.Args[1], os.Args[2:]))
		os.Exit(1)
	}
	os.Exit(shell.Main(m, &binary))
}

// serve ends with its standard input.
func serve(at string, regions []string) error {
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, at) })
	if len(regions) > 0 {
		handler = shell.Edge(regions)
	}
	return http.ListenAndServe(at, handler)
}

// world is two regions and the clients' place, each a namespace, joined by a bridge in a fourth.
type world struct {
	t      *testing.T
	suffix string
	before map[string]string // the rules of each region
}

const servers, frontDoor = 8080, "127.0.0.1:18080"

func newWorld(t *testing.T) *world {
	t.Helper()
	shell.Need(t, true, "ip", "nft", "ss")
	w := &world{t: t, suffix: strings.ToLower(rand.Text()[:5]), before: map[string]string{}}
	t.Cleanup(w.remove)
	w.ip("netns", "add", w.name("sw"))
	w.ip("-n", w.name("sw"), "link", "add", "br0", "type", "bridge")
	w.ip("-n", w.name("sw"), "link", "set", "br0", "up")
	for i, place := range []string{"client", "us-east", "us-west"} {
		w.join(place, fmt.Sprintf("10.66.0.%d/24", i+1))
	}
	w.serve("us-east", "10.66.0.2:8080")
	w.serve("us-west", "10.66.0.3:8080")
	w.serve("client", frontDoor, "10.66.0.2:8080", "10.66.0.3:8080")
	w.must("ip", "netns", "exec", w.name("us-east"), "nft", "add table inet theirs; add chain inet theirs c { type filter hook input priority 0; }")
	for _, region := range []string{"us-east", "us-west"} {
		w.before[region] = w.rules(region)
	}
	return w
}

func (w *world) name(place string) string { return "gwdr-" + w.suffix + "-" + place }

func (w *world) must(args ...string) string {
	w.t.Helper()
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		w.t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return string(out)
}

func (w *world) ip(args ...string) { w.t.Helper(); w.must(append([]string{"ip"}, args...)...) }

// join makes a namespace with an address on the bridge.
func (w *world) join(place, address string) {
	w.t.Helper()
	ns := w.name(place)
	w.ip("netns", "add", ns)
	w.ip("-n", ns, "link", "set", "lo", "up")
	w.ip("-n", ns, "link", "add", "eth0", "type", "veth", "peer", "name", "v-"+place, "netns", w.name("sw"))
	w.ip("-n", w.name("sw"), "link", "set", "v-"+place, "master", "br0", "up")
	w.ip("-n", ns, "addr", "add", address, "dev", "eth0")
	w.ip("-n", ns, "link", "set", "eth0", "up")
}

// serve starts a server, which ends with the test, and waits until it answers.
func (w *world) serve(place, at string, regions ...string) {
	w.t.Helper()
	self, err := os.Executable()
	if err != nil {
		w.t.Fatal(err)
	}
	cmd := exec.Command("ip", append([]string{"netns", "exec", w.name(place), self, at}, regions...)...)
	cmd.Env, cmd.Stderr = append(os.Environ(), "GWDR_TEST_SERVER=yes"), os.Stderr
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	shell.Eventually(w.t, 20*time.Second, func() error {
		out, err := exec.Command("ip", "netns", "exec", w.name(place), "sh", "-c", "ss -Hltn | grep -F "+at).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s does not listen: %w %s", at, err, out)
		}
		return nil
	})
}

// rules are all of the packet filter in a region, as nft lists them.
func (w *world) rules(region string) string {
	w.t.Helper()
	return w.must("ip", "netns", "exec", w.name(region), "nft", "list", "ruleset")
}

// whole says in which region a rule was left, or one of somebody else touched.
func (w *world) whole() error {
	for region, before := range w.before {
		if now := w.rules(region); now != before {
			return fmt.Errorf("rules of %s: %s", region, now)
		}
	}
	return nil
}

// remove removes the namespaces, and proves it. Nobody may be in one of them by then: the servers have ended, and so have the holders and
// what they run.
func (w *world) remove() {
	all, err := filepath.Glob("/run/netns/" + w.name("*"))
	if err != nil {
		w.t.Fatal(err)
	}
	for _, path := range all {
		for pid, line := range w.left(path) {
			w.t.Errorf("process %d is left in %s: %s; killed: %v", pid, path, line, syscall.Kill(pid, syscall.SIGKILL))
		}
		w.ip("netns", "del", filepath.Base(path))
	}
	if left, err := filepath.Glob("/run/netns/" + w.name("*")); err != nil || len(left) > 0 {
		w.t.Errorf("namespaces are left: %v, %v", left, err)
	}
}

// left waits until nobody is in a namespace, and returns the command lines of those who are, by pid.
func (w *world) left(path string) map[int]string {
	w.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		found, err := within(path)
		if err != nil {
			w.t.Fatal(err)
		}
		if len(found) == 0 || time.Now().After(deadline) {
			return found
		}
	}
}

// within returns the command lines of the processes of which a thread is in the namespace, by pid.
func within(path string) (map[int]string, error) {
	space, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	found := map[int]string{}
	for pid, line := range shell.Commands() {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/ns/net", pid))
		if err != nil {
			return nil, err
		}
		for _, thread := range threads {
			if at, err := os.Stat(thread); err == nil && os.SameFile(at, space) { // one that has ended is nowhere
				found[pid] = line
			}
		}
	}
	return found, nil
}
