package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gwdr/backup"
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
	want := "key/k1.json\nroute/a%2Fb.json\nroute/orders.json\nspec/petstore.json\n"
	for _, identity := range []string{"$IDENTITY", "$ESCROW"} {
		if diff := cmp.Diff(want, run(`age -d -i "`+identity+`" "$PACK" | zstd -d | tar -t`)); diff != "" {
			t.Errorf("%s: %s", identity, diff)
		}
	}
	run(`tar -xf "$LINEAGE/repo.tar"; ssh-keygen -Y verify -f "$SIGNERS" -I gwdr -n gwdr-repo-v1 -s repo.json.sig < repo.json`)
}

// TestRestoreScript runs the restore.sh that lies beside each lineage.
func TestRestoreScript(t *testing.T) {
	env := tools(t, "age", "zstd", "ssh-keygen", "tar", "sha256sum", "sed")
	h := newHouse(t)
	h.take(t)
	lineage, folder := lineageDir(t, h), filepath.Join(t.TempDir(), "entities")
	point := one(t, lineage, "points", "*.tar")
	script := func(args ...string) (string, error) {
		cmd := exec.Command("sh", append([]string{filepath.Join(lineage, "restore.sh")}, args...)...)
		cmd.Env = env
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := script(point, h.keys.Identities[0], h.keys.Trusted, folder); err != nil {
		t.Fatalf("restore.sh: %v\n%s", err, out)
	}
	for _, e := range someEntities() {
		name := strings.ReplaceAll(e.ID, "/", "%2F") + ".json"
		got, err := os.ReadFile(filepath.Join(folder, string(e.Kind), name))
		if err != nil || !bytes.Equal(got, e.Body) {
			t.Errorf("%s: %q, %v; want %q", e.Ref, got, err, e.Body)
		}
	}
	if out, err := script(); err == nil || !strings.Contains(out, "usage:") {
		t.Errorf("without arguments: %v, %s", err, out)
	}
	flip(t, lineage, "packs")
	if out, err := script(point, h.keys.Identities[0], h.keys.Trusted, folder); err == nil || !strings.Contains(out, "is damaged") {
		t.Errorf("damaged pack: %v, %s", err, out)
	}
	flip(t, lineage, "points")
	if out, err := script(point, h.keys.Identities[0], h.keys.Trusted, folder); err == nil {
		t.Errorf("damaged point was accepted: %s", out)
	}
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
	"age": {"age"}, "zstd": {"zstd"}, "ssh-keygen": {"openssh-client"}, "jq": {"jq", "libjq1", "libonig5"},
}

// tools returns an environment in which the tools run: those of the system, or else from Debian's packages.
func tools(t *testing.T, names ...string) []string {
	t.Helper()
	path, libraries := []string{os.Getenv("PATH")}, []string{os.Getenv("LD_LIBRARY_PATH")}
	for _, name := range names {
		if _, err := exec.LookPath(name); err == nil {
			continue
		}
		root, err := fetchTool(t, name)
		switch {
		case err != nil && os.Getenv("CI") == "true":
			t.Fatalf("%s is needed: %v", name, err)
		case err != nil:
			t.Skipf("%s is needed: %v", name, err)
		}
		found, _ := filepath.Glob(filepath.Join(root, "usr", "lib", "*-linux-*"))
		path, libraries = append(path, filepath.Join(root, "usr", "bin")), append(libraries, found...)
	}
	separator := string(os.PathListSeparator)
	env := append(os.Environ(), "PATH="+strings.Join(path, separator))
	if len(libraries) > 1 {
		env = append(env, "LD_LIBRARY_PATH="+strings.Trim(strings.Join(libraries, separator), separator))
	}
	return env
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
