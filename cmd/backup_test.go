package cmd

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"gwdr/backup"
	"gwdr/backup/backuptest"
	"gwdr/gateway"
)

// site is a machine with a configuration that gwdr init wrote, and three directories as locations.
type site struct {
	t      *testing.T
	dir    string
	source *backuptest.Source
	stdout bytes.Buffer
	stderr bytes.Buffer
	named  map[string]string // variables
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), source: backuptest.NewSource("store",
		backuptest.Entity(gateway.Route, "a", "{}"), backuptest.Entity(gateway.Key, "k", "{}"))}
	args := []string{"init", "--file", s.path("gwdr.yaml"), "--site", "dc1"}
	for _, location := range []string{"local,media=disk,site=dc1", "nas,media=nas,site=dc1", "offsite,media=object,site=dc2"} {
		name, rest, _ := strings.Cut(location, ",")
		args = append(args, "--location", fmt.Sprintf("%s=file://%s,%s", name, s.path(name), rest))
	}
	s.want(0, args...)
	return s
}

func (s *site) path(parts ...string) string {
	return filepath.Join(append([]string{s.dir}, parts...)...)
}

func (s *site) env(name string) string {
	if name == "HOME" {
		return s.dir
	}
	return s.named[name]
}

// want runs gwdr and wants the exit code.
func (s *site) want(code int, args ...string) string {
	s.t.Helper()
	s.stdout.Reset()
	s.stderr.Reset()
	if args[0] != "init" {
		args = append([]string{"--config", s.path("gwdr.yaml")}, args...)
	}
	if got := run(args, invocation{nil, &s.stdout, &s.stderr, s.env, "gwdr", nil}); got != code {
		s.t.Errorf("gwdr %v: exit code %d, want %d\n%s%s", args, got, code, &s.stdout, &s.stderr)
	}
	return s.stdout.String() + s.stderr.String()
}

// backup runs gwdr backup on the site's source and wants the exit code.
func (s *site) backup(code int, asJSON bool) string {
	s.t.Helper()
	config, err := loadConfig(s.path("gwdr.yaml"), s.env)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.backupAs(code, &app{Config: config, JSON: asJSON})
}

func (s *site) backupAs(code int, a *app) string {
	s.t.Helper()
	s.stdout.Reset()
	s.stderr.Reset()
	a.Stdout, a.Stderr, a.Log, a.Env = &s.stdout, &s.stderr, slog.New(slog.DiscardHandler), s.env
	_, err := a.backup(s.t.Context(), s.source, backupOptions{patience: 5 * time.Second})
	if got := a.fail(s.t.Context(), err); got != code {
		s.t.Errorf("gwdr backup: exit code %d, want %d\n%s%s", got, code, &s.stdout, &s.stderr)
	}
	if a.JSON {
		return s.stdout.String()
	}
	return s.stdout.String() + s.stderr.String()
}

// damage flips a byte of the newest object of each location whose path matches.
func (s *site) damage(pattern ...string) {
	s.t.Helper()
	files, err := filepath.Glob(s.path(pattern...))
	if err != nil || len(files) == 0 {
		s.t.Fatalf("nothing matches %v: %v", pattern, err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			s.t.Fatal(err)
		}
		content[len(content)/2] ^= 1
		if err := errors.Join(os.Chmod(file, 0o600), os.WriteFile(file, content, 0o600)); err != nil {
			s.t.Fatal(err)
		}
	}
}

func contains(t *testing.T, text string, wanted ...string) {
	t.Helper()
	for _, w := range wanted {
		if !strings.Contains(text, w) {
			t.Errorf("output lacks %q:\n%s", w, text)
		}
	}
}

// TestBackupOnOneDevice: three directories of one device are one copy, and gwdr says so.
func TestBackupOnOneDevice(t *testing.T) {
	s := newSite(t)
	contains(t, s.backup(3, false), "3-2-1     NOT MET: 1 copy (2 with the live one)", "nas is not counted: it fails together with local",
		"1 key, 1 route", "LOCATION",
		"gwdr: 3-2-1 not met: ")
	var result backup.Result
	if err := json.Unmarshal([]byte(s.backup(3, true)), &result); err != nil {
		t.Fatalf("stdout is not one document: %v", err)
	}
	if result.Schema != "gwdr/backup/v1" || result.Stored() != 3 || result.Policy.Satisfied {
		t.Errorf("result: %+v", result)
	}
	config, err := loadConfig(s.path("gwdr.yaml"), s.env)
	if err != nil {
		t.Fatal(err)
	}
	if text := s.backupAs(3, &app{Config: config, Quiet: true}); strings.Count(text, "\n") != 2 || !strings.HasPrefix(text, "gwdr: 3-2-1 not met: ") ||
		!strings.Contains(text, "\nhint: 'gwdr backup status' says what each location withstands; docs/backup.md") {
		t.Errorf("quiet:\n%s", text)
	}
	contains(t, s.want(0, "backup", "list"), "local,nas,offsite", "ENTITIES")
	var list pointList
	if err := json.Unmarshal([]byte(s.want(0, "backup", "list", "--json")), &list); err != nil || len(list.Points) != 3 || list.Problems == nil {
		t.Errorf("list: %+v, %v", list, err)
	}
	contains(t, s.want(0, "backup", "verify", "--all"), "read 3 points, 3 of 3 decrypted")
	contains(t, s.want(0, "backup", "prune", "--keep-within", "7d"), "nothing to remove")
}

// TestBackupOnLab: the lab's three locations count as declared, and the output says that they are one device.
func TestBackupOnLab(t *testing.T) {
	s := newSite(t)
	a := &app{Config: &Config{State: s.path("state"), Policy: PolicyConfig{Copies: 3, Media: 2, Offsite: 1}}}
	contains(t, s.backupAs(1, a), "hint: start a lab with 'gwdr lab up'")
	if err := os.MkdirAll(a.Config.LabDir(), 0o700); err != nil {
		t.Fatal(err)
	}
	contains(t, s.backupAs(0, a), "3-2-1     met: 3 copies", "simulated: local, nas, offsite are on one device",
		"no gwdr.yaml here: these are the lab's backups\n")
	contains(t, s.backupAs(0, a), "3-2-1     met") // with the keys that the first run made
}

func TestBackupDamage(t *testing.T) {
	s := newSite(t)
	s.backup(3, false)
	s.damage("nas", "gwdr1", "*", "packs", "*", "*")
	contains(t, s.want(3, "backup", "verify"), "PROBLEM at nas, lineage ", "1 of 1 blocks of it are damaged", "1 of 1 decrypted",
		"whole at local, offsite: restores read it there", "hint: the same with --repair")
	s.want(0, "backup", "list")
	s.damage("nas", "gwdr1", "*", "points", "*")
	contains(t, s.want(3, "backup", "list"), "PROBLEM at nas", "local,offsite")
	s.damage("[lo]*", "gwdr1", "*", "points", "*")
	contains(t, s.want(8, "backup", "list"), "no point at any location is valid")
	contains(t, s.want(8, "backup", "verify"), "LOST gwdr1/")
}

func TestBackupWrongIdentity(t *testing.T) {
	s := newSite(t)
	s.backup(3, false)
	other, err := backup.GenerateKeys(s.path("other"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(other.Identities[0], s.path("gwdr-keys", "identity")); err != nil {
		t.Fatal(err)
	}
	text := s.want(8, "backup", "verify")
	contains(t, text, "CANNOT DECRYPT gwdr1/", "intact, but the identity "+s.path("gwdr-keys", "identity")+" does not open it",
		"does not open 1 object", "hint: set GWDR_KEYS_IDENTITY")
	if strings.Contains(text, "LOST") {
		t.Errorf("what is intact is not lost:\n%s", text)
	}
	if err := os.Rename(other.Trusted, s.path("gwdr-keys", "allowed_signers")); err != nil {
		t.Fatal(err)
	}
	contains(t, s.want(8, "backup", "list"), "is not trusted")
	contains(t, s.backup(2, false), "do not include the signing key")
}

func TestBackupMissingLocation(t *testing.T) {
	s := newSite(t)
	if err := os.Rename(s.path("nas"), s.path("unmounted")); err != nil {
		t.Fatal(err)
	}
	contains(t, s.backup(3, false), "FAILED", "gwdr: location nas failed: open location "+s.path("nas")+": no id file: not mounted, or not initialised",
		"hint: is the disk mounted? ")
	contains(t, s.want(3, "backup", "list"), "PROBLEM at nas")
	if err := os.Rename(s.path("unmounted"), s.path("nas")); err != nil {
		t.Fatal(err)
	}
	contains(t, s.backup(3, false), "ok, +1 earlier")
	for _, name := range []string{"local", "nas", "offsite"} {
		if err := os.Rename(s.path(name), s.path("gone-"+name)); err != nil {
			t.Fatal(err)
		}
	}
	contains(t, s.backup(1, false), "no location took it", "hint: is the disk mounted? ")
	s.want(1, "backup", "list")
	s.want(1, "backup", "verify")
}

func TestBackupTwice(t *testing.T) {
	s := newSite(t)
	config, err := loadConfig(s.path("gwdr.yaml"), s.env)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(config.State, "backup"), 0o700); err != nil {
		t.Fatal(err)
	}
	lock, err := os.Create(filepath.Join(config.State, "backup", "lock"))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	contains(t, s.backup(7, false), "another backup is running", "hint: wait")
	lock.Close()
	s.backup(3, false)
}

func TestBackupDeadGateway(t *testing.T) {
	s := newSite(t)
	s.source.Fail(errors.New("gateway is down"))
	contains(t, s.backup(1, false), "take backup: export: gateway is down")
	s.source.Fail(&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED})
	contains(t, s.backup(1, false), "hint: is it running? GWDR_GATEWAY, or 'gateway' in gwdr.yaml, names another")
	if document := s.backup(1, true); document != "" { // there is no result, and so no document
		t.Errorf("stdout: %s", document)
	}
	contains(t, s.want(0, "backup", "list"), "there is no point yet")
	contains(t, s.want(8, "backup", "verify"), "there is no point at any location")
}

// TestSplitBrain: another machine continues the log, as all locations say; cron mails it once.
func TestSplitBrain(t *testing.T) {
	s := newSite(t)
	s.backup(3, false)
	if err := os.CopyFS(s.path("other"), os.DirFS(s.path(".local", "state"))); err != nil {
		t.Fatal(err)
	}
	s.source.Put(backuptest.Entity(gateway.Route, "b", "{}"))
	s.backup(3, false)
	s.named = map[string]string{"GWDR_STATE": s.path("other", "gwdr")}
	s.source.Put(backuptest.Entity(gateway.Route, "c", "{}"))
	text := s.backup(9, false)
	said := text[strings.Index(text, "gwdr: "):]
	contains(t, said, "another writer continues this lineage, at local, nas, offsite", "hint: find and stop the other gwdr")
	if strings.Count(said, "another writer") != 1 || strings.Count(said, "\n") != 2 {
		t.Errorf("said more than once:\n%s", said)
	}
}

// TestListFork: points of a writer whom few locations follow are marked, and are not the newest.
func TestListFork(t *testing.T) {
	s := newSite(t)
	s.backup(3, false)
	if err := os.CopyFS(s.path("other"), os.DirFS(s.path(".local", "state"))); err != nil {
		t.Fatal(err)
	}
	move := func(from, to string) {
		for _, name := range []string{"local", "nas"} {
			if err := os.Rename(s.path(from+name), s.path(to+name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	move("", "away-")
	s.named = map[string]string{"GWDR_STATE": s.path("other", "gwdr")}
	for range 2 {
		s.source.Put(backuptest.Entity(gateway.Route, "theirs", "{}"))
		s.backup(3, false)
	}
	move("away-", "")
	s.named = nil
	s.source.Put(backuptest.Entity(gateway.Route, "ours", "{}"))
	s.backup(3, false)
	var list pointList
	if err := json.Unmarshal([]byte(s.want(0, "backup", "list", "--json")), &list); err != nil {
		t.Fatal(err)
	}
	var stray []bool
	for _, p := range list.Points {
		stray = append(stray, p.Stray)
	}
	if !slices.Equal(stray, []bool{false, false, true, true}) || len(list.Points[0].Locations) != 2 {
		t.Errorf("points: %+v", list.Points)
	}
	if text := s.want(0, "backup", "list"); strings.Count(text, "(stray)") != 2 {
		t.Errorf("list:\n%s", text)
	}
}

func TestInitRefuses(t *testing.T) {
	s := newSite(t)
	before, err := os.ReadFile(s.path("gwdr.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	contains(t, s.want(7, "init", "--file", s.path("gwdr.yaml")), "is there already, and is not overwritten")
	contains(t, s.want(7, "init", "--file", s.path("other.yaml")), "gwdr-keys is there already")
	for _, location := range []string{"x", "=file:///x", "x=ftp://x", "x=file://relative", "x=file:///x,lock=compliance/1d", "x=file:///x,colour=red",
		"x=s3://b?endpoint=http://h,lock=forever", "x=s3://key:secret@b", "x=sftp://me:secret@nas/x", "x=file://me:secret@nas/x",
		"x=s3://b?secret_key=secret", "sftp://me:secret@nas/x", "x=sftp://me:secret@nas/x,colour=red", "x=sftp://me:a,=secret@nas/x",
		"x=sftp://me@nas/x?password=secret", "x=sftp://nas/x", "x=sftp://me@nas/x,lock=compliance/1d"} {
		if text := s.want(2, "init", "--file", s.path("y.yaml"), "--keys", s.path("y-keys"), "--location", location); strings.Contains(text, "secret@") || strings.Contains(text, "=secret") {
			t.Errorf("a secret is shown: %s", text)
		}
	}
	s.want(1, "init", "--file", s.path("y.yaml"), "--keys", s.path("y-keys"), "--location", "x=file://"+s.path("gwdr.yaml"))
	if _, err := os.Stat(s.path("y-keys")); err == nil {
		t.Error("a failed init left keys")
	}
	if after, _ := os.ReadFile(s.path("gwdr.yaml")); !bytes.Equal(before, after) {
		t.Error("gwdr.yaml was changed")
	}
}

// TestSFTPWithoutHome: no file of the working directory says which hosts are trusted.
func TestSFTPWithoutHome(t *testing.T) {
	a := &app{Env: func(string) string { return "" }}
	if _, err := a.openCopy(t.Context(), "nas", LocationConfig{URL: "sftp://backup@nas/x"}); err == nil || !strings.Contains(err.Error(), "known_hosts") {
		t.Errorf("openCopy = %v", err)
	}
	if _, err := a.openCopy(t.Context(), "nas", LocationConfig{URL: "sftp://backup@nas/x?known_hosts=/etc/ssh/ssh_known_hosts"}); err != nil {
		t.Error(err)
	}
}

func TestInitJSON(t *testing.T) {
	s := &site{t: t, dir: t.TempDir()}
	var result initResult
	if err := json.Unmarshal([]byte(s.want(0, "init", "--json", "--file", s.path("deep", "gwdr.yaml"))), &result); err != nil {
		t.Fatal(err)
	}
	if result.Schema != "gwdr/init/v1" || len(result.Locations) != 1 || !result.Locations[0].CreateOnly || result.Policy.Copies != 1 ||
		!strings.Contains(result.Cron, "--config "+s.path("deep", "gwdr.yaml")) {
		t.Errorf("result: %+v", result)
	}
	if info, err := os.Stat(filepath.Join(result.Keys, "sign")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("signing key: %v, %v", info, err)
	}
	config, err := loadConfig(result.File, s.env)
	if err != nil || config.Locations["local"].Media != "disk" || config.Policy.MaxAge != 2*time.Hour || len(config.Keys.Recipients) != 2 {
		t.Errorf("configuration: %+v, %v", config, err)
	}
}

// TestInitState: whoever runs gwdr with a configuration uses one spool: two would be two writers.
func TestInitState(t *testing.T) {
	s := newSite(t)
	for _, home := range []string{s.dir, t.TempDir()} {
		config, err := loadConfig(s.path("gwdr.yaml"), func(name string) string { return map[string]string{"HOME": home}[name] })
		if want := s.path(".local", "state", "gwdr"); err != nil || config.State != want {
			t.Errorf("state of the user at %s: %v, %v, want %s", home, config, err, want)
		}
	}
	text := s.want(0, "init", "--file", s.path("second", "gwdr.yaml"), "--state", s.path("spool"))
	contains(t, text, "state          "+s.path("spool")+"\n")
	if config, err := loadConfig(s.path("second", "gwdr.yaml"), s.env); err != nil || config.State != s.path("spool") {
		t.Errorf("state: %v, %v", config, err)
	}
}
