// Package redis counts the requests of limits that data planes share, in Redis.
package redis

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"

	"gwdr/gateway/proxy"
)

// Counter counts in one Redis, by its clock. Close it.
type Counter struct {
	client  *redis.Client
	limiter *redis_rate.Limiter
}

var _ proxy.Counter = (*Counter)(nil)

// Open returns a Counter of the Redis at the URL, of the form redis://USER@HOST:PORT/DATABASE, rediss:// with TLS, or unix:///SOCKET?db=0.
// It connects when it is asked. No error repeats a password.
func Open(address, password string) (*Counter, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, errors.New("is not of the form redis://HOST:PORT/DATABASE")
	}
	if _, there := u.User.Password(); there {
		return nil, errors.New("holds a password, which others can see: it belongs into a file")
	}
	o, err := redis.ParseURL(address)
	if err != nil {
		return nil, err
	}
	o.Password = password
	o.ContextTimeoutEnabled = true
	o.MaxRetries, o.DialerRetries = -1, 1 // a request that was counted already must not be counted again
	o.PipelinePoolSize = -1
	o.DisableIdentity, o.Protocol = true, 2 // connections begin with no more than they need
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	logging.Disable() // errors are told to whoever counts
	client := redis.NewClient(o)
	return &Counter{client: client, limiter: redis_rate.NewLimiter(client)}, nil
}

// Close ends its connections.
func (c *Counter) Close() error { return c.client.Close() }

// Take implements proxy.Counter, by the same algorithm as the proxy's own.
func (c *Counter) Take(ctx context.Context, bucket string, interval time.Duration, room int) (proxy.Standing, error) {
	r, err := c.limiter.Allow(ctx, bucket, redis_rate.Limit{Rate: 1, Period: interval, Burst: room})
	switch {
	case err != nil:
		return proxy.Standing{}, fmt.Errorf("count in Redis: %w", err)
	case r.Allowed == 0:
		wait := max(r.RetryAfter, 1)
		return proxy.Standing{Reset: wait, Wait: wait}, nil
	}
	return proxy.Standing{Left: r.Remaining, Reset: r.ResetAfter}, nil
}
