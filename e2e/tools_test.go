package e2e

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gwdr/backup"
	"gwdr/backup/backuptest"
	"gwdr/backup/dir"
	"gwdr/gateway"
)

// lineageDir returns the directory of the only lineage in the house's first location.
func lineageDir(t *testing.T, h *house) string {
	t.Helper()
	dirs, err := filepath.Glob(filepath.Join(h.job.Copies[0].Location.(*dir.Location).Dir, "gwdr1", "????????????????????????????????"))
	if err != nil || len(dirs) != 1 {
		t.Fatalf("lineages: %v, %v", dirs, err)
	}
	return dirs[0]
}

func one(t *testing.T, pattern ...string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(pattern...))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v: %v, %v; want one file", pattern, files, err)
	}
	return files[0]
}

// TestByHand opens a snapshot as README.txt says, with nothing of gwdr.
func TestByHand(t *testing.T) {
	env := tools(t, "age", "zstd", "ssh-keygen", "tar", "sha256sum")
	h := newHouse(t)
	h.take(t)
	lineage, work := lineageDir(t, h), t.TempDir()
	run := func(script string) string {
		t.Helper()
		cmd := exec.Command("sh", "-euc", script)
		cmd.Dir = work
		cmd.Env = append(env, "LINEAGE="+lineage, "POINT="+one(t, lineage, "points", "*.tar"), "PACK="+one(t, lineage, "packs", "*", "*"),
			"IDENTITY="+h.keys.Identities[0], "ESCROW="+backup.EscrowFile(filepath.Dir(h.keys.Identities[0])), "SIGNERS="+h.keys.Trusted)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", script, err, out)
		}
		return string(out)
	}
	run(`tar -xf "$POINT" point.json point.json.sig`)
	out := run(`ssh-keygen -Y verify -f "$SIGNERS" -I gwdr -n gwdr-point-v1 -s point.json.sig < point.json`)
	if !strings.Contains(out, `Good "gwdr-point-v1" signature for gwdr`) {
		t.Errorf("ssh-keygen said %s", out)
	}
	var point backup.Point
	if content, err := os.ReadFile(filepath.Join(work, "point.json")); err != nil || json.Unmarshal(content, &point) != nil {
		t.Fatalf("point.json: %v", err)
	}
	if sum := run(`sha256sum "$PACK"`); !strings.HasPrefix(sum, point.Packs[0].SHA256) {
		t.Errorf("pack has the hash %s, the point says %s", sum, point.Packs[0].SHA256)
	}
	want := "spec/petstore.json\nkey/k1.json\nroute/a%2Fb.json\nroute/orders.json\n"
	for _, identity := range []string{"$IDENTITY", "$ESCROW"} {
		if diff := cmp.Diff(want, run(`age -d -i "`+identity+`" "$PACK" | zstd -d | tar -t`)); diff != "" {
			t.Errorf("%s: %s", identity, diff)
		}
	}
	run(`tar -xf "$LINEAGE/repo.tar"; ssh-keygen -Y verify -f "$SIGNERS" -I gwdr -n gwdr-repo-v1 -s repo.json.sig < repo.json`)
}

// TestRestoreScript runs the restore.sh that lies beside each lineage: on a point of packs, and on one that needs the log.
func TestRestoreScript(t *testing.T) {
	env := tools(t, "age", "zstd", "ssh-keygen", "tar", "sha256sum", "jq")
	h := newHouse(t)
	h.take(t)
	lineage := lineageDir(t, h)
	packed := one(t, lineage, "points", "*.tar")
	first := h.entities(t)
	h.source.Put(backuptest.Entity(gateway.Route, "orders", "changed\n\\ \t\"'$HOME"), backuptest.Entity(gateway.Cert, "-rf", "\xff\x00\n"))
	h.source.Put(backuptest.Entity(gateway.Setting, "empty", ""), backuptest.Entity(gateway.Route, "ä/ö %41", "x"))
	h.source.Delete(gateway.Ref{Kind: gateway.Key, ID: "k1"})
	h.take(t)
	h.take(t)
	logged := newest(t, lineage)
	script := func(point, folder string) (string, error) {
		cmd := exec.Command("sh", filepath.Join(lineage, "restore.sh"), point, h.keys.Identities[0], h.keys.Trusted, folder)
		cmd.Env = env
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	for point, want := range map[string]map[string]string{packed: first, logged: h.entities(t)} {
		folder := filepath.Join(t.TempDir(), "entities")
		out, err := script(point, folder)
		if said := fmt.Sprintf("restored %d entities of ", len(want)); err != nil || !strings.Contains(out, said) {
			t.Fatalf("restore.sh: %v\n%s", err, out)
		}
		if out, err := script(packed, folder); err == nil || !strings.Contains(out, "is not empty") {
			t.Errorf("restore.sh into what was restored already: %v\n%s", err, out)
		}
		if diff := cmp.Diff(want, files(t, folder)); diff != "" {
			t.Errorf("%s: %s", point, diff)
		}
		if open, err := exec.Command("find", folder, "-perm", "/077").CombinedOutput(); err != nil || len(open) > 0 {
			t.Errorf("others may read what was restored: %s, %v", open, err)
		}
	}
	for _, spoil := range []string{"log", "packs", "points"} {
		flip(t, lineage, spoil)
		out, err := script(logged, filepath.Join(t.TempDir(), "entities"))
		if code := (*exec.ExitError)(nil); !errors.As(err, &code) || spoil != "points" && (code.ExitCode() != 8 || !strings.Contains(out, "is damaged")) {
			t.Errorf("damage in %s: %v, %s", spoil, err, out)
		}
	}
	testNewest(t, env)
	usage := exec.Command("sh", filepath.Join(lineage, "restore.sh"))
	if out, err := usage.CombinedOutput(); err == nil || !strings.Contains(string(out), "usage:") {
		t.Errorf("without arguments: %v, %s", err, out)
	}
}

// TestRestoreScriptLongNames: what no file can be named is restored under a name that nothing else has, from packs and log.
func TestRestoreScriptLongNames(t *testing.T) {
	env := tools(t, "age", "zstd", "ssh-keygen", "tar", "sha256sum", "jq")
	h := newHouse(t)
	long := func(n int, end string) gateway.Ref {
		return gateway.Ref{Kind: gateway.Route, ID: strings.Repeat("x", n-len(end)) + end}
	}
	name := func(r gateway.Ref) string { return string(r.Kind) + "/" + url.PathEscape(r.ID) + ".json" }
	cut := func(r gateway.Ref) string {
		return fmt.Sprintf("%s/%.150s,%x.json", r.Kind, url.PathEscape(r.ID), sha256.Sum256([]byte(name(r))))
	}
	put := func(body string, refs ...gateway.Ref) {
		for _, r := range refs {
			h.source.Put(gateway.Entity{Ref: r, Body: []byte(body + r.ID)})
		}
	}
	fits, border, other, accents := long(250, ""), long(251, ""), long(251, "y"), gateway.Ref{Kind: gateway.Key, ID: strings.Repeat("ä%/", 60)}
	bait := gateway.Ref{Kind: gateway.Route, ID: strings.TrimSuffix(strings.TrimPrefix(cut(border), "route/"), ".json")}
	gone, late := long(300, "gone"), long(400, "late")
	put("1", fits, border, other, accents, bait, gone)
	h.take(t)
	put("2", other, late)
	h.source.Delete(gone)
	h.take(t)
	want, names := h.entities(t), map[string]string{}
	for _, r := range []gateway.Ref{border, other, accents, late} {
		want[cut(r)], names[cut(r)] = want[name(r)], name(r)
		delete(want, name(r))
	}
	lineage, folder := lineageDir(t, h), filepath.Join(t.TempDir(), "entities")
	cmd := exec.Command("sh", filepath.Join(lineage, "restore.sh"), newest(t, lineage), h.keys.Identities[0], h.keys.Trusted, folder)
	cmd.Env = env
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), fmt.Sprintf("restored %d entities of ", len(want))) {
		t.Fatalf("restore.sh: %v\n%s", err, out)
	}
	got, told := files(t, folder), map[string]string{}
	for line := range strings.Lines(got["long-names.txt"]) {
		file, whole, _ := strings.Cut(strings.TrimSpace(line), " ")
		told[file] = whole
	}
	delete(got, "long-names.txt")
	if diff := cmp.Diff(want, got) + cmp.Diff(names, told); diff != "" {
		t.Error(diff)
	}
}

// testNewest follows the log from the point to its end, in another lineage that nobody damaged.
func testNewest(t *testing.T, env []string) {
	t.Helper()
	fresh := newHouse(t)
	fresh.take(t)
	lineage := lineageDir(t, fresh)
	point := one(t, lineage, "points", "*.tar")
	fresh.source.Put(backuptest.Entity(gateway.Route, "late", `{"path":"/late"}`))
	fresh.take(t)
	run := func(folder string, more ...string) (string, error) {
		args := append([]string{filepath.Join(lineage, "restore.sh"), point, fresh.keys.Identities[0], fresh.keys.Trusted, folder}, more...)
		cmd := exec.Command("sh", args...)
		cmd.Env = env
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := run(filepath.Join(t.TempDir(), "point")); err != nil || !strings.Contains(out, "the log goes on after the point") {
		t.Errorf("restore.sh of an older point: %v\n%s", err, out)
	}
	folder := filepath.Join(t.TempDir(), "newest")
	if out, err := run(folder, "newest"); err != nil {
		t.Fatalf("restore.sh to the end of the log: %v\n%s", err, out)
	}
	if diff := cmp.Diff(fresh.entities(t), files(t, folder)); diff != "" {
		t.Error(diff)
	}
	flip(t, lineage, "log/0000000000000002")
	if out, err := run(filepath.Join(t.TempDir(), "damaged"), "newest"); err == nil || !strings.Contains(out, "is the state before it") {
		t.Errorf("restore.sh to the end of a damaged log: %v\n%s", err, out)
	}
}

// entities returns what the gateway holds, by the names of the files that it is restored to.
func (h *house) entities(t *testing.T) map[string]string {
	t.Helper()
	export, err := h.source.Export(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for e := range export.State.All() {
		all[string(e.Kind)+"/"+url.PathEscape(e.ID)+".json"] = string(e.Body)
	}
	return all
}

// files returns the files below the folder.
func files(t *testing.T, folder string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		name, _ := filepath.Rel(folder, path)
		all[filepath.ToSlash(name)] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// newest returns the newest point of the lineage.
func newest(t *testing.T, lineage string) string {
	t.Helper()
	points, err := filepath.Glob(filepath.Join(lineage, "points", "*.tar"))
	if err != nil || len(points) == 0 {
		t.Fatalf("points: %v, %v", points, err)
	}
	return points[len(points)-1]
}

// TestKindsInReadme: the order in README.txt is the one that gwdr uses.
func TestKindsInReadme(t *testing.T) {
	h := newHouse(t)
	h.take(t)
	content, err := os.ReadFile(filepath.Join(lineageDir(t, h), "README.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, k := range gateway.Kinds() {
		kinds = append(kinds, string(k))
	}
	if !strings.Contains(string(content), strings.Join(kinds, ", ")) {
		t.Errorf("README.txt does not name the kinds in the order %v", kinds)
	}
}

// repository returns gwdr's top directory; the S3 server has changed the working directory.
func repository() string {
	_, here, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(here))
}

// packages are the Debian packages that each tool needs.
var packages = map[string][]string{
	"age": {"age"}, "zstd": {"zstd"}, "ssh-keygen": {"openssh-client"}, "ssh-keyscan": {"openssh-client"}, "jq": {"jq", "libjq1", "libonig5"},
	"sshd": {"openssh-server", "openssh-sftp-server", "libwrap0"}, "nginx": {"nginx"},
}

// tools returns an environment in which the tools run: those of the system, or else from Debian's packages.
func tools(t *testing.T, names ...string) []string {
	t.Helper()
	path, libraries := []string{os.Getenv("PATH"), "/usr/sbin"}, []string{os.Getenv("LD_LIBRARY_PATH")} // not everybody's path has sbin
	for _, name := range names {
		if _, err := exec.LookPath(name); err == nil {
			continue
		}
		if _, err := os.Stat(filepath.Join("/usr/sbin", name)); err == nil {
			continue
		}
		root, err := fetchTool(t, name)
		if err != nil {
			missing(t, "%s: %v", name, err)
		}
		found, _ := filepath.Glob(filepath.Join(root, "usr", "lib", "*-linux-*"))
		path, libraries = append(path, filepath.Join(root, "usr", "bin"), filepath.Join(root, "usr", "sbin")), append(libraries, found...)
	}
	separator := string(os.PathListSeparator)
	env := append(os.Environ(), "PATH="+strings.Join(path, separator))
	if len(libraries) > 1 {
		env = append(env, "LD_LIBRARY_PATH="+strings.Trim(strings.Join(libraries, separator), separator))
	}
	return env
}

// missing ends a test that lacks something: in CI that is a failure.
func missing(t *testing.T, what string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("needed: "+what, args...)
	}
	t.Skipf("needed: "+what, args...)
}

// fetchTool unpacks the Debian packages of the tool, and returns the directory that they are in.
func fetchTool(t *testing.T, name string) (string, error) {
	t.Helper()
	wanted, ok := packages[name]
	if !ok {
		return "", fmt.Errorf("no package is known for %s", name)
	}
	dir := t.TempDir()
	download := exec.Command("apt-get", append([]string{"download"}, wanted...)...)
	download.Dir = dir
	if out, err := download.CombinedOutput(); err != nil {
		return "", fmt.Errorf("apt-get download %v: %w: %s", wanted, err, out)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil || len(files) != len(wanted) {
		return "", fmt.Errorf("apt-get download %v: %v", wanted, files)
	}
	for _, file := range files {
		if out, err := exec.Command("dpkg", "-x", file, dir).CombinedOutput(); err != nil {
			return "", fmt.Errorf("dpkg -x %s: %w: %s", file, err, out)
		}
	}
	return dir, nil
}
