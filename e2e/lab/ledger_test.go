package lab

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gwdr/drills"
	"gwdr/probes"
)

// told is a change on its way to the gateway, and whether its acknowledgement came back.
type told struct {
	kind, id string // entity
	object   string // what the ledger calls it
	version  string // empty: a delete
	body     string
	acked    bool
	doomed   bool // it is rolled back later
}

// front stands between gwdr and its gateway. It knows what was acknowledged, and loses some answers; nothing of it is gwdr's.
type front struct {
	*httptest.Server
	mu      sync.Mutex
	random  *rand.Rand
	to      string // the gateway's admin API
	shut    bool   // nothing gets through
	doomed  bool   // what gets through now is rolled back later
	left    int    // acknowledged changes until it shuts; only if doomed
	cut     int    // answers that are lost as soon as it is about to shut
	journal []told
	unknown map[string]bool // deletes without a clear answer, by kind/id: what is absent after one is no loss that anybody can know
}

var ledgerMark = regexp.MustCompile(`(ledger-[0-9a-f]{6}-[0-9]+):([0-9]+)`)

func newFront(t *testing.T, seed uint64) *front {
	f := &front{random: rand.New(rand.NewPCG(seed, 1)), cut: 3, unknown: map[string]bool{}}
	f.Server = httptest.NewServer(f)
	t.Cleanup(func() { f.CloseClientConnections(); f.Close() })
	return f
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	f.mu.Lock()
	defer f.mu.Unlock()
	c, counts := changeOf(r, string(body))
	if f.shut && f.random.IntN(3) == 0 {
		http.Error(w, "shut", http.StatusConflict) // it certainly did not happen
		return
	}
	if f.shut {
		f.drop(w, c)
		return
	}
	status, header, answer := f.forward(r, body)
	maps.Copy(w.Header(), header)
	if !counts {
		w.WriteHeader(status)
		w.Write(answer)
		return
	}
	c.doomed = f.doomed
	if f.doomed && f.left == 0 { // made, and nobody hears of it
		f.cut--
		f.shut = f.cut <= 0
		f.journal = append(f.journal, c)
		f.drop(w, c)
		return
	}
	if c.acked = status/100 == 2; c.acked && f.doomed {
		f.left--
	}
	f.journal = append(f.journal, c)
	w.WriteHeader(status)
	w.Write(answer)
}

// changeOf reads a change of the ledger's own objects; what they rest on is none.
func changeOf(r *http.Request, body string) (c told, ok bool) {
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/v1/"), "/")
	if r.Method == http.MethodGet || len(parts) != 2 {
		return c, false
	}
	c = told{kind: parts[0], id: parts[1], object: parts[1], body: body}
	mark := ledgerMark.FindStringSubmatch(body)
	if r.Method == http.MethodDelete {
		return c, true
	}
	if mark == nil {
		return c, false
	}
	c.object, c.version = mark[1], mark[2]
	return c, true
}

// drop ends the connection without an answer.
func (f *front) drop(w http.ResponseWriter, c told) {
	if c.version == "" {
		f.unknown[c.kind+"/"+c.id] = true
	}
	if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
		conn.Close()
	}
}

func (f *front) forward(r *http.Request, body []byte) (int, http.Header, []byte) {
	req, err := http.NewRequest(r.Method, f.to+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		return http.StatusBadGateway, nil, nil
	}
	req.Header = r.Header.Clone()
	req.Header.Del("Accept-Encoding")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return http.StatusBadGateway, nil, nil
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return http.StatusBadGateway, nil, nil
	}
	return resp.StatusCode, resp.Header, answer
}

// set changes how the front behaves, between two requests.
func (f *front) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *front) acked() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.journal {
		if c.acked {
			n++
		}
	}
	return n
}

// lost says what became of each acknowledged change that was rolled back, by what the gateway holds in the end.
func (f *front) lost(final map[string]string) (all []string) {
	objects, last := map[string]string{}, map[string]told{}
	for _, c := range f.journal {
		if c.kind == "key" {
			objects[c.id] = c.object
		}
		if c.acked {
			last[c.kind+"/"+c.id] = c
		}
	}
	for _, c := range f.journal {
		body, there := final[c.kind+"/"+c.id]
		end := last[c.kind+"/"+c.id]
		intact := there && end.version != "" && body == end.body || !there && (end.version == "" || f.unknown[c.kind+"/"+c.id])
		if !c.acked || !c.doomed || intact {
			continue
		}
		class, kind := "stale", c.kind
		if !there {
			class = "lost"
		}
		if kind == "revocation" {
			kind, c.object = "revoke", objects[c.id]
			if _, alive := final["key/"+c.id]; alive {
				class = "resurrected"
			}
		}
		all = append(all, fmt.Sprintln(class, kind, c.object, c.version))
	}
	slices.Sort(all)
	return all
}

// state is what the gateway holds, by kind/id.
func state(t *testing.T, admin string) map[string]string {
	t.Helper()
	resp, err := http.Get(admin + "/v1/state")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	all := map[string]string{}
	for dec := json.NewDecoder(resp.Body); ; {
		var line struct {
			Kind, ID string
			Body     []byte
		}
		if err := dec.Decode(&line); err == io.EOF {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		if line.Kind != "" {
			all[line.Kind+"/"+line.ID] = string(line.Body)
		}
	}
}

// gatewayProcess is gwdr serve with a data directory that can be put back.
type gatewayProcess struct {
	u              *user
	cmd            *exec.Cmd
	data           string
	listen, admin_ string
}

// start starts it, at the addresses that it had before.
func (s *gatewayProcess) start() {
	s.u.t.Helper()
	ready := filepath.Join(s.u.home, "ready")
	os.Remove(ready)
	or := func(a string) string {
		if a == "" {
			return "127.0.0.1:0"
		}
		return a
	}
	s.cmd = s.u.command("serve", "--data", s.data, "--listen", or(s.listen), "--admin", or(s.admin_), "--region", "eu", "--ready-file", ready)
	if err := s.cmd.Start(); err != nil {
		s.u.t.Fatal(err)
	}
	eventually(s.u.t, 20*time.Second, "gwdr serve is ready", func() bool {
		raw, err := os.ReadFile(ready)
		var at struct{ Listen, Admin string }
		if err != nil || json.Unmarshal(raw, &at) != nil {
			return false
		}
		s.listen, s.admin_ = at.Listen, at.Admin
		return true
	})
}

// stop kills it.
func (s *gatewayProcess) stop() {
	s.cmd.Process.Kill()
	s.cmd.Wait()
}

// TestForcedLoss rolls the disk of a real gateway back by a known number of acknowledged changes, and wants gwdr to name
// exactly those. What is true comes from the acknowledgements on their way and from what the gateway holds.
func TestForcedLoss(t *testing.T) {
	for seed, forced := range []int{0, 1 + rand.IntN(20), 20 + rand.IntN(60)} {
		t.Run(fmt.Sprint(forced), func(t *testing.T) { forceLoss(t, uint64(seed), forced) })
	}
}

func forceLoss(t *testing.T, seed uint64, forced int) {
	u := newUser(t)
	s := &gatewayProcess{u: u, data: filepath.Join(u.home, "data")}
	s.start()
	f := newFront(t, seed)
	f.to = "http://" + s.admin_
	// Nothing is given up that waits for the gateway to start again, however busy the machine is: the front counts its answer.
	cmd := u.command("probe", "ledger", "--gateway", "gwdr+"+f.URL, "--every", "20ms", "--baseline", "1s", "--stable-for", "1s",
		"--settle", "20s", "--timeout", "1m", "--keep", "--json", "-q")
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, 30*time.Second, "changes before the snapshot", func() bool { return f.acked() >= 150 })
	kept := filepath.Join(u.home, "kept")
	f.set(func() { // one request at a time: none is under way
		s.stop()
		if err := os.CopyFS(kept, os.DirFS(s.data)); err != nil {
			t.Error(err)
		}
		s.start()
		f.doomed, f.left = true, forced
	})
	shut := func() (yes bool) { f.set(func() { yes = f.shut }); return yes }
	eventually(t, 60*time.Second, "the forced changes are acknowledged", shut)
	before := f.acked()
	s.stop()
	if err := os.RemoveAll(s.data); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(kept, s.data); err != nil {
		t.Fatal(err)
	}
	s.start()
	f.set(func() { f.shut, f.doomed = false, false })
	eventually(t, 30*time.Second, "changes after the rollback", func() bool { return f.acked() >= before+50 })
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	compareLoss(t, f, s, forced, decode[drills.WatchResult](t, out.String()), cmd.ProcessState.ExitCode())
	u.want(0, "report", "verify", decode[drills.WatchResult](t, out.String()).Evidence)
	s.stop()
}

func compareLoss(t *testing.T, f *front, s *gatewayProcess, forced int, r drills.WatchResult, code int) {
	t.Helper()
	facts, err := drills.ReadWatch(r.Evidence)
	if err != nil {
		t.Fatal(err)
	}
	deletes := map[int64]bool{}
	for _, e := range facts.Ledger {
		deletes[e.Change.Seq] = e.Change.Delete
	}
	var found []string
	for _, i := range r.Ledger.Changes {
		version := fmt.Sprint(i.Seq)
		if deletes[i.Seq] {
			version = ""
		}
		if i.Class != probes.Recovered {
			found = append(found, fmt.Sprintln(i.Class, i.Kind, i.ID, version))
		}
	}
	slices.Sort(found)
	truth := f.lost(state(t, "http://"+s.admin_))
	if diff := cmp.Diff(truth, found); diff != "" {
		t.Errorf("forced %d (-truth +found):\n%s", forced, diff)
	}
	for _, o := range facts.Final {
		if o.Error != "" {
			t.Errorf("not read back: %+v", o)
			break
		}
	}
	l, n := r.Ledger, 0
	byKind := map[string]int{}
	for _, line := range truth {
		byKind[strings.Fields(line)[1]]++
		if strings.HasPrefix(line, "resurrected") {
			n++
		}
	}
	if l.Acked != f.acked() || l.Resurrected != n || l.Indeterminate == 0 || l.Corrupt+l.Phantom+l.Duplicate+l.Unread > 0 || len(l.UnreadRegions) > 0 {
		t.Errorf("%d acknowledged, %d resurrected: %+v", f.acked(), n, l)
	}
	if n > 0 && (code != 3 || r.Verdict != drills.Fail) {
		t.Errorf("%d revoked keys work again, and yet: %s, code %d", n, r.Verdict, code)
	}
	var kinds []string
	for _, kind := range slices.Sorted(maps.Keys(byKind)) {
		kinds = append(kinds, fmt.Sprint(byKind[kind], " ", kind))
	}
	t.Logf("forced %d lost of %d acknowledged (%s; %d made and deleted again): found %d, ids equal; indeterminate %d, rejected %d",
		forced, f.acked(), strings.Join(kinds, " "), forced-len(truth), l.Lost+l.Stale+l.Resurrected, l.Indeterminate, l.Rejected)
}

// TestLedgerKilled: after kill -9 what is on disk still judges. An intent without a result is not known, and no loss.
func TestLedgerKilled(t *testing.T) {
	u := newUser(t)
	s := &gatewayProcess{u: u, data: filepath.Join(u.home, "data")}
	s.start()
	cmd := u.command("probe", "ledger", "--gateway", "gwdr+http://"+s.admin_, "--every", "10ms", "--baseline", "1s", "-q")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var dir string
	eventually(t, 20*time.Second, "changes on record", func() bool {
		found, _ := filepath.Glob(filepath.Join(u.home, "evidence", "probe-*", drills.LedgerFile))
		if len(found) != 1 {
			return false
		}
		dir = filepath.Dir(found[0])
		facts, err := drills.ReadWatch(dir)
		return err == nil && len(facts.Ledger) > 200
	})
	cmd.Process.Signal(syscall.SIGKILL)
	cmd.Wait()
	facts, err := drills.ReadWatch(dir)
	if err != nil {
		t.Fatal(err)
	}
	r := drills.JudgeWatch(facts)
	l := r.Ledger
	if r.Verdict != drills.Errored || l.Acked < 50 || l.Lost+l.Stale+l.Resurrected > 0 || !strings.Contains(l.Statement, "loss is not known") {
		t.Errorf("%s %s: %+v", r.Verdict, r.Reason, l)
	}
	intents, results := map[int64]bool{}, map[int64]bool{}
	for _, e := range facts.Ledger {
		intents[e.Change.Seq] = true
		results[e.Change.Seq] = results[e.Change.Seq] || e.Result != ""
	}
	open := 0
	for seq := range intents {
		if !results[seq] {
			open++
		}
	}
	if l.Indeterminate < open {
		t.Errorf("%d intents have no result, %d changes are indeterminate", open, l.Indeterminate)
	}
	contains(t, u.run("report", dir).stdout, "gwdr was killed")
	s.stop()
}
