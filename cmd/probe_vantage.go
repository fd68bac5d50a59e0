package cmd

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gwdr/drills"
	"gwdr/probes/vantage"
)

// vantageTokenVariable holds the token of the agents.
const vantageTokenVariable = "GWDR_VANTAGE_TOKEN"

// sessionSlack is by how much an agent may probe longer than --for: it begins before, and ends later.
const sessionSlack = time.Minute

// vantageOptions are the flags of gwdr probe for other hosts to probe from.
type vantageOptions struct {
	Vantages  []string // NAME=URL
	TokenFile string
	Only      bool // nothing but the control target is probed from here
}

func (o *vantageOptions) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVar(&o.Vantages, "vantage", nil, "probe from there as well: `NAME=URL` of a gwdr probe agent; may be repeated")
	f.StringVar(&o.TokenFile, "vantage-token-file", "", "`file` with the token of the agents (default: $"+vantageTokenVariable+")")
	f.BoolVar(&o.Only, "vantage-only", false, "probe the URLs from the vantage points only, not from here")
	completeFlag(cmd, "vantage", cobra.NoFileCompletions)
}

// agentSpec is a vantage point as somebody named it.
type agentSpec struct {
	name string
	url  string
}

// agentName is what a vantage point may be called: it heads the names of its series.
var agentName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$`)

// agents reads --vantage.
func (o *vantageOptions) agents() ([]agentSpec, error) {
	var all []agentSpec
	for _, text := range o.Vantages {
		name, address, ok := strings.Cut(text, "=")
		if !ok || !agentName.MatchString(name) {
			return nil, withHint(fmt.Errorf("--vantage %q is not of the form NAME=URL", name), "gwdr probe URL --vantage eu=https://HOST:PORT")
		}
		u, err := url.Parse(address)
		if err == nil {
			err = vantage.CheckURL(u)
		}
		if err != nil {
			if errors.As(err, new(*url.Error)) { // which repeats the URL
				err = errors.New("malformed URL")
			}
			return nil, fmt.Errorf("--vantage %s: %w", name, err)
		}
		if slices.ContainsFunc(all, func(a agentSpec) bool { return a.name == name }) {
			return nil, fmt.Errorf("--vantage %s is there twice", name)
		}
		all = append(all, agentSpec{name, address})
	}
	if len(all) == 0 && (o.Only || o.TokenFile != "") {
		return nil, errors.New("--vantage-only and --vantage-token-file are for --vantage")
	}
	return all, nil
}

// vantageToken returns the token of the agents.
func (a *app) vantageToken(file string) (string, error) {
	token := a.Env(vantageTokenVariable)
	if file != "" {
		b, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("read token of the agents: %w", err)
		}
		token = string(b)
	}
	if token = strings.TrimSpace(token); token == "" {
		return "", withHint(errors.New("no token for the agents"), "put the one of their --token-file into $%s, or name a file with --vantage-token-file", vantageTokenVariable)
	}
	return token, nil
}

// addVantages makes each agent carry out what is planned for here, and adds that to the plan. The sessions end by
// themselves if the measurement does not begin.
func (a *app) addVantages(ctx context.Context, o *probeOptions, w *drills.Watch) error {
	agents, err := o.agents()
	if err != nil {
		return usageError(err)
	}
	if len(agents) == 0 {
		return nil
	}
	token, err := a.vantageToken(o.TokenFile)
	if err != nil {
		return usageError(err)
	}
	here := slices.Clone(w.Plan.Series)
	var sessions []*vantage.Session
	for _, agent := range agents {
		s, err := o.openVantage(ctx, agent, token, w, here)
		if err != nil {
			for _, opened := range sessions {
				err = errors.Join(err, opened.Close(ctx))
			}
			return vantageFailed(agent, err)
		}
		sessions = append(sessions, s)
	}
	if o.Only {
		o.leaveControl(w)
	}
	return nil
}

// openVantage adds the series of here as they are probed by the agent, and its own control target.
func (o *probeOptions) openVantage(ctx context.Context, agent agentSpec, token string, w *drills.Watch, here []drills.WatchSeries) (*vantage.Session, error) {
	plan, series, err := o.planFor(agent.name, here)
	if err != nil {
		return nil, usageError(err)
	}
	session, err := (&vantage.Client{URL: agent.url, Token: token}).Open(ctx, plan)
	if err != nil {
		return nil, err
	}
	series[len(series)-1].Target = len(w.Plan.Targets)
	w.Plan.Targets = append(w.Plan.Targets, drills.WatchTarget{URL: session.Control(), Expect: http.StatusOK, Control: true, Vantage: agent.name})
	w.Plan.Series = append(w.Plan.Series, series...)
	w.Plan.Vantages = append(w.Plan.Vantages, drills.WatchVantage{Name: agent.name, Agent: agent.url, Tool: session.Tool()})
	w.Vantages = append(w.Vantages, drills.Vantage{Name: agent.name, Run: func(ctx context.Context, t0 time.Time, sink drills.VantageSink) error {
		return session.Run(ctx, t0, sink)
	}})
	return session, nil
}

// planFor returns what an agent is to do, and its series: the last one is of its control target.
func (o *probeOptions) planFor(name string, here []drills.WatchSeries) (*vantage.Plan, []drills.WatchSeries, error) {
	plan := &vantage.Plan{Schema: vantage.Schema}
	if o.For > 0 {
		plan.For = o.For + sessionSlack
	}
	var all []drills.WatchSeries
	for i, s := range here {
		if s.Control {
			continue
		}
		target, err := vantage.TargetOf(o.requests[i])
		if err != nil {
			return nil, nil, err
		}
		s.Name, s.Vantage = name+": "+s.Name, name
		all = append(all, s)
		plan.Series = append(plan.Series, vantage.Series{Series: s.Series, Target: target})
	}
	control := o.series(name + ": control")
	control.Control = true
	plan.Series = append(plan.Series, vantage.Series{Series: control})
	return plan, append(all, drills.WatchSeries{Series: control, Fresh: true, Vantage: name}), nil
}

// leaveControl takes what is probed from here off the plan, but for the control target: it shows that this process can
// still be trusted with its own clock.
func (o *probeOptions) leaveControl(w *drills.Watch) {
	w.Plan.Series = slices.DeleteFunc(w.Plan.Series, func(s drills.WatchSeries) bool { return s.Vantage == "" && !s.Control })
	w.Probes = slices.DeleteFunc(w.Probes, func(p drills.Probe) bool { return !p.Series.Control })
}

// vantageFailed says whose agent did not take the plan, and what to do about it.
func vantageFailed(agent agentSpec, err error) error {
	err = fmt.Errorf("vantage point %s: %w", agent.name, err)
	version, refused := (*vantage.VersionError)(nil), (*vantage.StatusError)(nil)
	switch {
	case errors.As(err, &version):
		return withHint(exitWith(exitRefused, err), "install the same gwdr on both hosts")
	case errors.As(err, &refused) && refused.Status == http.StatusUnauthorized:
		return withHint(exitWith(exitRefused, err), "$%s or --vantage-token-file must hold what the agent's --token-file holds", vantageTokenVariable)
	case errors.As(err, &refused):
		return exitWith(exitRefused, err)
	}
	return withHint(err, "is 'gwdr probe agent' running there, and does nothing keep this host from it?")
}
