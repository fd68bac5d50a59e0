package docker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// apiVersion is the version of the Engine API that this driver was written for: that of Docker 20.10. All that it needs is
// the same in later ones; an engine that knows it no more is asked in the oldest version that it does.
const apiVersion = "1.41"

// callTimeout bounds one call; an engine on a busy machine takes seconds to start a container.
const callTimeout = 20 * time.Second

// maxAnswer bounds an answer of the engine, in bytes.
const maxAnswer = 32 << 20

var (
	errNotFound = errors.New("no such object")          // the engine answered 404
	errConflict = errors.New("not in this state")       // 409
	errNoEngine = errors.New("engine is not to be had") // nobody answered
)

// engine is a client of one engine. It is safe for concurrent use.
type engine struct {
	host    string
	version string
	http    *http.Client
}

// dial finds out which version of the API the engine speaks.
func dial(ctx context.Context, host string) (*engine, error) {
	path, ok := strings.CutPrefix(host, "unix://")
	if !ok || !strings.HasPrefix(path, "/") {
		return nil, fmt.Errorf("engine %q is not of the form unix:///path/to/docker.sock", host)
	}
	var d net.Dialer
	e := &engine{host: host, http: &http.Client{Transport: &http.Transport{
		DialContext:     func(ctx context.Context, _, _ string) (net.Conn, error) { return d.DialContext(ctx, "unix", path) },
		IdleConnTimeout: 10 * time.Second,
	}}}
	var v struct{ APIVersion, MinAPIVersion string }
	if err := e.call(ctx, http.MethodGet, "/version", nil, &v); err != nil {
		return nil, err
	}
	version, err := negotiate(v.APIVersion, v.MinAPIVersion)
	if err != nil {
		return nil, fmt.Errorf("engine %s: %w", host, err)
	}
	e.version = version
	return e, nil
}

// negotiate returns the version to speak with an engine that knows those from oldest to newest.
func negotiate(newest, oldest string) (string, error) {
	switch {
	case minor(newest) < 0:
		return "", fmt.Errorf("it says that its API has version %q", newest)
	case minor(newest) < minor(apiVersion):
		return "", fmt.Errorf("its API has version %s, at least %s (Docker 20.10) is needed", newest, apiVersion)
	case minor(oldest) > minor(apiVersion):
		return oldest, nil
	}
	return apiVersion, nil
}

// minor returns the number after "1.", or -1.
func minor(version string) int {
	text, ok := strings.CutPrefix(version, "1.")
	n, err := strconv.Atoi(text)
	if !ok || err != nil || n < 0 {
		return -1
	}
	return n
}

// call makes one call, and reads the answer into out unless that is nil.
func (e *engine) call(ctx context.Context, method, path string, body, out any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	content, err := json.Marshal(body)
	if err != nil {
		return err
	}
	if e.version != "" {
		path = "/v" + e.version + path
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://docker"+path, bytes.NewReader(content))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := e.http.Do(req)
	if err != nil {
		return fmt.Errorf("%w at %s: %w", errNoEngine, e.host, errors.Unwrap(err))
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read answer of engine %s: %w", e.host, err)
	}
	if resp.StatusCode >= 300 && resp.StatusCode != http.StatusNotModified { // which says: it is so already
		return refusal(resp.StatusCode, answer)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("read answer of engine %s: %w", e.host, err)
	}
	return nil
}

// refusal is what the engine answered instead of doing it.
func refusal(status int, answer []byte) error {
	var said struct{ Message string }
	if json.Unmarshal(answer, &said) != nil || said.Message == "" {
		said.Message = http.StatusText(status)
	}
	kind := map[int]error{http.StatusNotFound: errNotFound, http.StatusConflict: errConflict}[status]
	if kind == nil {
		return fmt.Errorf("the engine refuses (%d): %s", status, said.Message)
	}
	return fmt.Errorf("the engine refuses: %w: %s", kind, said.Message)
}

// prefix is a pool of addresses, from which subnets of Size bits are taken.
type prefix struct {
	Base netip.Prefix
	Size int
}

// info is what is to be known of the engine itself.
type info struct {
	ID    string
	Root  string   `json:"DockerRootDir"`
	CPUs  int      `json:"NCPU"`
	Pools []prefix `json:"DefaultAddressPools"`
}

func (e *engine) info(ctx context.Context) (info, error) {
	var i info
	err := e.call(ctx, http.MethodGet, "/info", nil, &i)
	if err == nil && (i.ID == "" || i.CPUs < 1) {
		err = fmt.Errorf("engine %s says neither its id nor its CPUs", e.host)
	}
	return i, err
}

// filters encodes the filter that every list takes.
func filters(label string) string {
	text, _ := json.Marshal(map[string][]string{"label": {label}}) // never fails
	return "filters=" + url.QueryEscape(string(text))
}

func (e *engine) list(ctx context.Context, label string) ([]listed, error) {
	var all []listed
	err := e.call(ctx, http.MethodGet, "/containers/json?all=true&"+filters(label), nil, &all)
	return all, err
}

func (e *engine) inspect(ctx context.Context, id string) (container, error) {
	var c container
	err := e.call(ctx, http.MethodGet, "/containers/"+url.PathEscape(id)+"/json", nil, &c)
	if err == nil && c.ID == "" {
		err = fmt.Errorf("engine %s: container %s has no id", e.host, id)
	}
	return c, err
}

// act makes a container do what the last part of the path names: start, kill, pause, unpause, update.
func (e *engine) act(ctx context.Context, id, what string, body any) error {
	return e.call(ctx, http.MethodPost, "/containers/"+url.PathEscape(id)+"/"+what, body, nil)
}

func (e *engine) network(ctx context.Context, id string) (network, error) {
	var n network
	err := e.call(ctx, http.MethodGet, "/networks/"+url.PathEscape(id), nil, &n)
	return n, err
}
