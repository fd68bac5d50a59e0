package cmd

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"gwdr/probes"
)

// askData asks the data plane: the route's answer tells its version, a key's whether it is refused. Nothing else has an
// answer of its own. Where it shows something else than the control plane it is asked again, until the time that it has to
// follow is over.
func (l *ledgerAdmin) askData(ctx context.Context, r *ledgerRegion, o *probes.Observation, until time.Time) {
	if r.url == "" || o.Error != "" || o.Kind != probes.RouteChange && (o.Kind != probes.KeyChange || l.keyPath == "") {
		return
	}
	for {
		again := *o
		l.askDataOnce(ctx, r.url, &again)
		behind := again.Error != "" || o.Kind == probes.RouteChange && again.Data != o.Version ||
			o.Kind == probes.KeyChange && again.Refused == (o.Version != 0 && !o.Revoked)
		if !behind || ctx.Err() != nil || time.Now().After(until) {
			*o = again
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(ledgerPause):
		}
	}
}

func (l *ledgerAdmin) askDataOnce(ctx context.Context, url string, o *probes.Observation) {
	ctx, cancel := context.WithTimeout(ctx, ledgerGetTimeout)
	defer cancel()
	path := ledgerPath(o.ID)
	if o.Kind == probes.KeyChange {
		path = l.keyPath
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+path, nil)
	if err != nil {
		o.Error = err.Error()
		return
	}
	if o.Kind == probes.KeyChange {
		request.Header.Set("Authorization", "Bearer "+l.key(o.ID).Reveal())
	}
	response, err := l.http.Do(request)
	if err != nil {
		o.Error = err.Error()
		return
	}
	defer response.Body.Close()
	io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10))
	o.Data, o.Refused, err = l.readAnswer(o, response)
	if err != nil {
		o.Error = err.Error()
	}
}

// readAnswer tells what the data plane has. Where the upstream does not repeat the version, an answer that is not the
// gateway's own 404 or 401 shows that the route, or the key, is there.
func (l *ledgerAdmin) readAnswer(o *probes.Observation, response *http.Response) (version int64, refused bool, err error) {
	status := response.StatusCode
	there := status == http.StatusOK || !l.echoes && status != http.StatusUnauthorized && status != http.StatusForbidden && status != http.StatusNotFound
	switch {
	case o.Kind == probes.KeyChange && there:
		return o.Version, false, nil
	case o.Kind == probes.KeyChange && status == http.StatusUnauthorized:
		return 0, true, nil
	case o.Kind == probes.RouteChange && there && !l.echoes:
		if o.Version == 0 { // which one it is, nobody says
			return -1, false, fmt.Errorf("data plane answered %s for a route that is not listed", response.Status)
		}
		return o.Version, false, nil
	case o.Kind == probes.RouteChange && there:
		version, err = strconv.ParseInt(response.Header.Get("X-Gwdr-Revision"), 10, 64)
		return version, false, err
	case o.Kind == probes.RouteChange && status == http.StatusNotFound:
		return 0, false, nil
	}
	return -1, false, fmt.Errorf("data plane answered %s", response.Status)
}
