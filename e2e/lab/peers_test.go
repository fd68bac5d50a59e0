package lab

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"gwdr/backup"
	"gwdr/gateway"
)

// benchDocuments is how many documents BenchmarkBackupPeers has, each of at most this size in bytes.
const (
	benchDocuments = 500
	maxDocument    = 48 << 10
)

// BenchmarkBackupPeers compares whole commands in one run: gwdr backing a running gateway up to three directories, and
// restic and borg backing the same entities, as one file of JSON lines that is there already, up to one. First everything,
// then again after 1 % of the entities, evenly spread, have changed. GWDR_BENCH_SPECS as in BenchmarkBackupRestore.
func BenchmarkBackupPeers(b *testing.B) {
	s := newShop(b)
	s.env = append(s.env, "RESTIC_PASSWORD=x", "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes", "BORG_PASSPHRASE=x")
	state := benchState(b)
	if _, err := s.client.ApplyBulk(b.Context(), gateway.Diff(gateway.NewState(), state), gateway.Bulk{}); err != nil {
		b.Fatal(err)
	}
	s.settle()
	figures := map[string][]float64{}
	for round := 0; b.Loop(); round++ {
		s.writeLines(state)
		g, r, o := s.gwdrRepository(round), s.peer("restic", round), s.peer("borg", round)
		measure(figures, "first", g, r, o)
		next := changed(state, round)
		if _, err := s.client.ApplyBulk(b.Context(), gateway.Diff(state, next), gateway.Bulk{}); err != nil {
			b.Fatal(err)
		}
		state = next
		s.writeLines(state)
		s.settle()
		measure(figures, "second", g, r, o)
	}
	report(b, figures)
}

// settle waits until the gateway has loaded what was changed: until it uses no more processor time.
func (s *shop) settle() {
	s.t.Helper()
	last := ""
	eventually(s.t, time.Minute, "the gateway is idle", func() bool {
		time.Sleep(300 * time.Millisecond)
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.gateway.pid))
		if err != nil {
			s.t.Fatal(err)
		}
		before := last
		last = strings.Join(strings.Fields(string(raw))[13:15], " ")
		return last == before
	})
}

// repository is where a tool backs up to.
type repository struct {
	name string
	dirs []string // one, or more with the same content
	take func()
}

// measure takes a backup with each tool, and notes the time and what it added, in MB, to one location.
func measure(figures map[string][]float64, when string, repositories ...repository) {
	for _, r := range repositories {
		before := folderBytes(r.dirs[0])
		begun := time.Now()
		r.take()
		took := time.Since(begun)
		figures["s/"+r.name+"-"+when] = append(figures["s/"+r.name+"-"+when], took.Seconds())
		figures["MB/"+r.name+"-"+when] = append(figures["MB/"+r.name+"-"+when], float64(folderBytes(r.dirs[0])-before)/1e6)
	}
}

func folderBytes(dir string) (n int64) {
	filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if info, infoErr := entry.Info(); err == nil && infoErr == nil && info.Mode().IsRegular() {
			n += info.Size()
		}
		return nil
	})
	return n
}

// gwdrRepository is three new locations, and a new spool.
func (s *shop) gwdrRepository(round int) repository {
	root := filepath.Join(s.home, fmt.Sprint("gwdr-", round))
	args := []string{"init", "--file", filepath.Join(root, "gwdr.yaml"), "--gateway", "gwdr+" + s.client.URL}
	var dirs []string
	for _, name := range []string{"one", "two", "three"} {
		dirs = append(dirs, filepath.Join(root, name))
		args = append(args, "--location", name+"=file://"+dirs[len(dirs)-1])
	}
	s.want(0, args...)
	return repository{"gwdr", dirs, func() {
		cmd := s.command("backup", "--config", filepath.Join(root, "gwdr.yaml"), "--json")
		cmd.Env = append(slices.Clone(s.env), "GWDR_STATE="+filepath.Join(root, "state"))
		out, _ := cmd.Output() // exit code 3: three directories on one device are no 3-2-1
		r := decode[backup.Result](s.t, string(out))
		if r.Stored() != 3 {
			s.t.Fatalf("backup: %s", out)
		}
	}}
}

// peer is a new repository of another tool.
func (s *shop) peer(tool string, round int) repository {
	dir := filepath.Join(s.home, fmt.Sprint(tool, "-", round))
	file := filepath.Join(s.home, "entities.jsonl")
	run := func(args ...string) {
		cmd := exec.Command(tool, args...)
		cmd.Env = s.env
		if out, err := cmd.CombinedOutput(); err != nil {
			s.t.Fatalf("%s %v: %v\n%s", tool, args, err, out)
		}
	}
	if tool == "borg" {
		run("init", "-e", "repokey-blake2", dir)
		return repository{tool, []string{dir}, func() { run("create", "-C", "zstd,3", dir+"::{now:%s%f}", file) }}
	}
	run("init", "-q", "-r", dir)
	return repository{tool, []string{dir}, func() { run("backup", "-q", "-r", dir, file) }}
}

// writeLines writes the state as a file for the peers.
func (s *shop) writeLines(state *gateway.State) {
	var lines bytes.Buffer
	enc := json.NewEncoder(&lines)
	enc.SetEscapeHTML(false)
	for e := range state.All() {
		if err := enc.Encode(map[string]string{"kind": string(e.Kind), "id": e.ID, "body": string(e.Body)}); err != nil {
			s.t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(s.home, "entities.jsonl"), lines.Bytes(), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// benchState is a gateway of benchRoutes routes, benchDocuments documents and benchKeys keys.
func benchState(b *testing.B) *gateway.State {
	state := gateway.NewState()
	add := func(kind gateway.Kind, id string, body []byte) {
		state.Put(gateway.Entity{Ref: gateway.Ref{Kind: kind, ID: id}, Body: body})
	}
	add(gateway.Upstream, "backend", gateway.Encode(gateway.UpstreamBody{Endpoints: []gateway.Endpoint{{URL: "http://127.0.0.1:9"}}}))
	add(gateway.Consumer, "bench", gateway.Encode(gateway.ConsumerBody{Name: "bench"}))
	for i := range benchRoutes {
		add(gateway.Route, fmt.Sprintf("route-%05d", i), fmt.Appendf(nil,
			`{"hosts":["api-%d.test"],"methods":["GET"],"path":"/v%d/things/{id}/parts/%d","upstream":"backend","scopes":["read"]}`, i%50, i%3, i))
	}
	for range benchKeys {
		token := gateway.NewToken()
		add(gateway.Key, token.ID, gateway.Encode(gateway.KeyBody{Consumer: "bench", Hash: token.Hash(), Scopes: []string{"read"}, Created: time.Now().UTC()}))
	}
	var documents [][]byte
	for _, document := range specs(b) {
		if len(document) <= maxDocument {
			documents = append(documents, document)
		}
	}
	total := 0
	for i := range benchDocuments {
		document := documents[i%len(documents)]
		add(gateway.Spec, fmt.Sprintf("spec-%03d", i), fmt.Appendf(slices.Clone(document), "\n# %d\n", i))
		total += len(document)
	}
	b.Logf("%d entities, documents of %d kB", state.Len(), total/1000)
	return state
}

// changed returns the state with each hundredth entity changed.
func changed(state *gateway.State, round int) *gateway.State {
	next, i := state.Clone(), 0
	for e := range state.All() {
		if i++; i%100 != 7 || e.Kind == gateway.Upstream || e.Kind == gateway.Consumer {
			continue
		}
		body := slices.Clone(e.Body)
		switch e.Kind {
		case gateway.Spec:
			body = fmt.Appendf(body, "\n# changed %d\n", round)
		case gateway.Key:
			body = bytes.Replace(body, []byte(`"read"`), fmt.Appendf(nil, `"read","round-%d"`, round), 1)
		default:
			body = bytes.Replace(body, []byte(`["read"`), fmt.Appendf(nil, `["read","round-%d"`, round), 1)
		}
		next.Put(gateway.Entity{Ref: e.Ref, Body: body})
	}
	return next
}

// BenchmarkBackupKeys backs a gateway of ever more keys up: everything, and again after one has changed. It reports how long
// that takes and how much memory gwdr itself has at most.
func BenchmarkBackupKeys(b *testing.B) {
	for _, n := range []int{100_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := newShop(b)
			s.addKeys(n)
			figures := map[string][]float64{}
			for b.Loop() {
				for _, run := range []string{"full", "changes"} {
					s.addKeys(1)
					s.settle()
					cmd := s.command("backup", "-q", "--full="+fmt.Sprint(run == "full"))
					begun := time.Now()
					if err := cmd.Run(); cmd.ProcessState.ExitCode() != 3 { // three directories on one device
						b.Fatalf("backup: %v", err)
					}
					figures["s/"+run] = append(figures["s/"+run], time.Since(begun).Seconds())
					rss := cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss
					figures["MB-peak/"+run] = append(figures["MB-peak/"+run], float64(rss)/1e3)
				}
			}
			report(b, figures)
		})
	}
}

// addKeys issues keys, in bulk.
func (s *shop) addKeys(n int) {
	s.t.Helper()
	for n > 0 {
		var changes []gateway.Change
		for range min(n, 50_000) {
			token := gateway.NewToken()
			body := gateway.Encode(gateway.KeyBody{Hash: token.Hash(), Scopes: []string{"read"}, Created: time.Now().UTC()})
			changes = append(changes, gateway.Change{Op: gateway.Create, Entity: gateway.Entity{Ref: gateway.Ref{Kind: gateway.Key, ID: token.ID}, Body: body}})
		}
		if _, err := s.client.ApplyBulk(s.t.Context(), changes, gateway.Bulk{}); err != nil {
			s.t.Fatal(err)
		}
		n -= len(changes)
	}
}

// report reports the median of each figure.
func report(b *testing.B, figures map[string][]float64) {
	for name, values := range figures {
		slices.Sort(values)
		b.ReportMetric(values[len(values)/2], name)
	}
}
