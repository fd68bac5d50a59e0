package cmd

import (
	"context"
	"errors"
	"fmt"
	"net"
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

// opened is the gateway that a command works on.
type opened struct {
	Target    gateway.Target
	Admin     *native.Client
	Witnesses []restore.RevocationSource // who else may know of revocations
	Instances []restore.Instance         // data planes that can be probed
	Lab       *process.Lab               // nil for a configured gateway
}

// openGateway returns the configured gateway, or the running lab's when none is configured, with where its data plane is. at
// overrides the configured URL.
func (a *app) openGateway(ctx context.Context, at string) (*opened, error) {
	o, err := a.openControl(ctx, at)
	if err == nil && o.Lab == nil {
		o.Instances = restore.Instances(publishedData(ctx, o.Admin)...)
	}
	return o, err
}

// openControl is openGateway without a word with the gateway, which may be busy.
func (a *app) openControl(ctx context.Context, at string) (*opened, error) {
	if at == "" {
		at = a.Config.Gateway
	}
	if at == "" {
		if err := a.checkNamed(); err != nil {
			return nil, err
		}
		return a.openLabGateway(ctx)
	}
	base, err := parseGateway(at)
	if err != nil {
		return nil, err
	}
	token, err := a.adminToken()
	if err != nil {
		return nil, err
	}
	if token == "" && a.Config.Lab() {
		token = a.labToken(ctx, base)
	}
	client := &native.Client{URL: base, Token: token}
	return &opened{Target: client, Admin: client}, nil
}

// parseGateway returns the URL of a gateway's admin API, from driver+URL.
func parseGateway(text string) (base string, err error) {
	driver, base, _ := strings.Cut(text, "+")
	u, err := url.Parse(base)
	if err == nil && driver == "gwdr" && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil {
		return base, nil
	}
	if i := strings.LastIndexByte(text, '@'); i >= 0 { // who calls is nobody else's
		text = "...@" + text[i+1:]
	}
	err = usageError(fmt.Errorf("gateway %q is not of the form gwdr+http://HOST:PORT", text))
	if strings.HasPrefix(text, "http://") || strings.HasPrefix(text, "https://") {
		return "", withHint(err, "the driver comes first: gwdr+%s", text)
	}
	return "", withHint(err, "the bundled gateway's admin address is what 'gwdr serve --admin' listens on")
}

// labToken returns the admin token of the running lab, if one of its instances has its admin API at the URL; else none.
func (a *app) labToken(ctx context.Context, at string) string {
	lab, err := process.Open(a.Config.LabDir())
	if err != nil {
		return ""
	}
	instances, err := lab.Instances(ctx)
	if err != nil || !slices.ContainsFunc(instances, func(in fleet.Instance) bool { return in.AdminURL == strings.TrimSuffix(at, "/") }) {
		return ""
	}
	return lab.AdminToken()
}

// statusTimeout bounds how long a gateway may take to say where its data plane is: it may be the one that is broken.
const statusTimeout = 3 * time.Second

// publishedData returns the address of the data plane that runs beside the control plane, if it says so and it can be
// meant from here. A gateway that does not answer is not an error yet.
func publishedData(ctx context.Context, client *native.Client) []string {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	status, err := client.Brief(ctx)
	if err != nil {
		return nil
	}
	if at := dataURL(client.URL, status.Listen); at != "" {
		return []string{at}
	}
	return nil
}

// dataURL returns where the data plane that listens there is reached by whoever reaches the admin API at the other URL. One
// on all addresses is at the admin API's host; one on another machine's loopback is nowhere.
func dataURL(adminURL, listen string) string {
	control, err := url.Parse(adminURL)
	if err != nil {
		return ""
	}
	data, err := url.Parse(listen)
	if err != nil || data.Host == "" {
		return ""
	}
	ip := net.ParseIP(data.Hostname())
	switch {
	case ip != nil && ip.IsUnspecified():
		data.Host = net.JoinHostPort(control.Hostname(), data.Port())
	case isLoopback(data.Host) && !isLoopback(net.JoinHostPort(control.Hostname(), "0")):
		return ""
	}
	return data.String()
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
	o := &opened{Target: client, Admin: client, Lab: lab}
	for _, in := range (fleet.Selector{Role: fleet.Data}).Select(instances) {
		if in.Running {
			o.Witnesses = append(o.Witnesses, &native.Client{URL: in.AdminURL, Token: lab.AdminToken(), HTTP: &http.Client{Timeout: 5 * time.Second}})
		}
	}
	return o, nil
}
