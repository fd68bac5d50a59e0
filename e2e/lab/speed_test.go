package lab

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"gwdr/gateway"
	"gwdr/gateway/native"
	"gwdr/gateway/openapi"
)

// The size of the gateway in BenchmarkBackupRestore.
const (
	benchRoutes = 10_000
	benchKeys   = 100_000
)

// BenchmarkLab starts and ends a lab of two regions with two instances each.
func BenchmarkLab(b *testing.B) {
	u := newUser(b)
	for b.Loop() {
		u.want(0, "lab", "up", "-q")
		b.StopTimer()
		u.want(0, "lab", "down", "-q")
		b.StartTimer()
	}
}

// BenchmarkBackupRestore backs a gateway with routes of real OpenAPI documents and many keys up to three directories, and
// restores it into an empty one. The documents are those of GWDR_BENCH_SPECS (a tar.gz), or made ones without it.
func BenchmarkBackupRestore(b *testing.B) {
	u := newUser(b)
	source := u.serve("source")
	load(b, &native.Client{URL: source.admin, HTTP: native.NewHTTP()})
	init := []string{"init", "--file", filepath.Join(u.home, "gwdr.yaml"), "--gateway", "gwdr+" + source.admin}
	for _, name := range []string{"one", "two", "three"} {
		init = append(init, "--location", name+"=file://"+filepath.Join(u.home, name))
	}
	u.want(0, init...)
	var backup, restore time.Duration
	var target served
	for b.Loop() {
		target = u.serve(fmt.Sprintf("target-%d", time.Now().UnixNano()))
		begun := time.Now()
		if r := u.run("backup", "--json", "-q"); r.code != 3 { // three directories on one device: 3-2-1 is not met, and gwdr says so
			b.Fatalf("backup: exit code %d: %s", r.code, r.stderr)
		}
		backup += time.Since(begun)
		begun = time.Now()
		u.want(0, "restore", "--to", "gwdr+"+target.admin, "--probe", target.listen, "--yes", "--json", "-q")
		restore += time.Since(begun)
	}
	b.ReportMetric(backup.Seconds()/float64(b.N), "s/backup")
	b.ReportMetric(restore.Seconds()/float64(b.N), "s/restore")
	b.ReportMetric(source.peakMB(b), "MB/source-peak")
	b.ReportMetric(target.peakMB(b), "MB/target-peak")
}

// served is a running `gwdr serve`.
type served struct {
	pid           int
	listen, admin string
}

// serve starts a gateway in a directory of its own, with further arguments; it ends with the benchmark.
func (u *user) serve(name string, args ...string) served {
	u.t.Helper()
	ready := filepath.Join(u.home, name+".ready")
	cmd := exec.Command(binary, append([]string{"serve", "-q", "--data", filepath.Join(u.home, name), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0",
		"--ready-file", ready, "--exit-on-stdin-eof"}, args...)...)
	cmd.Env = u.env
	stdin, err := cmd.StdinPipe()
	if err != nil {
		u.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		u.t.Fatal(err)
	}
	u.t.Cleanup(func() {
		stdin.Close()
		cmd.Wait()
	})
	var raw []byte
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if raw, err = os.ReadFile(ready); err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) || time.Now().After(deadline) {
			u.t.Fatalf("gateway is not ready: %v", err)
		}
	}
	addresses := decode[struct{ Listen, Admin string }](u.t, string(raw))
	return served{cmd.Process.Pid, "http://" + addresses.Listen, "http://" + addresses.Admin}
}

// peakMB returns the most memory that the process had in RAM so far, in MB.
func (s served) peakMB(t testing.TB) float64 {
	t.Helper()
	peak, ok := peakMB(s.pid)
	if !ok {
		t.Fatalf("process %d does not tell its memory", s.pid)
	}
	return peak
}

// peakMB returns the most memory that a process had in RAM so far, in MB, unless it has ended.
func peakMB(pid int) (peak float64, ok bool) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, false
	}
	_, rest, ok := strings.Cut(string(raw), "VmHWM:")
	if !ok { // a zombie has no memory
		return 0, false
	}
	kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	return kb / 1e3, err == nil
}

// load fills the gateway with the routes of documents and with keys.
func load(b *testing.B, client *native.Client) {
	b.Helper()
	put := func(k gateway.Kind, id string, body any) gateway.Change {
		return gateway.Change{Op: gateway.Create, Entity: gateway.Entity{Ref: gateway.Ref{Kind: k, ID: id}, Body: gateway.Encode(body)}}
	}
	changes := []gateway.Change{
		put(gateway.Upstream, "backend", gateway.UpstreamBody{Endpoints: []gateway.Endpoint{{URL: "http://127.0.0.1:9"}}}),
		put(gateway.Consumer, "bench", gateway.ConsumerBody{Name: "bench"}),
	}
	for range benchKeys {
		token := gateway.NewToken()
		changes = append(changes, put(gateway.Key, token.ID, gateway.KeyBody{Consumer: "bench", Hash: token.Hash(), Created: time.Now().UTC()}))
	}
	if _, err := client.ApplyBulk(b.Context(), changes, gateway.Bulk{}); err != nil {
		b.Fatal(err)
	}
	routes, documents, bytes := 0, 0, 0
	for name, document := range specs(b) {
		if read, err := openapi.Read(document); err != nil {
			b.Fatal(err)
		} else if routes+len(read) > benchRoutes { // the largest would overshoot; smaller ones fill up
			continue
		}
		n, err := client.ImportOpenAPI(b.Context(), name, "backend", name+".test", document)
		if err != nil {
			b.Fatalf("import %s: %v", name, err)
		}
		routes, documents, bytes = routes+n, documents+1, bytes+len(document)
	}
	b.Logf("%d routes of %d documents (%d MB), %d keys", routes, documents, bytes>>20, benchKeys)
}

// specs yields documents by name: real ones if there are any, else made ones.
func specs(b *testing.B) func(yield func(string, []byte) bool) {
	archive := os.Getenv("GWDR_BENCH_SPECS")
	if archive == "" {
		return madeSpecs
	}
	return func(yield func(string, []byte) bool) {
		f, err := os.Open(archive)
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close()
		unzipped, err := gzip.NewReader(f)
		if err != nil {
			b.Fatal(err)
		}
		for n, r := 0, tar.NewReader(unzipped); ; {
			header, err := r.Next()
			if err == io.EOF {
				return
			}
			if err != nil {
				b.Fatal(err)
			}
			if header.Typeflag != tar.TypeReg || strings.HasSuffix(header.Name, ".md") {
				continue
			}
			document, err := io.ReadAll(r)
			if err != nil {
				b.Fatal(err)
			}
			if n++; !yield(fmt.Sprintf("spec-%d", n), document) {
				return
			}
		}
	}
}

// madeSpecs yields 100 documents of 100 operations each.
func madeSpecs(yield func(string, []byte) bool) {
	for n := range 100 {
		var paths []string
		for p := range 100 {
			paths = append(paths, fmt.Sprintf(`"/things-%d/{id}":{"get":{"summary":%q,"responses":{"200":{"description":"ok"}}}}`, p, strings.Repeat("words ", 30)))
		}
		document := fmt.Sprintf(`{"openapi":"3.0.3","info":{"title":"made","version":"1"},"paths":{%s}}`, strings.Join(paths, ","))
		if !yield(fmt.Sprintf("made-%d", n), []byte(document)) {
			return
		}
	}
}
