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
	"sync"
	"time"

	"github.com/spf13/cobra"

	"gwdr/drills"
	"gwdr/probes"
	"gwdr/probes/vantage"
)

// vantageTokenVariable holds the token of the agents.
const vantageTokenVariable = "GWDR_VANTAGE_TOKEN"

// sessionSlack is by how much an agent may probe longer than --for: it begins before, and ends later.
const sessionSlack = time.Minute

// openLimit is how long all agents together may take to begin.
const openLimit = 7 * time.Second

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
		a.warnReadable(file)
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
	opened, err := o.openVantages(ctx, agents, token, w.Plan.Series)
	if err != nil {
		return err
	}
	for _, v := range opened {
		v.addTo(w)
	}
	if o.Only {
		o.leaveControl(w)
	}
	return nil
}

// openedVantage is a vantage point whose agent probes.
type openedVantage struct {
	agentSpec
	series  []drills.WatchSeries // the last one is of its control target
	session *vantage.Session
}

// openVantages makes all agents begin at once, and keeps the lease of those that have while another one is asked.
func (o *probeOptions) openVantages(ctx context.Context, agents []agentSpec, token string, here []drills.WatchSeries) ([]openedVantage, error) {
	limited, cancel := context.WithTimeout(ctx, openLimit)
	defer cancel()
	opened, errs := make([]openedVantage, len(agents)), make([]error, len(agents))
	var opening, keeping sync.WaitGroup
	for i, agent := range agents {
		opening.Go(func() {
			plan, series, err := o.planFor(agent.name, here)
			if err != nil {
				errs[i] = usageError(err)
				return
			}
			client := &vantage.Client{URL: agent.url, Token: token}
			session, err := client.Open(limited, plan)
			opened[i], errs[i] = openedVantage{agent, series, session}, err
			if err == nil {
				keeping.Go(func() { session.Keep(limited) })
			}
		})
	}
	opening.Wait()
	cancel()
	keeping.Wait()
	failed := slices.IndexFunc(errs, func(err error) bool { return err != nil })
	if failed < 0 {
		return opened, nil
	}
	for i, v := range opened {
		if errs[i] == nil {
			_ = v.session.Close(ctx) // else its lease ends it
		}
	}
	if ctx.Err() != nil { // it was interrupted
		return nil, errs[failed]
	}
	return nil, vantageFailed(agents[failed], errs[failed])
}

// addTo adds the vantage point to what is watched.
func (v openedVantage) addTo(w *drills.Watch) {
	v.series[len(v.series)-1].Target = len(w.Plan.Targets)
	w.Plan.Targets = append(w.Plan.Targets, drills.WatchTarget{Kind: "http", URL: v.session.Control(), Expect: http.StatusOK, Control: true, Vantage: v.name})
	w.Plan.Series = append(w.Plan.Series, v.series...)
	w.Plan.Vantages = append(w.Plan.Vantages, drills.WatchVantage{Name: v.name, Agent: v.url, Tool: v.session.Tool()})
	w.Vantages = append(w.Vantages, drills.Vantage{Name: v.name, Run: func(ctx context.Context, t0 time.Time, sink drills.VantageSink) error {
		return v.session.Run(ctx, t0, sink)
	}})
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
	control := probes.ControlSeries(name+": control", o.series(""))
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
	case errors.As(err, new(*codedError)):
		return err
	case errors.As(err, &version):
		return withHint(exitWith(exitRefused, err), "install the same gwdr on both hosts")
	case errors.As(err, &refused) && refused.Status == http.StatusUnauthorized:
		return withHint(exitWith(exitRefused, err), "$%s or --vantage-token-file must hold what the agent's --token-file holds", vantageTokenVariable)
	case errors.As(err, &refused):
		return exitWith(exitRefused, err)
	}
	return withHint(err, "is 'gwdr probe agent' running there, and does nothing keep this host from it?")
}
