package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"gwdr/fleet"
	"gwdr/fleet/process"
	"gwdr/gateway"
	"gwdr/gateway/native"
	"gwdr/restore"
)

// probeTokensVariable holds API keys to be tried, with space or commas between them. It is no key of gwdr.yaml.
const probeTokensVariable = "GWDR_PROBE_TOKENS"

// issuedFor is how long a key that is issued as a probe lives, should nobody be left to revoke it.
const issuedFor = 10 * time.Minute

// proof is how a restore is proven at the data planes.
type proof struct {
	restore.DataPlane
	issue restore.IssueKey // nil: no key is issued
}

// probe tries the instances, and a key issued for it only if all is well by then: otherwise it would wait for the same.
func (p *proof) probe(ctx context.Context, s *gateway.State) []restore.Check {
	checks := p.Probe(ctx, s)
	if p.issue == nil || slices.ContainsFunc(checks, func(c restore.Check) bool { return !c.OK }) {
		return checks
	}
	return append(checks, p.ProbeKey(ctx, s, p.issue)...)
}

// untried says so where keys were to be tried, and none was, though all else is well.
func (p *proof) untried(result *restore.Result) []restore.Finding {
	if p == nil || len(p.Keys) == 0 && p.issue == nil || !result.Verified || len(restore.KeysTried(result.DataPlane)) > 0 {
		return nil
	}
	why := "no route that needs one takes GET"
	if keysNeeded(result.DataPlane) {
		why = "each expires about now"
	}
	return []restore.Finding{{Subject: "keys", Text: "none was tried: " + why}}
}

// newProof prepares the proof at the instances that the flags or the configuration name, or that the gateway knows of. It adds
// those that can be asked for revocations to the witnesses. Without any instance there is none.
func (a *app) newProof(ctx context.Context, opts restoreOptions, o *opened) (*proof, error) {
	p := &proof{DataPlane: restore.DataPlane{Instances: o.Instances}}
	lab := a.labOf(o)
	if lab != nil {
		p.Keys = seededKeys(lab)
		p.Instances = labInstances(ctx, lab, o.Admin)
	}
	if named := cmp.Or(len(opts.probes), len(a.Config.Probe.URLs)); named > 0 && !opts.rehearse {
		p.Instances = nil
		for _, text := range append(opts.probes, a.Config.Probe.URLs...)[:named] {
			in, err := a.openInstance(ctx, text, o)
			if err != nil {
				return nil, err
			}
			p.Instances = append(p.Instances, in)
		}
	}
	given, err := a.probeKeys(opts)
	if err != nil {
		return nil, err
	}
	p.Keys = append(p.Keys, given...)
	if opts.issue {
		p.issue = issueAt(o.Admin, issuedFor, "issued to prove a restore")
	}
	if len(p.Instances) > 0 {
		return p, nil
	}
	if opts.issue {
		return nil, withHint(usageError(errors.New("--probe-issue: no data plane is known to try the key at")), "name each with --probe http://HOST:PORT")
	}
	return nil, nil
}

// openInstance opens a data plane that is named by its base URL, or, as a gateway is, by that of its admin listener: then it can
// be asked what it serves, and what was revoked.
func (a *app) openInstance(ctx context.Context, text string, o *opened) (restore.Instance, error) {
	if !strings.HasPrefix(text, "gwdr+") {
		return restore.Instance{URL: text}, checkProbe(text)
	}
	named, err := a.openControl(ctx, text)
	if err != nil {
		return restore.Instance{}, usageError(fmt.Errorf("--probe: %w", err))
	}
	in := restore.Instance{Name: text, Status: named.Admin.Status}
	if urls := publishedData(ctx, named.Admin); len(urls) > 0 {
		in.URL = urls[0]
	}
	o.Witnesses = append(o.Witnesses, hearsay{named.Admin})
	return in, nil
}

// hearsay is a witness whose revocations count, but who does not say that there are no others: it is named to prove what is
// restored, and may be as new as the gateway that it follows.
type hearsay struct{ restore.RevocationSource }

// Revocations returns those that are known, and no time by which all are.
func (h hearsay) Revocations(ctx context.Context) ([]gateway.Entity, time.Time, error) {
	known, _, err := h.RevocationSource.Revocations(ctx)
	return known, time.Time{}, err
}

// checkProbe refuses what is no base URL: the paths to probe are the routes'.
func checkProbe(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" ||
		u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return usageError(fmt.Errorf("--probe %q: want the data plane's base URL, such as http://127.0.0.1:8080; paths are taken from the routes", text))
	}
	return nil
}

// probeKeys reads the keys that are to be tried: of the file that the flag or the configuration names, and of the environment.
// A configured file that is not there, or damaged, is no reason not to restore.
func (a *app) probeKeys(opts restoreOptions) ([]gateway.Token, error) {
	file := cmp.Or(opts.keysFile, a.Config.Probe.Keys)
	tokens, err := readProbeKeys(file)
	switch {
	case err != nil && opts.keysFile != "":
		return nil, usageError(fmt.Errorf("--probe-keys: %w", err))
	case err != nil:
		a.noteFindings([]restore.Finding{{Subject: "probe.keys", Text: "the keys in it are not tried: " + err.Error()}})
	case opts.keysFile != "":
		a.warnReadable(file)
	}
	for i, text := range strings.FieldsFunc(a.Env(probeTokensVariable), func(r rune) bool { return r == ',' || r == ' ' || r == '\n' }) {
		token, err := gateway.ParseToken(text)
		if err != nil {
			return nil, usageError(fmt.Errorf("%s: key %d: %w", probeTokensVariable, i+1, err))
		}
		tokens = append(tokens, token)
	}
	return tokens, nil
}

// readProbeKeys reads the file, if there is one.
func readProbeKeys(file string) ([]gateway.Token, error) {
	if file == "" {
		return nil, nil
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	tokens, err := parseProbeKeys(string(raw))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return tokens, nil
}

// parseProbeKeys reads one key a line. Empty lines and what follows a # are for people. No error repeats a key.
func parseProbeKeys(text string) (tokens []gateway.Token, err error) {
	for i, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		token, err := gateway.ParseToken(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		tokens = append(tokens, token)
	}
	return tokens, nil
}

// seededKeys are those that the lab was started with. Without their file, there are none.
func seededKeys(lab *process.Lab) (tokens []gateway.Token) {
	seeded, err := labTokens(lab)
	if err != nil {
		return nil
	}
	for _, name := range []string{liveKey, revokedKey} {
		if token, err := gateway.ParseToken(seeded[name]); err == nil {
			tokens = append(tokens, token)
		}
	}
	return tokens
}

// labOf returns the running lab if the gateway is a part of it.
func (a *app) labOf(o *opened) *process.Lab {
	if o.Lab != nil || !a.Config.Lab() {
		return o.Lab
	}
	lab, err := process.Open(a.Config.LabDir())
	if err != nil || !slices.ContainsFunc(lab.Regions(), func(region string) bool { return lab.ControlURL(region) == strings.TrimSuffix(o.Admin.URL, "/") }) {
		return nil
	}
	return lab
}

// labInstances returns the lab's data planes that follow the control plane, and the edge, if that leads to it: those of its
// region, and of every other one that copies it. An instance that was killed is among them.
func labInstances(ctx context.Context, lab *process.Lab, control *native.Client) (instances []restore.Instance) {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	all, err := lab.Instances(ctx)
	status, statusErr := control.Brief(ctx)
	if err != nil || statusErr != nil { // nothing can be restored to it, either
		return nil
	}
	alone := lab.Topology().Replication == process.ReplicationNone
	if !alone || control.Host != "" {
		instances = []restore.Instance{{Name: "edge", URL: lab.Edge()}}
	}
	for _, in := range (fleet.Selector{Role: fleet.Data}).Select(all) {
		if alone && in.Region != status.Region {
			continue
		}
		client := &native.Client{URL: in.AdminURL, Token: lab.AdminToken(), HTTP: &http.Client{Timeout: statusTimeout}}
		instances = append(instances, restore.Instance{Name: in.ID, URL: in.URL, Status: client.Status})
	}
	return instances
}

// issueAt issues keys at the gateway, which live for a while should anything go wrong. Of one that is revoked, the revocation stays.
func issueAt(client *native.Client, life time.Duration, reason string) restore.IssueKey {
	return func(ctx context.Context, scopes []string) (gateway.Token, func(context.Context) error, error) {
		key, err := client.IssueKey(ctx, "", scopes, time.Now().Add(life))
		if err != nil {
			return gateway.Token{}, nil, err
		}
		token, err := gateway.ParseToken(key.Token)
		return token, func(ctx context.Context) error {
			if err := client.RevokeKey(ctx, key.ID, reason); err != nil {
				return fmt.Errorf("key %s works for up to %s: %w", key.ID, life, err)
			}
			// The revocation outlives it. A key that is there would be one that the next restore deletes, and asks about.
			if _, err := client.Delete(ctx, gateway.Ref{Kind: gateway.Key, ID: key.ID}, gateway.Condition{}); err != nil {
				return fmt.Errorf("key %s is revoked, but still there: %w", key.ID, err)
			}
			return nil
		}, err
	}
}
