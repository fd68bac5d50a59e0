package sftp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Options say where a location is and how to reach it.
type Options struct {
	User string
	Host string // a name or an address, without brackets, in lower case as in known_hosts
	Port int
	Dir  string // absolute, at the server

	Key        string // file of the private key; empty: what the agent has, then DefaultKeys
	KnownHosts string // file of the host keys that are trusted

	Agent       string   // socket of the ssh-agent; empty: there is none
	DefaultKeys []string // files that are tried where Key is empty; they need not be there

	// DialContext replaces the dialer, such as for a proxy in between.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)
}

const defaultPort = 22

// ParseURL reads a location as gwdr.yaml has it: sftp://USER@HOST:PORT/ABSOLUTE/DIR?key=FILE&known_hosts=FILE. The files
// are absolute paths. No error shows the URL: who does not know where a password belongs puts it there.
func ParseURL(text string) (Options, error) {
	u, err := url.Parse(text)
	if err != nil {
		return Options{}, errors.New("SFTP location is not a URL")
	}
	if u.User != nil {
		if _, has := u.User.Password(); has {
			return Options{}, errors.New("SFTP location holds a password: only keys are used, and nothing secret belongs in a URL")
		}
	}
	if u.Scheme != "sftp" || u.Hostname() == "" || u.User.Username() == "" || !path.IsAbs(u.Path) || u.Fragment != "" {
		return Options{}, errors.New("SFTP location is not of the form sftp://USER@HOST:PORT/DIRECTORY")
	}
	query := u.Query()
	o := Options{
		User: u.User.Username(), Host: strings.ToLower(u.Hostname()), Port: defaultPort, Dir: path.Clean(u.Path),
		Key: query.Get("key"), KnownHosts: query.Get("known_hosts"),
	}
	if u.Port() != "" {
		if o.Port, err = strconv.Atoi(u.Port()); err != nil || o.Port < 1 || o.Port > 65535 {
			return Options{}, errors.New("SFTP location has no valid port")
		}
	}
	for name, values := range query {
		if name != "key" && name != "known_hosts" {
			return Options{}, fmt.Errorf("SFTP location %s: unknown option %q", o.Host, name)
		}
		if len(values) != 1 || !filepath.IsAbs(values[0]) {
			return Options{}, fmt.Errorf("SFTP location %s: %s is not the absolute path of one file", o.Host, name)
		}
	}
	return o, nil
}

// Open returns the location. It reads no file and sends nothing yet.
func Open(o Options) *Location {
	if o.DialContext == nil {
		// The probes of an idle connection find out in about a minute that the other end is gone.
		o.DialContext = (&net.Dialer{Timeout: dialTime, KeepAlive: 10 * time.Second}).DialContext
	}
	return &Location{options: o}
}

// address is what known_hosts has a key for.
func (o Options) address() string { return net.JoinHostPort(o.Host, strconv.Itoa(o.Port)) }
