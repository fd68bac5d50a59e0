package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"gwdr/drills"
	"gwdr/fleet/process"
	"gwdr/gateway"
	"gwdr/scenarios"
)

// routesTimeout bounds how long a running lab may take to say which routes it has.
const routesTimeout = 3 * time.Second

// checkRoutes refuses a scenario that asks for a route that the lab does not have, and does not want to be told so.
func (a *app) checkRoutes(ctx context.Context, s *scenarios.Scenario) error {
	paths := a.labPaths(ctx)
	for i, p := range s.SteadyState.Probes {
		asked, _, _ := strings.Cut("/"+strings.TrimPrefix(p.Route, "/"), "?")
		has := slices.ContainsFunc(paths, func(path string) bool { return onPath(path, asked) })
		if has || p.Expect.Status == http.StatusNotFound || paths == nil {
			continue
		}
		return exitWith(exitRefused, fmt.Errorf("%w: steadyState.probes[%d].route: the lab has no route %s; it has %s",
			drills.ErrRefused, i, asked, strings.Join(paths, ", ")))
	}
	return nil
}

// labPaths lists the paths that the lab serves: of one that runs those that it has, else those that a fresh one gets. Nil is that it
// does not say.
func (a *app) labPaths(ctx context.Context) []string {
	lab, err := process.Open(a.Config.LabDir())
	if errors.Is(err, process.ErrNoLab) {
		return pathsOf(seedState("", gateway.NewToken(), gateway.NewToken(), time.Now()))
	} else if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, routesTimeout)
	defer cancel()
	_, state, err := labClient(lab).State(ctx)
	if err != nil {
		return nil
	}
	return pathsOf(state)
}

func pathsOf(state *gateway.State) []string {
	paths := []string{}
	for e := range state.Kind(gateway.Route) {
		var body gateway.RouteBody
		if json.Unmarshal(e.Body, &body) == nil && !slices.Contains(paths, body.Path) {
			paths = append(paths, body.Path)
		}
	}
	slices.Sort(paths)
	return paths
}

// onPath reports whether a path fits the template of a route.
func onPath(template, path string) bool {
	want, have := strings.Split(template, "/"), strings.Split(path, "/")
	for i, part := range want {
		switch {
		case strings.HasSuffix(part, "...}"):
			return i < len(have)
		case i >= len(have), part != have[i] && !strings.HasPrefix(part, "{"):
			return false
		}
	}
	return len(want) == len(have)
}
