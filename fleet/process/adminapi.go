package process

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// adminAPI is a control plane's admin API, as far as faults of configuration need it.
type adminAPI struct {
	url, token string
	http       *http.Client
}

// change is one of a batch. Op is create, update or delete; a body is kept byte for byte.
type change struct {
	Op   string `json:"op"`
	Kind string `json:"kind"`
	ID   string `json:"id"`
	Body []byte `json:"body,omitempty"`
}

// errConflict says that the configuration has changed since it was read.
var errConflict = errors.New("configuration has changed meanwhile")

// errNoQuorum says that too few members of the store answer.
var errNoQuorum = errors.New("no quorum of the store's members answers")

// answersWithin bounds one request to the admin API.
const answersWithin = 5 * time.Second

func (a adminAPI) do(ctx context.Context, method, path string, header http.Header, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, answersWithin, fmt.Errorf("no answer within %s", answersWithin))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, a.url+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if header != nil {
		req.Header = header
	}
	req.Header.Set("Authorization", "Bearer "+a.token)
	resp, err := a.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusConflict && bytes.Contains(answer, []byte(`"conflict"`)) {
		return nil, fmt.Errorf("%s %s: %w", method, path, errConflict)
	}
	if resp.StatusCode != http.StatusOK {
		var said struct{ Error, Code string }
		json.Unmarshal(answer, &said)
		if said.Code == "no_quorum" {
			return nil, fmt.Errorf("%s %s: %w", method, path, errNoQuorum)
		}
		return nil, fmt.Errorf("%s %s: %s", method, path, strings.TrimSuffix(resp.Status+": "+said.Error, ": "))
	}
	return answer, nil
}

// role returns what a control plane is, such as modeLeader, and the epoch since when.
func (a adminAPI) role(ctx context.Context) (mode string, epoch int64, err error) {
	answer, err := a.do(ctx, http.MethodGet, "/v1/status?brief=true", nil, nil)
	if err != nil {
		return "", 0, err
	}
	var status struct {
		Mode  string
		Epoch int64
	}
	if err := json.Unmarshal(answer, &status); err != nil {
		return "", 0, fmt.Errorf("read status: %w", err)
	}
	return status.Mode, status.Epoch, nil
}

// state returns all entities of a kind by id, at one revision.
func (a adminAPI) state(ctx context.Context, kind string) (revision int64, all map[string][]byte, err error) {
	answer, err := a.do(ctx, http.MethodGet, "/v1/state?kind="+url.QueryEscape(kind), nil, nil)
	if err != nil {
		return 0, nil, err
	}
	return readState(kind, answer)
}

// readState reads what /v1/state answers, and refuses what was cut off.
func readState(kind string, text []byte) (revision int64, all map[string][]byte, err error) {
	all = map[string][]byte{}
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, len(text)+1)
	for n := 0; lines.Scan(); n++ {
		var line struct {
			Revision int64
			Kind, ID string
			Body     []byte
			End      bool
			Count    int
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return 0, nil, fmt.Errorf("read state: line %d: %w", n+1, err)
		}
		switch {
		case n == 0:
			revision = line.Revision
		case line.End && line.Count == n-1:
			return revision, all, nil
		case line.Kind == kind:
			all[line.ID] = line.Body
		}
	}
	return 0, nil, errors.Join(errors.New("read state: it was cut off"), lines.Err())
}

// write makes a change that changes nothing: it is done once the store has acknowledged it.
func (a adminAPI) write(ctx context.Context) error {
	_, err := a.apply(ctx, 0, []change{{Op: "delete", Kind: kindUpstream, ID: "gwdr-not-there"}})
	return err
}

// apply makes all changes at once, provided that nothing changed after the base revision, if there is one. Bodies are taken as they
// are.
func (a adminAPI) apply(ctx context.Context, base int64, changes []change) (revision int64, err error) {
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	for _, c := range changes {
		if err := enc.Encode(c); err != nil {
			return 0, err
		}
	}
	header := http.Header{"X-Gwdr-Restore": {"true"}}
	if base != 0 {
		header.Set("X-Gwdr-Base-Revision", strconv.FormatInt(base, 10))
	}
	answer, err := a.do(ctx, http.MethodPost, "/v1/apply", header, body.Bytes())
	if err != nil {
		return 0, err
	}
	var said struct{ Revision int64 }
	if err := json.Unmarshal(answer, &said); err != nil {
		return 0, fmt.Errorf("read answer: %w", err)
	}
	return said.Revision, nil
}

// editTries is how often a change is tried again that others' changes came before.
const editTries = 50

// edit reads the kinds, decides, and makes the changes at once. If others change the configuration between, it begins anew: nothing is
// decided by what is no longer so. It returns the revision of the change, or 0 if there was none to make.
func (a adminAPI) edit(ctx context.Context, decide func(all map[string]map[string][]byte) ([]change, error), kinds ...string) (int64, error) {
	for range editTries {
		base, all := int64(0), map[string]map[string][]byte{}
		for _, kind := range kinds {
			revision, entities, err := a.state(ctx, kind)
			if err != nil {
				return 0, err
			}
			if base == 0 {
				base = revision // of the first: what came after is a conflict
			}
			all[kind] = entities
		}
		changes, err := decide(all)
		if err != nil || len(changes) == 0 {
			return 0, err
		}
		revision, err := a.apply(ctx, base, changes)
		if !errors.Is(err, errConflict) {
			return revision, err
		}
	}
	return 0, fmt.Errorf("tried %d times: %w", editTries, errConflict)
}

// route is what is asked for of a data plane.
type route struct{ host, path, auth string }

// aRoute returns the first of the routes, by id, that a GET with any key reaches, and false if there is none.
func aRoute(routes map[string][]byte) (route, bool) {
	for _, id := range slices.Sorted(maps.Keys(routes)) {
		var body struct {
			Hosts, Methods, Scopes []string
			Path, Auth             string
		}
		if json.Unmarshal(routes[id], &body) != nil || len(body.Scopes) > 0 || body.Auth == "jwt" {
			continue
		}
		if len(body.Methods) > 0 && !slices.Contains(body.Methods, http.MethodGet) {
			continue
		}
		r := route{path: filled(body.Path), auth: body.Auth}
		if len(body.Hosts) > 0 {
			r.host = body.Hosts[0]
		}
		return r, true
	}
	return route{path: "/"}, false
}

// filled puts something in the place of each parameter of a path.
func filled(path string) string {
	parts := strings.Split(path, "/")
	for i, part := range parts {
		if strings.HasPrefix(part, "{") {
			parts[i] = "1"
		}
	}
	return strings.Join(parts, "/")
}
