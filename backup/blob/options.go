package blob

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"gwdr/backup"
)

// The schemes of the URLs, which are those of gocloud.dev.
const (
	Google = "gs"
	Azure  = "azblob"
)

// Options say where a location is and how to reach it.
type Options struct {
	Scheme   string // Google or Azure
	Bucket   string // Azure's word is container
	Prefix   string // of all keys; empty or ending in a slash
	Endpoint string // URL of the server; empty means the cloud itself. Of Azure it includes the account
	Account  string // storage account; Azure only

	// Key of the storage account, or SAS, a shared access signature; Azure only. Without either the credentials come from
	// the cloud's own default chain (environment, files, roles), as they always do at Google.
	Key, SAS Secret
	// DialContext replaces the dialer, such as for a proxy in between.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)
}

// Secret is text that no format shows.
type Secret string

// Format writes three stars.
func (Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, "***") }

// parameters are what each scheme takes in its URL.
func parameters(scheme string) []string {
	switch scheme {
	case Google:
		return []string{"endpoint"}
	case Azure:
		return []string{"endpoint", "account"}
	}
	return nil
}

// ParseURL reads a location as gwdr.yaml has it: gs://BUCKET/PREFIX?endpoint=https://HOST and
// azblob://CONTAINER/PREFIX?account=NAME&endpoint=https://HOST/NAME. No error shows the URL: who does not know where
// credentials belong puts them there.
func ParseURL(text string) (Options, error) {
	u, err := url.Parse(text)
	if err != nil {
		return Options{}, errors.New("location is not a URL")
	}
	known := parameters(u.Scheme)
	if known == nil || u.Hostname() == "" || u.Port() != "" || u.User != nil || u.Fragment != "" {
		return Options{}, errors.New("location is not of the form gs://BUCKET/PREFIX or azblob://CONTAINER/PREFIX")
	}
	query := u.Query()
	for name := range query {
		if !slices.Contains(known, name) {
			return Options{}, fmt.Errorf("location %s: unknown option %q", u.Host, name)
		}
	}
	o := Options{Scheme: u.Scheme, Bucket: u.Host, Prefix: strings.Trim(u.Path, "/"), Account: query.Get("account")}
	if o.Prefix != "" {
		if checkKey(o.Prefix) != nil {
			return Options{}, fmt.Errorf("location %s: prefix has characters that not every store keeps", o.Bucket)
		}
		o.Prefix += "/"
	}
	if strings.Trim(o.Account, lowercase+digits) != "" {
		return Options{}, fmt.Errorf("location %s: account has other characters than letters and digits", o.Bucket)
	}
	o.Endpoint = strings.TrimRight(query.Get("endpoint"), "/")
	return o, o.checkEndpoint()
}

func (o Options) checkEndpoint() error {
	if o.Endpoint == "" {
		return nil
	}
	e, err := url.Parse(o.Endpoint)
	if err != nil || e.Host == "" || e.User != nil || e.RawQuery != "" || e.Fragment != "" || e.Scheme != "http" && e.Scheme != "https" {
		return fmt.Errorf("location %s: endpoint is not of the form https://HOST:PORT", o.Bucket)
	}
	if o.Scheme == Google && e.Path != "" {
		return fmt.Errorf("location %s: endpoint has a path", o.Bucket)
	}
	return nil
}

const (
	lowercase = "abcdefghijklmnopqrstuvwxyz"
	uppercase = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits    = "0123456789"
)

// checkKey refuses what gocloud.dev would store under another name than was asked for: other tools than gwdr must find
// the object, too.
func checkKey(key string) error {
	if err := backup.CheckName(key); err != nil {
		return err
	}
	if strings.Trim(key, lowercase+uppercase+digits+"/._-=+@,~ ") != "" || strings.Contains(key, "../") {
		return fmt.Errorf("object name %q has characters that not every store keeps", key)
	}
	return nil
}

// Open returns the location. It sends nothing yet, and looks for credentials when they are first needed: a location
// that cannot be used is no reason not to use the others.
func Open(o Options) *Location {
	return &Location{options: o, opening: make(chan struct{}, 1)}
}

// transport notices a dead server soon: its times bound each step but the transfer, which the caller's context bounds.
func transport(dial func(ctx context.Context, network, address string) (net.Conn, error)) *http.Transport {
	if dial == nil {
		dial = (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 10 * time.Second}).DialContext
	}
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: dial, ForceAttemptHTTP2: true,
		MaxIdleConnsPerHost: 8, IdleConnTimeout: 90 * time.Second,
		TLSHandshakeTimeout: 5 * time.Second, ResponseHeaderTimeout: 20 * time.Second, ExpectContinueTimeout: time.Second,
	}
}

// tokenClient fetches tokens. It does not take the location's own dialer: they come from elsewhere.
func tokenClient() *http.Client {
	return &http.Client{Transport: transport(nil), Timeout: 30 * time.Second}
}
