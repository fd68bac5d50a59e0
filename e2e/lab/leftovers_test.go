package lab

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gwdr/e2e/shell"
	"gwdr/fleet"
	"gwdr/fleet/process"
	"gwdr/gateway/native"
)

// scene is a lab as it was before anything was broken. What is not so later was left behind. It looks by itself, and asks
// nobody who injects or reverts: neither gwdr nor the lab's supervisor.
type scene struct {
	lab       *process.Lab
	dir       string
	instances []fleet.Instance
	keys      map[string]string // tokens, by word
	http      *http.Client
	commands  []string // command lines of all processes
	files     []string // of the lab's processes, without the contents of stores
	locations []string // files in the locations of backups, with digests
	digest    string   // of the configuration
}

// newScene looks at the lab of the user, which is whole.
func (u *user) newScene() *scene {
	u.t.Helper()
	s := &scene{dir: filepath.Join(u.home, ".local/state/gwdr/lab"),
		http: &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}}
	var err error
	if s.lab, err = process.Open(s.dir); err != nil {
		u.t.Fatal(err)
	}
	if s.instances, err = s.lab.Instances(u.t.Context()); err != nil {
		u.t.Fatal(err)
	}
	raw, err := os.ReadFile(s.lab.KeysFile())
	if err != nil {
		u.t.Fatal(err)
	}
	s.keys = decode[map[string]string](u.t, string(raw))
	s.commands, s.files, s.locations = commands(), s.filesNow(), s.locationsNow()
	if _, state, err := s.client(s.control("us-east")).State(u.t.Context()); err != nil {
		u.t.Fatal(err)
	} else {
		s.digest = state.Digest()
	}
	if _, left := s.gone(u.t.Context(), goneWithin); len(left) > 0 {
		u.t.Fatalf("not whole before anything was broken: %s", strings.Join(left, "\n"))
	}
	return s
}

func (s *scene) client(in fleet.Instance) *native.Client {
	return &native.Client{URL: in.AdminURL, Token: s.lab.AdminToken(), HTTP: s.http}
}

func (s *scene) control(region string) fleet.Instance {
	return fleet.Selector{Region: region, Role: fleet.Control}.Select(s.instances)[0]
}

// gone waits until nothing is left behind: seen twice, and no process was started again in between. It returns how long it took
// at most until the first time, and what is left if it took longer than the limit.
func (s *scene) gone(ctx context.Context, limit time.Duration) (time.Duration, []string) {
	began := time.Now()
	for {
		before := pids()
		left := s.leftovers(ctx)
		at := time.Since(began)
		if len(left) == 0 {
			time.Sleep(300 * time.Millisecond) // longer than a loop of restarts takes
			if left = s.leftovers(ctx); !slices.Equal(before, pids()) {
				left = append(left, "processes come and go")
			}
		}
		if len(left) == 0 || time.Since(began) > limit {
			return at, left
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// leftovers says what is not as it was.
func (s *scene) leftovers(ctx context.Context) (left []string) {
	left = append(left, s.processesLeft()...)
	left = append(left, s.mountsLeft()...)
	for _, look := range []struct {
		what        string
		before, now []string
	}{{"files", s.files, s.filesNow()}, {"locations", s.locations, s.locationsNow()}} {
		if !slices.Equal(look.before, look.now) {
			left = append(left, fmt.Sprintf("%s: %v", look.what, difference(look.before, look.now)))
		}
	}
	for _, look := range []func(context.Context) error{s.links, s.requests, s.upstream, s.configuration} {
		if err := look(ctx); err != nil {
			left = append(left, err.Error())
		}
	}
	return left
}

// commands lists the command lines of all processes of the binary under test, sorted.
func commands() (lines []string) {
	for _, line := range shell.Processes(binary, "") {
		lines = append(lines, strings.TrimSpace(line))
	}
	slices.Sort(lines)
	return lines
}

// pids lists the processes of the binary under test.
func pids() []int { return slices.Sorted(maps.Keys(shell.Processes(binary, ""))) }

// processesLeft names processes that are missing, or too many: guards, hogs, generators of load; and those that are stopped in any
// of some looks, which together take longer than one that is slowed runs.
func (s *scene) processesLeft() (left []string) {
	if now := commands(); !slices.Equal(now, s.commands) {
		left = append(left, fmt.Sprintf("processes: %v", difference(s.commands, now)))
	}
	stopped := map[string]bool{}
	for end := time.Now().Add(120 * time.Millisecond); time.Now().Before(end); time.Sleep(4 * time.Millisecond) {
		for pid, line := range shell.Processes(binary, "") {
			if state, _ := shell.Stat(fmt.Sprintf("/proc/%d", pid)); state == "T" {
				stopped[line] = true
			}
		}
	}
	for command := range stopped {
		left = append(left, "stopped: "+command)
	}
	return left
}

// mountsLeft names what any thread of the lab's processes has mounted below the lab's directory.
func (s *scene) mountsLeft() (left []string) {
	for pid := range shell.Processes(binary, "") {
		tables, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/mountinfo", pid))
		for _, table := range tables {
			text, _ := os.ReadFile(table) // a thread that has ended has none
			if strings.Contains(string(text), s.dir) {
				left = append(left, "mounted: "+table)
			}
		}
	}
	return left
}

// filesNow lists the files of the lab's processes, but not what is in stores: that is seen by what is served from it.
func (s *scene) filesNow() (files []string) {
	filepath.WalkDir(filepath.Join(s.dir, "nodes"), func(path string, entry fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(s.dir, path)
		switch {
		case err != nil, strings.HasSuffix(rel, ".new"), strings.HasPrefix(entry.Name(), "last-good"): // comes and goes, or comes late
			return nil
		case entry.IsDir() && entry.Name() == "store":
			files = append(files, rel)
			return fs.SkipDir
		}
		files = append(files, rel)
		return nil
	})
	slices.Sort(files)
	return files
}

// locationsNow lists what is in and beside the locations of backups, with what is in it.
func (s *scene) locationsNow() (files []string) {
	filepath.WalkDir(s.lab.LocationsDir(), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return nil // a location that is not there has no files
		}
		text, _ := os.ReadFile(path)
		files = append(files, fmt.Sprintf("%s %x", strings.TrimPrefix(path, s.lab.LocationsDir()), sha256.Sum256(text)))
		return nil
	})
	slices.Sort(files)
	return files
}

// difference says what is missing (-) and what is new (+); both are sorted.
func difference(before, now []string) (words []string) {
	count := map[string]int{}
	for _, b := range before {
		count[b]--
	}
	for _, n := range now {
		count[n]++
	}
	for what, n := range count {
		if n != 0 {
			words = append(words, fmt.Sprintf("%+d %s", n, what))
		}
	}
	slices.Sort(words)
	return words
}

// faultsOf reads from a journal which faults were injected and not reverted, and the last phase. Its last line may be torn.
func faultsOf(journal string) (inEffect int, phase string) {
	text, _ := os.ReadFile(journal)
	for line := range bytes.Lines(text) {
		var e struct {
			Type string
			Data struct{ Phase, Error string }
		}
		if json.Unmarshal(line, &e) != nil {
			continue
		}
		phase = cmp.Or(e.Data.Phase, phase)
		switch {
		case e.Type == "fault-intent":
			inEffect++
		case e.Type == "fault-reverted" && e.Data.Error == "":
			inEffect--
		}
	}
	return inEffect, phase
}
