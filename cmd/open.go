package cmd

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"gwdr/fleet"
	"gwdr/fleet/process"
	"gwdr/gateway"
	"gwdr/gateway/native"
	"gwdr/restore"
)

// opened is the gateway that a command works on.
type opened struct {
	Target    gateway.Target
	Admin     *native.Client
	Witnesses []restore.RevocationSource // who else may know of revocations
	DataURLs  []string                   // data planes that can be probed
	Lab       *process.Lab               // nil for a configured gateway
}

// openGateway returns the configured gateway, or the running lab's when none is configured. at overrides the
// configured URL.
func (a *app) openGateway(ctx context.Context, at string) (*opened, error) {
	if at == "" {
		at = a.Config.Gateway
	}
	if at == "" {
		return a.openLabGateway(ctx)
	}
	driver, url, ok := strings.Cut(at, "+")
	if !ok || driver != "gwdr" || !strings.HasPrefix(url, "http") {
		return nil, withHint(usageError(fmt.Errorf("gateway %q is not of the form gwdr+http://HOST:PORT", at)),
			"the bundled gateway's admin address is what 'gwdr serve --admin' listens on")
	}
	token, err := a.adminToken()
	if err != nil {
		return nil, err
	}
	client := &native.Client{URL: url, Token: token}
	return &opened{Target: client, Admin: client}, nil
}

// adminToken reads the token for the gateway's admin API from GWDR_TOKEN or the configured file; none is no error.
func (a *app) adminToken() (string, error) {
	if token := a.Env("GWDR_TOKEN"); token != "" {
		return token, nil
	}
	if a.Config.TokenFile == "" {
		return "", nil
	}
	raw, err := os.ReadFile(a.Config.TokenFile)
	if err != nil {
		return "", fmt.Errorf("read admin token: %w", err)
	}
	return strings.TrimSpace(string(raw)), nil
}

func (a *app) openLabGateway(ctx context.Context) (*opened, error) {
	lab, err := process.Open(a.Config.LabDir())
	if errors.Is(err, process.ErrNoLab) {
		return nil, withHint(err, "start one with 'gwdr lab up', or name your gateway in gwdr.yaml ('gwdr init')")
	}
	if err != nil {
		return nil, err
	}
	return openLab(ctx, lab)
}

// openLab reaches the lab as its administrators do: through the edge, which knows which control plane leads.
func openLab(ctx context.Context, lab *process.Lab) (*opened, error) {
	instances, err := lab.Instances(ctx)
	if err != nil {
		return nil, err
	}
	client := labClient(lab)
	o := &opened{Target: client, Admin: client, Lab: lab, DataURLs: []string{lab.Edge()}}
	for _, in := range (fleet.Selector{Role: fleet.Data}).Select(instances) {
		if in.Running {
			o.Witnesses = append(o.Witnesses, &native.Client{URL: in.AdminURL, Token: lab.AdminToken(), HTTP: &http.Client{Timeout: 5 * time.Second}})
		}
	}
	return o, nil
}
