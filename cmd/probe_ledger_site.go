package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"gwdr/fleet"
	"gwdr/fleet/process"
	"gwdr/gateway"
	"gwdr/gateway/native"
)

// ledgerSite is a gateway that is ready for a ledger.
type ledgerSite struct {
	name   string // of the gateway, for people
	prefix string // begins the id of every object
	admin  *ledgerAdmin
	source gateway.Source
	before *gateway.Export // what it had before
	keep   bool
	echo   func() // ends the upstream in this process, if there is one
}

// ledgerTidyTimeout bounds how long the objects of a ledger may take to go.
const ledgerTidyTimeout = time.Minute

// openLedger opens the gateway that the flags and the configuration name, and gives it what the changes rest on: an upstream,
// and a route that wants a key.
func (a *app) openLedger(ctx context.Context, opts probeLedgerOptions) (*ledgerSite, error) {
	o, err := a.openGateway(ctx, opts.Gateway)
	if err != nil {
		return nil, err
	}
	if err := opts.checkFor(o); err != nil {
		return nil, usageError(err)
	}
	s := &ledgerSite{prefix: fmt.Sprintf("ledger-%06x-", rand.N(1<<24)), source: o.Target, keep: opts.Keep, name: "the gateway", echo: func() {}}
	if s.before, err = o.Target.Export(ctx); err != nil {
		return nil, err
	}
	s.admin = &ledgerAdmin{writer: &targetWriter{target: o.Target}, upstream: opts.Upstream, http: &http.Client{
		Transport: &http.Transport{MaxIdleConnsPerHost: ledgerParallel}, CheckRedirect: noRedirect}}
	if o.Admin != nil {
		s.admin.writer, s.name = nativeWriter{o.Admin}, o.Admin.String()
	}
	regions, err := a.ledgerRegions(ctx, o, opts.Regions)
	if err != nil {
		return nil, err
	}
	s.admin.regions = func(context.Context) (map[string]*ledgerRegion, error) { return regions, nil }
	if o.Lab != nil {
		s.admin.upstream, s.admin.keyPath, s.admin.echoes = labLedgerUpstream, labLedgerKeyPath, true
		return s, nil
	}
	if err := s.prepare(ctx, o.Admin); err != nil {
		return nil, errors.Join(err, s.close(ctx))
	}
	return s, nil
}

// checkFor returns an error for a flag that the gateway has no use for: whoever gave it believes that it is heeded.
func (o *probeLedgerOptions) checkFor(g *opened) error {
	switch {
	case len(o.Regions) > 0 && g.Lab != nil:
		return errors.New("--region: all regions of the lab are read back, and no others")
	case len(o.Regions) > 0 && g.Admin == nil:
		return errors.New("--region is for a bundled gateway; of another one only itself can be read back")
	case o.Upstream != "" && g.Lab != nil:
		return errors.New("--upstream: the lab has one for the routes of a ledger")
	}
	return nil
}

func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// ledgerRegions returns what is to be read back: the gateway, or all regions of the lab, and those that are named.
func (a *app) ledgerRegions(ctx context.Context, o *opened, further []string) (map[string]*ledgerRegion, error) {
	if o.Lab != nil {
		instances, err := o.Lab.Instances(ctx)
		if err != nil {
			return nil, err
		}
		return labRegions(instances, o.Lab.AdminToken()), nil
	}
	if o.Admin == nil {
		return map[string]*ledgerRegion{"gateway": {control: o.Target}}, nil
	}
	token := o.Admin.Token
	clients := []*native.Client{o.Admin}
	for _, at := range further {
		base, err := parseGateway(at)
		if err != nil {
			return nil, fmt.Errorf("--region: %w", err)
		}
		clients = append(clients, &native.Client{URL: base, Token: token})
	}
	all := map[string]*ledgerRegion{}
	for i, client := range clients {
		status, err := client.Brief(ctx)
		if err != nil {
			return nil, err
		}
		name := cmp.Or(status.Region, client.String())
		if all[name] != nil {
			name += " at " + client.String()
		}
		r := &ledgerRegion{control: client, url: dataURL(client.URL, status.Listen)}
		if i == 0 {
			r.url = cmp.Or(r.url, firstHTTP(a.Config.Probe.URLs))
		}
		all[name] = r
	}
	return all, nil
}

// labRegions returns all regions, also those that are down now: that one cannot be read is something to say.
func labRegions(instances []fleet.Instance, token string) map[string]*ledgerRegion {
	all := map[string]*ledgerRegion{}
	for _, in := range (fleet.Selector{Role: fleet.Control}).Select(instances) {
		all[in.Region] = &ledgerRegion{control: &native.Client{URL: in.AdminURL, Token: token}}
	}
	for _, in := range (fleet.Selector{Role: fleet.Data}).Select(instances) {
		if r := all[in.Region]; r != nil {
			r.data = append(r.data, &native.Client{URL: in.AdminURL, Token: token})
			r.url = cmp.Or(r.url, in.URL)
		}
	}
	return all
}

func firstHTTP(urls []string) string {
	i := slices.IndexFunc(urls, func(u string) bool { return strings.HasPrefix(u, "http://") || strings.HasPrefix(u, "https://") })
	if i < 0 {
		return ""
	}
	return strings.TrimSuffix(urls[i], "/")
}

// prepare makes the upstream of the routes, unless one was named, and the route that wants a key. A gateway on this machine
// gets an upstream here, which repeats the version of a route; elsewhere nobody answers behind it, and only whether a route
// is there can be seen at the data plane.
func (s *ledgerSite) prepare(ctx context.Context, admin *native.Client) error {
	if s.admin.upstream == "" {
		body := gateway.UpstreamBody{Endpoints: []gateway.Endpoint{}}
		if u, err := url.Parse(s.name); admin != nil && err == nil && isLoopback(u.Host) {
			at, end, err := serveEcho()
			if err != nil {
				return err
			}
			s.echo, s.admin.echoes = end, true
			body.Endpoints = append(body.Endpoints, gateway.Endpoint{URL: at})
		}
		s.admin.upstream = s.prefix + "upstream"
		ref := gateway.Ref{Kind: gateway.Upstream, ID: s.admin.upstream}
		if err := s.admin.writer.Put(ctx, gateway.Entity{Ref: ref, Body: gateway.Encode(body)}); err != nil {
			return fmt.Errorf("prepare ledger: %w", err)
		}
	}
	s.admin.keyPath = ledgerPath(s.prefix + "key")
	route := gateway.RouteBody{Path: s.admin.keyPath, Upstream: s.admin.upstream, Auth: gateway.AuthKey}
	ref := gateway.Ref{Kind: gateway.Route, ID: s.prefix + "key"}
	if err := s.admin.writer.Put(ctx, gateway.Entity{Ref: ref, Body: gateway.Encode(route)}); err != nil {
		return fmt.Errorf("prepare ledger: %w", err)
	}
	return nil
}

// serveEcho serves the lab's echo from this process.
func serveEcho() (at string, end func(), err error) {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, fmt.Errorf("serve an upstream: %w", err)
	}
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: process.Echo()}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l) // until it is closed
	}()
	return "http://" + l.Addr().String(), func() {
		_ = server.Close()
		<-done
	}, nil
}

// close takes away what the ledger has made, if it is not to be kept.
func (s *ledgerSite) close(ctx context.Context) error {
	defer s.echo()
	if s.keep {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), ledgerTidyTimeout)
	defer cancel()
	left, err := s.tidy(ctx)
	if err != nil {
		return withHint(fmt.Errorf("take away what the ledger made: %w", err), "delete %s whose ids begin with %s; its keys are of no use to anybody", left, s.prefix)
	}
	return nil
}

// tidy deletes everything that bears the ledger's prefix or mark, but revocations, which are for good: what refers to others
// goes first. It returns the kinds that something may be left of.
func (s *ledgerSite) tidy(ctx context.Context) (left string, err error) {
	e, err := s.source.Export(ctx)
	if err != nil {
		return "all objects", err
	}
	mine := func(e gateway.Entity) bool {
		mark, ok := readLedgerMark(e.Kind, e.Body)
		return strings.HasPrefix(e.ID, s.prefix) || ok && ledgerRunOf(mark.ID) == s.prefix
	}
	failed := map[gateway.Kind]error{}
	refs := e.State.Refs()
	for _, ref := range slices.Backward(refs) {
		body, _ := e.State.Get(ref)
		if ref.Kind == gateway.Revocation || !mine(gateway.Entity{Ref: ref, Body: body}) {
			continue
		}
		if err := s.admin.writer.Delete(ctx, ref); err != nil {
			failed[ref.Kind] = err
		}
	}
	var errs []error
	var kinds []string
	for _, kind := range slices.Sorted(maps.Keys(failed)) {
		errs, kinds = append(errs, failed[kind]), append(kinds, string(kind)+"s")
	}
	return strings.Join(kinds, ", "), errors.Join(errs...)
}
