package cmd

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"gwdr/gateway/proxy"
	"gwdr/gateway/proxy/redis"
)

// limitOptions bound what clients may take of a data plane.
type limitOptions struct {
	redis, redisPasswordFile string
	redisTimeout             time.Duration
	connections, perAddress  int
}

func (l *limitOptions) addFlags(f *pflag.FlagSet) {
	f.StringVar(&l.redis, "limits-redis", "", "`URL` of the Redis that counts for shared limits, such as redis://HOST:PORT/0 (rediss: with TLS)")
	f.StringVar(&l.redisPasswordFile, "limits-redis-password-file", "", "`file` with the password for --limits-redis")
	f.DurationVar(&l.redisTimeout, "limits-redis-timeout", 50*time.Millisecond, "how long a request waits for Redis before its limit's on_loss counts")
	f.IntVar(&l.connections, "max-connections", 0, "so many `connections` of clients at once; those beyond are closed (default any number)")
	f.IntVar(&l.perAddress, "max-connections-per-address", 0, "so many `connections` of each address, but of trusted proxies (default any number)")
}

// checkLimits refuses what would bound nothing.
func (o *serveOptions) checkLimits() error {
	switch l := &o.limits; {
	case l.redis != "" && !o.proxies():
		return errors.New("--limits-redis is for data planes")
	case l.redis != "" && !isRedisURL(l.redis): // which may hold a password
		return errors.New("--limits-redis is not of the form redis://HOST:PORT/DATABASE, rediss:// with TLS, or unix:///SOCKET?db=0")
	case l.redisTimeout < time.Millisecond || l.redisTimeout > 10*time.Second:
		return fmt.Errorf("--limits-redis-timeout %s is not between 1ms and 10s", l.redisTimeout)
	case l.connections < 0 || l.perAddress < 0:
		return errors.New("--max-connections and --max-connections-per-address are numbers of connections")
	case (l.connections > 0 || l.perAddress > 0) && !o.proxies():
		return errors.New("--max-connections and --max-connections-per-address are for data planes")
	case l.redisPasswordFile != "" && l.redis == "":
		return errors.New("--limits-redis-password-file needs --limits-redis")
	}
	return nil
}

func isRedisURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && slices.Contains([]string{"redis", "rediss", "unix"}, u.Scheme)
}

// openCounter has the data plane count shared limits in Redis, if there is one.
func (in *instance) openCounter(options *proxy.Options) error {
	l := &in.options.limits
	if l.redis == "" {
		return nil
	}
	password, err := l.redisPassword()
	if err != nil {
		return err
	}
	if in.counter, err = redis.Open(l.redis, password); err != nil {
		return usageError(fmt.Errorf("--limits-redis %w", err))
	}
	options.Counter, options.Patience = in.counter, l.redisTimeout
	return nil
}

func (l *limitOptions) redisPassword() (string, error) {
	if l.redisPasswordFile == "" {
		return "", nil
	}
	text, err := os.ReadFile(l.redisPasswordFile)
	if err != nil {
		return "", fmt.Errorf("read password of Redis: %w", err)
	}
	return strings.TrimRight(string(text), "\r\n"), nil
}
