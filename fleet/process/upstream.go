package process

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"gwdr/fleet"
)

// upstreamFaults are those of the service behind the gateway.
func upstreamFaults() map[fleet.FaultKind]injector {
	upstream := []fleet.Role{fleet.Upstream}
	return map[fleet.FaultKind]injector{
		fleet.UpstreamError: {roles: upstream, inject: (*supervisor).trouble, revert: (*supervisor).untrouble, look: (*Lab).lookErrors},
		fleet.UpstreamSlow:  {roles: upstream, inject: (*supervisor).trouble, revert: (*supervisor).untrouble, look: (*Lab).lookLate},
	}
}

// troubleOf is what the echo is told for a fault.
func troubleOf(f fleet.Fault) trouble {
	t := trouble{Share: shareOf(f), Delay: f.With.Delay, Lease: f.Lease}
	if f.Kind == fleet.UpstreamError {
		t.Status = statusOf(f)
	}
	return t
}

// shareOf is the share of the answers that are hit: all, unless the fault says otherwise.
func shareOf(f fleet.Fault) float64 {
	if f.With.Share == 0 {
		return 1
	}
	return f.With.Share
}

func statusOf(f fleet.Fault) int {
	if f.With.Status == 0 {
		return http.StatusServiceUnavailable
	}
	return f.With.Status
}

// trouble tells the echo what to do wrong, and again and again: its own lease ends it if nobody does.
func (s *supervisor) trouble(ctx context.Context, f *fault) error {
	if err := s.tellEcho(ctx, http.MethodPut, f); err != nil {
		return err
	}
	f.background(ctx, func(until context.Context) {
		for sleep(until, f.undo.Fault.Lease/3); until.Err() == nil; sleep(until, f.undo.Fault.Lease/3) {
			if err := s.tellEcho(ctx, http.MethodPut, f); err != nil && ctx.Err() == nil { // to its end: it may not arrive after the DELETE
				s.log.Warn("keep the upstream in trouble", "fault", f.undo.Fault.ID, "error", err)
			}
		}
	})
	return nil
}

// untrouble ends what the echo does wrong. One that was started again knows of none.
func (s *supervisor) untrouble(ctx context.Context, f *fault) error {
	f.halt()
	if err := s.bringBack(ctx, f); err != nil {
		return err
	}
	return s.tellEcho(ctx, http.MethodDelete, f)
}

// echoHears bounds how long the echo may take to hear what it is told.
const echoHears = 5 * time.Second

func (s *supervisor) tellEcho(ctx context.Context, method string, f *fault) error {
	ctx, cancel := context.WithTimeoutCause(ctx, echoHears, fmt.Errorf("no answer within %s", echoHears))
	defer cancel()
	body, err := json.Marshal(troubleOf(f.undo.Fault))
	if err != nil {
		return fmt.Errorf("tell the upstream: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, method, s.Echo+echoTroubles+f.undo.Fault.ID, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("tell the upstream: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+s.plan.echo.Token)
	resp, err := s.http.Do(req)
	if err != nil {
		return fmt.Errorf("tell the upstream: %w", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return fmt.Errorf("tell the upstream: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("tell the upstream: %w", decodeFailure(resp.Status, answer))
	}
	return nil
}

// How the share of answers that are hit is counted: enough requests for so many of them to be expected, but no more than can be made
// while a drill waits. A third of the 60 is what chance leaves in all but one of a million looks; of the 8 that are expected of the
// smallest share, in all but one of three hundred, and a drill looks again.
const (
	hitsExpected = 60
	mostAsked    = 8000
	wholeAsked   = 20 // where all are hit
	askedAtOnce  = 20
)

// looks says how many requests show that a share of the answers is hit, and how many of them have to be.
func looks(share float64) (asked, least int) {
	if share == 1 {
		return wholeAsked, wholeAsked
	}
	asked = min(int(math.Ceil(hitsExpected/share)), mostAsked)
	return asked, max(1, int(float64(asked)*share/3))
}

// lookErrors asks the upstream itself, past the gateway, and counts the errors.
func (l *Lab) lookErrors(ctx context.Context, f fleet.Fault, t targetID) (string, error) {
	want := statusOf(f)
	asked, hit, err := askUpstream(ctx, f, t, func(ctx context.Context, client *http.Client, url string) (bool, error) {
		status, err := statusAt(ctx, client, url)
		return status == want, err
	})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d of %d requests past the gateway were answered %d", hit, asked, want), nil
}

// lateEnough is how long a look waits at most for an answer that is late.
const lateEnough = time.Second

// lookLate asks the upstream itself, past the gateway, and counts what is not answered before the delay is over.
func (l *Lab) lookLate(ctx context.Context, f fleet.Fault, t targetID) (string, error) {
	late := min(f.With.Delay, lateEnough)
	asked, hit, err := askUpstream(ctx, f, t, func(ctx context.Context, client *http.Client, url string) (bool, error) {
		start := time.Now() // before the limit begins, so that whatever that ends took so long
		patience, cancel := context.WithTimeout(ctx, late)
		defer cancel()
		_, err := statusAt(patience, client, url)
		if ctx.Err() == nil && time.Since(start) >= late {
			return true, nil // also if the answer came just then
		}
		return false, err
	})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d of %d requests past the gateway had no answer after %s", hit, asked, late), nil
}

// asker sends a request and says whether its answer was hit.
type asker func(ctx context.Context, client *http.Client, url string) (hit bool, err error)

// askUpstream sends requests to the upstream and counts those that are hit. The error says so if these are too few.
func askUpstream(ctx context.Context, f fleet.Fault, t targetID, ask asker) (asked, hit int, err error) {
	asked, least := looks(shareOf(f))
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: askedAtOnce}}
	defer client.CloseIdleConnections()
	var hits atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(askedAtOnce)
	for range asked {
		group.Go(func() error {
			one, err := ask(ctx, client, "http://"+t.Ports[0]+"/")
			if one {
				hits.Add(1)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return asked, 0, fmt.Errorf("ask %s: %w", t.ID, err)
	}
	if hit = int(hits.Load()); hit < least {
		return asked, hit, fmt.Errorf("%d of %d answers of %s were hit, less than %d", hit, asked, t.ID, least)
	}
	return asked, hit, nil
}

// statusAt returns the status of the answer to a GET.
func statusAt(ctx context.Context, client *http.Client, url string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	return resp.StatusCode, nil
}
