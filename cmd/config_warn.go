package cmd

import (
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
)

// warnConfig says what of the configuration has no effect, or is open to others. Under --quiet it does not: it is no error,
// and a line with each run of cron would teach people to read none.
func (a *app) warnConfig() {
	known := []string{"GWDR_CONFIG", "GWDR_LOG_LEVEL", "GWDR_TOKEN", "GWDR_PING", probeTokensVariable, vantageTokenVariable} // no keys of gwdr.yaml
	for _, key := range a.Config.keys {
		known = append(known, variable(key))
	}
	for _, entry := range a.environ {
		name, _, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, "GWDR_") || slices.Contains(known, name) {
			continue
		}
		if near := nearest(name, known); near != "" {
			a.progress("warning: the variable %s means nothing to gwdr; did you mean %s?", printable(name), near)
		} else {
			a.progress("warning: the variable %s means nothing to gwdr", printable(name))
		}
	}
	c := a.Config.Keys
	secrets := append(slices.Clone(c.Identity), c.Signing, c.PassphraseFile, a.Config.Probe.Keys, a.Config.TokenFile)
	for _, f := range a.Config.Fleets {
		secrets = append(secrets, f.KeyFile)
	}
	for _, file := range secrets {
		a.warnReadable(file)
	}
}

// warnReadable says so if a file that holds secrets is open to others.
func (a *app) warnReadable(file string) {
	if info, err := os.Stat(file); file != "" && err == nil && info.Mode().IsRegular() && openToOthers(info.Mode(), ownedByUs(info)) {
		a.progress("warning: others than its owner may read or write %s (mode %04o): chmod 600 %s", printable(file), info.Mode()&fs.ModePerm, shellWord(file))
	}
}

// openToOthers reports whether others may read or write a secret. What somebody else gave us through our group, as Kubernetes does
// with a secret where the pod has an fsGroup, we could not read otherwise.
func openToOthers(mode fs.FileMode, ours bool) bool {
	if ours {
		return mode.Perm()&0o077 != 0
	}
	return mode.Perm()&0o037 != 0
}

// ownedByUs reports whether the file is this user's own.
func ownedByUs(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return !ok || int(stat.Uid) == os.Geteuid()
}
