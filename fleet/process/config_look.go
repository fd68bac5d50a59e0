package process

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"gwdr/fleet"
)

// lookBadConfig asks the data planes behind the target for a route, with a good key: all find no upstream.
func (l *Lab) lookBadConfig(ctx context.Context, _ fleet.Fault, t targetID) (string, error) {
	return l.lookAtData(ctx, t, http.StatusBadGateway)
}

// lookNoKeys asks the data planes behind the target for a route, with a good key: none knows it.
func (l *Lab) lookNoKeys(ctx context.Context, _ fleet.Fault, t targetID) (string, error) {
	return l.lookAtData(ctx, t, http.StatusUnauthorized)
}

// lookAtData sees that every data plane of the target's region answers a client who has a good key with the status.
func (l *Lab) lookAtData(ctx context.Context, t targetID, want int) (string, error) {
	where, key, err := l.anyRequest(ctx, t)
	if err != nil {
		return "", err
	}
	processes, err := l.Processes(ctx)
	if err != nil {
		return "", err
	}
	region := slices.IndexFunc(processes, func(p Process) bool { return p.ID == t.ID })
	asked := 0
	for _, p := range processes {
		if region < 0 || p.Role != fleet.Data || p.Region != processes[region].Region || !p.Running || p.Fault != "" {
			continue
		}
		status, err := askRoute(ctx, l.http, p.Ports[0], where, key)
		if err != nil {
			return "", fmt.Errorf("ask %s: %w", p.ID, err)
		}
		if status != want {
			return "", fmt.Errorf("%s answers %d to a good key on %s, not %d", p.ID, status, where.path, want)
		}
		asked++
	}
	if asked == 0 {
		return "", fmt.Errorf("no data plane of %s runs", t.ID)
	}
	return fmt.Sprintf("%d data planes answer %d to a good key on %s", asked, want, where.path), nil
}

// anyRequest returns a route that clients of the target's region may ask for, and a key that was good before any fault.
func (l *Lab) anyRequest(ctx context.Context, t targetID) (where route, key string, err error) {
	_, routes, err := adminAPI{"http://" + t.admin(), l.file.AdminToken, l.http}.state(ctx, kindRoute)
	if err != nil {
		return route{}, "", fmt.Errorf("read routes of %s: %w", t.ID, err)
	}
	where, ok := aRoute(routes)
	if !ok || where.auth == "none" {
		return route{}, "", fmt.Errorf("%s has no route that a look can ask for with a key", t.ID)
	}
	var keys map[string]string
	if err := readJSON(l.dir.keys(), &keys); err != nil {
		return route{}, "", fmt.Errorf("read keys of the lab: %w", err)
	}
	if keys[liveKey] == "" {
		return route{}, "", errors.New("the lab has no live key to look with")
	}
	return where, keys[liveKey], nil
}

// askRoute returns the status of a data plane's answer.
func askRoute(ctx context.Context, client *http.Client, addr string, where route, key string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, answersWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+where.path, nil)
	if err != nil {
		return 0, err
	}
	req.Host = where.host
	req.Header.Set("Authorization", "Bearer "+key)
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	resp.Body.Close()
	return resp.StatusCode, nil
}
