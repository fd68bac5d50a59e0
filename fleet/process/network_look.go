package process

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"gwdr/fleet"
)

// lookAtLink sees by connections of its own, through the link and past it, that a link does what c says, and says what it
// saw. It takes nothing from the link itself. The error says what is still well.
type lookAtLink func(ctx context.Context, c brokenLink) (string, error)

// all looks at all links of the target.
func (look lookAtLink) all(_ *Lab, ctx context.Context, _ fleet.Fault, t targetID) (string, error) {
	if len(t.Links) == 0 {
		return "no link leads to the peer", nil
	}
	seen := make([]string, len(t.Links))
	group, ctx := errgroup.WithContext(ctx)
	for i, c := range t.Links {
		group.Go(func() (err error) {
			seen[i], err = look(ctx, c)
			return err
		})
	}
	err := group.Wait()
	return strings.Join(seen, ", "), err
}

// How long looks wait for what should not come, for what should come late, and for what should come.
const (
	silence  = 500 * time.Millisecond
	patience = 3 * time.Second // a drill that waits for a fault to show looks more than once
	answer   = 5 * time.Second
)

// request is understood by everything in the lab that links lead to.
const request = "GET /.gwdr/ready HTTP/1.1\r\nHost: gwdr\r\nConnection: close\r\n"

// ask sends a request, with extra headers or none, and returns how long the first byte of the answer took from the start of
// the request.
func ask(ctx context.Context, addr, headers string, limit time.Duration) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	start := time.Now()
	if _, err := conn.Write([]byte(request + headers + "\r\n")); err != nil {
		return 0, err
	}
	_, err = conn.Read(make([]byte, 1))
	return time.Since(start), err
}

// carries sees that requests are answered over the link, unless its far end is down itself.
func carries(ctx context.Context, c brokenLink) error {
	_, err := ask(ctx, c.Addr, "", answer)
	if err == nil {
		return nil
	}
	if far := alive(ctx, c); far != nil && !errors.Is(err, syscall.ECONNREFUSED) {
		return nil
	}
	return fmt.Errorf("link %s does not carry: %w", c.Link, err)
}

// alive sees that the far end answers directly: without that, silence on the link shows nothing.
func alive(ctx context.Context, c brokenLink) error {
	if _, err := ask(ctx, c.Far, "", answer); err != nil {
		return fmt.Errorf("the far end of link %s does not answer directly either, so nothing shows: %w", c.Link, err)
	}
	return nil
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// lookCutOff sees that connecting gets no answer.
func lookCutOff(ctx context.Context, c brokenLink) (string, error) {
	if err := alive(ctx, c); err != nil {
		return "", err
	}
	d := net.Dialer{Timeout: silence}
	conn, err := d.DialContext(ctx, "tcp", c.Addr)
	if err == nil {
		conn.Close()
		return "", fmt.Errorf("link %s lets connections in", c.Link)
	}
	if !isTimeout(err) || ctx.Err() != nil {
		return "", fmt.Errorf("link %s: connecting should get no answer: %w", c.Link, err)
	}
	return fmt.Sprintf("%s: connecting got no answer for %s", c.Link, silence), nil
}

// lookSilent sees that a connection is made and a request gets no answer.
func lookSilent(ctx context.Context, c brokenLink) (string, error) {
	if err := alive(ctx, c); err != nil {
		return "", err
	}
	took, err := ask(ctx, c.Addr, "", silence)
	if err == nil {
		return "", fmt.Errorf("link %s: a request was answered after %s", c.Link, took.Round(time.Microsecond))
	}
	if !isTimeout(err) || took == 0 || ctx.Err() != nil {
		return "", fmt.Errorf("link %s: a request should get no answer: %w", c.Link, err)
	}
	return fmt.Sprintf("%s: a request got no answer for %s", c.Link, silence), nil
}

// lookReset sees that a connection is reset.
func lookReset(ctx context.Context, c brokenLink) (string, error) {
	if err := alive(ctx, c); err != nil {
		return "", err
	}
	_, err := ask(ctx, c.Addr, "", answer)
	if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
		return "", fmt.Errorf("link %s: a connection should be reset, and ended with %v", c.Link, err)
	}
	return c.Link + ": a connection was reset", nil
}

// lookLate compares requests over the link with requests past it. They are made side by side, as a delay may be long; one
// that takes too long to wait for counts as what was waited.
func lookLate(ctx context.Context, c brokenLink) (string, error) {
	const samples = 7
	var through, past [samples]time.Duration
	group, grouped := errgroup.WithContext(ctx)
	for i := range samples {
		group.Go(func() (err error) {
			if through[i], err = ask(grouped, c.Addr, "", patience); isTimeout(err) && grouped.Err() == nil {
				through[i], err = patience, nil
			}
			return err
		})
		group.Go(func() (err error) { past[i], err = ask(grouped, c.Far, "", patience); return err })
	}
	if err := group.Wait(); err != nil {
		return "", fmt.Errorf("link %s: %w", c.Link, err)
	}
	slices.Sort(through[:])
	slices.Sort(past[:])
	f, first, later := c.State.There, through[0], through[samples/2]-past[samples/2]
	if first < min(2*(f.Delay-f.Jitter), patience) || later < min(f.Delay, patience/2) { // twice the delay is in the middle
		return "", fmt.Errorf("link %s: answers come only %s later, the first after %s",
			c.Link, later.Round(time.Microsecond), first.Round(time.Microsecond))
	}
	return fmt.Sprintf("%s: answers come %s later", c.Link, later.Round(time.Millisecond)), nil
}

// lookSlow sends requests of which the link carries a known number of bytes in half a second, and takes the time. It
// shares the rate with all others on the link.
func lookSlow(ctx context.Context, c brokenLink) (string, error) {
	rate := c.State.There.Rate
	size := min(max(rate/2, int64(len(request))), 32<<20)
	took, sent, err := upload(ctx, c.Addr, size, patience)
	if isTimeout(err) && ctx.Err() == nil {
		return fmt.Sprintf("%s: requests of %d bytes got no answer for %s", c.Link, size, patience), alive(ctx, c)
	}
	if err != nil {
		return "", fmt.Errorf("link %s: %w", c.Link, err)
	}
	past, _, err := upload(ctx, c.Far, size, patience)
	if err != nil {
		return "", fmt.Errorf("far end of link %s: %w", c.Link, err)
	}
	perSecond := func(d time.Duration) int64 { return int64(float64(sent) / d.Seconds()) }
	if perSecond(took) > rate*11/10 || past > took/2 {
		return "", fmt.Errorf("link %s: %d bytes per second are carried, %d past it", c.Link, perSecond(took), perSecond(past))
	}
	return fmt.Sprintf("%s: %d bytes per second are carried", c.Link, perSecond(took)), nil
}
