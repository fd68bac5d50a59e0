package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// patience bounds how long a location may take to answer, on top of the time for its bytes.
const patience = 30 * time.Second

// slowest is the transfer rate, in bytes per second, below which a location counts as dead.
const slowest = 1 << 20

// ErrSilent is wrapped when a location did not answer in time.
var ErrSilent = errors.New("location did not answer")

// allowance is the time for a transfer of n bytes.
func allowance(patience time.Duration, n int64) time.Duration {
	return patience + time.Duration(n/slowest)*time.Second
}

// answer is what one copy came to.
type answer[T any] struct {
	copy  Copy
	value T
	err   error
	took  time.Duration
}

// onEach runs do for every copy at once and returns the answers in the order of the copies. Each copy has until the
// limit: a driver that does not come back by then (a dead NFS mount does not) is left behind. after is told when a copy is
// done with, either way.
func onEach[T any](ctx context.Context, copies []Copy, limit time.Duration, do func(context.Context, Copy) (T, error), after ...func(Copy)) []answer[T] {
	answers := make([]answer[T], len(copies))
	var wg sync.WaitGroup
	for i, c := range copies {
		wg.Go(func() {
			answers[i] = onOne(ctx, c, limit, do)
			for _, tell := range after {
				tell(c)
			}
		})
	}
	wg.Wait()
	return answers
}

func onOne[T any](ctx context.Context, c Copy, limit time.Duration, do func(context.Context, Copy) (T, error)) answer[T] {
	if err := c.hearing.of(c); err != nil {
		return answer[T]{copy: c, err: err}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("%w within %s", ErrSilent, limit))
	defer cancel()
	started := time.Now()
	done := make(chan answer[T], 1)
	go func() {
		value, err := do(ctx, c)
		done <- answer[T]{copy: c, value: value, err: err}
	}()
	var a answer[T]
	select {
	case a = <-done:
	case <-ctx.Done():
		select {
		case a = <-done: // the driver noticed as well
			if cause := context.Cause(ctx); a.err != nil && errors.Is(cause, ErrSilent) {
				a.err = fmt.Errorf("%w: %w", cause, a.err)
			}
		case <-time.After(grace):
			a = answer[T]{copy: c, err: context.Cause(ctx)}
		}
	}
	a.took = time.Since(started)
	c.hearing.note(c, a.err)
	return a
}

// grace is what a driver has to come back once its context is done.
const grace = 200 * time.Millisecond

// readObject reads a small object whole. The error wraps ErrIntegrity if it is not small.
func readObject(ctx context.Context, l Location, name string, limit int64) ([]byte, error) {
	return readGated(ctx, l, name, limit, limit, nil)
}

// readGated is readObject, but only as many as the gate has room for go on to read beyond small bytes: nobody has vouched yet
// for what is read.
func readGated(ctx context.Context, l Location, name string, small, limit int64, gate chan struct{}) ([]byte, error) {
	r, err := l.Get(ctx, name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	content, err := io.ReadAll(io.LimitReader(r, small+1))
	if err == nil && int64(len(content)) > small && small < limit {
		select {
		case gate <- struct{}{}:
			defer func() { <-gate }()
		case <-ctx.Done():
			return nil, fmt.Errorf("read %s: %w", name, context.Cause(ctx))
		}
		var rest []byte
		rest, err = io.ReadAll(io.LimitReader(r, limit-small))
		content = append(content, rest...)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if int64(len(content)) > limit {
		return nil, fmt.Errorf("read %s: %w: it has more than %d bytes", name, ErrIntegrity, limit)
	}
	return content, nil
}
