package s3

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/logging"
)

// Options say where a location is and how to reach it.
type Options struct {
	Bucket    string
	Prefix    string // of all keys; empty or ending in a slash
	Endpoint  string // URL of the server; empty means AWS
	Region    string // empty: from the environment, or us-east-1 with an Endpoint
	PathStyle bool   // the bucket's name is in the path, not in the host's name
	Profile   string // of the shared AWS configuration; empty: what the environment says
	Lock      Lock
	// BypassGovernance lets Remove delete what a governance lock protects. The store asks for a right that only whoever
	// prunes should have.
	BypassGovernance bool

	PartSize int64         // bytes; a larger object goes up in parts of this size. 0 means 16 MiB; stores want at least 5
	Parallel int           // parts on their way at once, each in memory; 0 means 3
	Attempts int           // tries of a request that fails for no lasting reason; 0 means 4
	Backoff  time.Duration // about the pause before the second try; it doubles, up to 16 times this. 0 means 100ms
	Idle     time.Duration // a connection on which nothing moves for so long is dead; 0 means 7s

	Credentials aws.CredentialsProvider // nil: the SDK's default chain (environment, files, roles)
	// DialContext replaces the dialer, such as for a proxy in between.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)
}

// Lock is the Object Lock that every object gets. The zero value is none.
type Lock struct {
	Mode string // COMPLIANCE or GOVERNANCE
	For  time.Duration
}

// maxLockDays is what S3 takes: 100 years.
const maxLockDays = 36500

// ParseLock reads a lock as gwdr.yaml has it: compliance/30d, governance/36h. Empty is none.
func ParseLock(text string) (Lock, error) {
	if text == "" {
		return Lock{}, nil
	}
	mode, length, _ := strings.Cut(text, "/")
	lock := Lock{Mode: strings.ToUpper(mode)}
	if lock.Mode != "COMPLIANCE" && lock.Mode != "GOVERNANCE" {
		return Lock{}, fmt.Errorf("lock %q is neither compliance/DURATION nor governance/DURATION", text)
	}
	var err error
	if days, ok := strings.CutSuffix(length, "d"); ok {
		var n int
		n, err = strconv.Atoi(days)
		lock.For = time.Duration(min(n, maxLockDays+1)) * 24 * time.Hour
	} else {
		lock.For, err = time.ParseDuration(length)
	}
	if err != nil || lock.For <= 0 || lock.For > maxLockDays*24*time.Hour {
		return Lock{}, fmt.Errorf("lock %q has no duration such as 30d or 36h", text)
	}
	return lock, nil
}

// urlOptions are what may follow the ? of a location's URL.
var urlOptions = []string{"endpoint", "region", "path_style", "profile", "bypass_governance"}

// ParseURL reads a location as gwdr.yaml has it:
// s3://BUCKET/PREFIX?endpoint=http://HOST:PORT&region=REGION&path_style=true&profile=NAME&bypass_governance=true.
// With an endpoint, path_style defaults to true. profile names the credentials in the shared AWS configuration, so that a
// second URL of the same bucket can be the pruner's; bypass_governance is for that URL alone.
// No error shows the URL: who does not know where credentials belong puts them there.
func ParseURL(text string) (Options, error) {
	u, err := url.Parse(text)
	if err != nil {
		return Options{}, errors.New("S3 location is not a URL")
	}
	if u.Scheme != "s3" || u.Host == "" || u.User != nil || u.Fragment != "" {
		return Options{}, errors.New("S3 location is not of the form s3://BUCKET/PREFIX")
	}
	query := u.Query()
	o := Options{
		Bucket: u.Host, Prefix: strings.Trim(u.Path, "/"),
		Endpoint: query.Get("endpoint"), Region: query.Get("region"), Profile: query.Get("profile"),
	}
	if o.Prefix != "" {
		o.Prefix += "/"
	}
	if e, err := url.Parse(o.Endpoint); o.Endpoint != "" && (err != nil || e.Host == "" || e.User != nil || e.Scheme != "http" && e.Scheme != "https") {
		return Options{}, fmt.Errorf("S3 location %s: endpoint is not of the form https://HOST:PORT", o.Bucket)
	}
	o.PathStyle = o.Endpoint != ""
	for name, value := range map[string]*bool{"path_style": &o.PathStyle, "bypass_governance": &o.BypassGovernance} {
		if !query.Has(name) {
			continue
		}
		if *value, err = strconv.ParseBool(query.Get(name)); err != nil {
			return Options{}, fmt.Errorf("S3 location %s: %s is neither true nor false", o.Bucket, name)
		}
	}
	for name := range query {
		if !slices.Contains(urlOptions, name) {
			return Options{}, fmt.Errorf("S3 location %s: unknown option %q", o.Bucket, name)
		}
	}
	return o, nil
}

func (o Options) withDefaults() Options {
	o.PartSize = cmp.Or(o.PartSize, 16<<20)
	o.Parallel = cmp.Or(o.Parallel, 3)
	o.Attempts = cmp.Or(o.Attempts, 4)
	o.Backoff = cmp.Or(o.Backoff, 100*time.Millisecond)
	o.Idle = cmp.Or(o.Idle, 7*time.Second) // so that all attempts fit into the half minute that a backup waits
	return o
}

// Open returns the location. It reads the SDK's configuration and sends nothing yet.
func Open(ctx context.Context, o Options) (*Location, error) {
	o = o.withDefaults()
	load := []func(*config.LoadOptions) error{
		config.WithHTTPClient(o.httpClient()),
		config.WithRetryer(o.retryer),
		config.WithLogger(logging.Nop{}), // what matters is in the errors
		config.WithRequestChecksumCalculation(aws.RequestChecksumCalculationWhenRequired),
		// What comes back is checked against the signed point, which tells where the damage is.
		config.WithResponseChecksumValidation(aws.ResponseChecksumValidationWhenRequired),
	}
	if o.Region != "" {
		load = append(load, config.WithRegion(o.Region))
	}
	if o.Profile != "" {
		load = append(load, config.WithSharedConfigProfile(o.Profile))
	}
	if o.Credentials != nil {
		load = append(load, config.WithCredentialsProvider(o.Credentials))
	}
	c, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", o.Bucket, err)
	}
	o.Region = cmp.Or(c.Region, "us-east-1")
	c.Region = o.Region
	c.Credentials = provider{c.Credentials}
	client := s3.NewFromConfig(c, func(s *s3.Options) {
		s.UsePathStyle = o.PathStyle
		if o.Endpoint != "" {
			s.BaseEndpoint = &o.Endpoint
		}
	})
	return &Location{options: o, client: client}, nil
}

// provider names the error of a machine that has no credentials.
type provider struct{ aws.CredentialsProvider }

func (p provider) Retrieve(ctx context.Context) (aws.Credentials, error) {
	c, err := p.CredentialsProvider.Retrieve(ctx)
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("%w: none were found: %w", ErrCredentials, err)
	}
	return c, err
}

// retryer tries again what may be better the next time: no connection, a cut one, a server that is busy or broken.
func (o Options) retryer() aws.Retryer {
	return retry.NewStandard(func(r *retry.StandardOptions) {
		r.MaxAttempts, r.RateLimiter = o.Attempts, ratelimit.None
		r.Backoff = retry.BackoffDelayerFunc(func(attempt int, _ error) (time.Duration, error) { return o.pause(attempt), nil })
		r.Retryables = append(r.Retryables, retry.IsErrorRetryableFunc(isCutOff))
	})
}

// pause returns how long to wait after an attempt, the first of which is 1.
func (o Options) pause(attempt int) time.Duration {
	longest := o.Backoff << min(attempt-1, 4)
	return longest/2 + rand.N(longest/2+1)
}

// httpClient notices a dead server soon: nothing that it waits for takes longer than Idle without a byte that moves.
func (o Options) httpClient() *awshttp.BuildableClient {
	dial := o.DialContext
	if dial == nil {
		dial = (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 10 * time.Second}).DialContext
	}
	return awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.DialContext = watched(dial, o.Idle)
		t.TLSHandshakeTimeout = 5 * time.Second
		t.IdleConnTimeout = o.Idle / 2 // before the watch thinks that it is dead
		t.MaxIdleConnsPerHost = o.Parallel + 1
	})
}
