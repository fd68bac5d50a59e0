package cmd

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// evidenceFile lists, in state/fleets/FLEET, where drills of the fleet have kept their evidence: with --evidence that may be
// anywhere, and what they left behind is to be found all the same. One directory a line.
const evidenceFile = "evidence"

// maxEvidences bounds the list; the oldest go.
const maxEvidences = 50

// rememberEvidence says that a drill of the fleet is about to keep its evidence where the configuration says.
func (a *app) rememberEvidence(fleet string) error {
	path := filepath.Join(a.Config.State, "fleets", strings.ToLower(fleet), evidenceFile)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	all := readEvidences(path)
	if slices.Contains(all, a.Config.Evidence) {
		return nil
	}
	var text bytes.Buffer
	for _, dir := range append(all[max(0, len(all)-maxEvidences+1):], a.Config.Evidence) {
		text.WriteString(dir + "\n")
	}
	fresh := path + ".new" // whoever has claimed the fleet is alone
	if err := os.WriteFile(fresh, text.Bytes(), 0o600); err != nil {
		return err
	}
	return os.Rename(fresh, path)
}

// readEvidences returns the directories that are still there. A list that cannot be read is none.
func readEvidences(path string) (all []string) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		if info, err := os.Stat(lines.Text()); err == nil && info.IsDir() && filepath.IsAbs(lines.Text()) {
			all = append(all, lines.Text())
		}
	}
	return all
}

// evidences are the configured directory, and all others that drills have kept their evidence in.
func (a *app) evidences() []string {
	all := []string{a.Config.Evidence}
	lists, _ := filepath.Glob(filepath.Join(a.Config.State, "fleets", "*", evidenceFile)) // the pattern is good
	for _, list := range lists {
		for _, dir := range readEvidences(list) {
			if !slices.Contains(all, dir) {
				all = append(all, dir)
			}
		}
	}
	return all
}
