package cmd

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"

	"gwdr/backup/blob"
	"gwdr/backup/s3"
	"gwdr/fleet/process"
)

// locationLink is the id of the link to the location with the name.
func locationLink(name string) string { return "location--" + name }

// locationLinks returns a link to each configured location whose URL names a server: the lab reaches it like everything
// else, over a connection that a drill can break.
func (a *app) locationLinks() ([]process.Link, error) {
	var links []process.Link
	for _, name := range slices.Sorted(maps.Keys(a.Config.Locations)) {
		endpoint, err := endpointOf(a.Config.Locations[name].URL)
		if err != nil {
			return nil, usageError(fmt.Errorf("location %s: %w", name, err))
		}
		if endpoint == "" { // a directory, or many addresses, one for each bucket: there is no one server to stand before
			continue
		}
		server, err := serverAddress(endpoint)
		if err != nil {
			return nil, usageError(fmt.Errorf("location %s: %w", name, err))
		}
		links = append(links, process.Link{ID: locationLink(name), To: server})
	}
	return links, nil
}

// endpointOf returns the URL of the server that the location's URL names, or nothing.
func endpointOf(location string) (string, error) {
	switch scheme, _, _ := strings.Cut(location, ":"); scheme {
	case "s3":
		options, err := s3.ParseURL(location)
		return options.Endpoint, err
	case blob.Google, blob.Azure:
		options, err := blob.ParseURL(location)
		return options.Endpoint, err
	}
	return "", nil
}

// serverAddress returns the host:port of an http or https URL.
func serverAddress(endpoint string) (string, error) {
	u, err := url.Parse(endpoint)
	if err != nil || u.Hostname() == "" {
		return "", fmt.Errorf("endpoint %q is no URL of a server", endpoint)
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port), nil
}

// labDialer returns a dialer that reaches the location over the running lab's link to it, or nil where there is none.
func (a *app) labDialer(name string) (func(ctx context.Context, network, address string) (net.Conn, error), error) {
	if !a.Config.Lab() {
		return nil, nil
	}
	lab, err := process.Open(a.Config.LabDir())
	if errors.Is(err, process.ErrNoLab) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	addr := lab.LinkAddr(locationLink(name))
	if addr == "" {
		return nil, nil
	}
	var d net.Dialer
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return d.DialContext(ctx, network, addr)
	}, nil
}
