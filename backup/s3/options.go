package s3

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// Options say where a location is and how to reach it.
type Options struct {
	Bucket    string
	Prefix    string // of all keys; empty or ending in a slash
	Endpoint  string // URL of the server; empty means AWS
	Region    string // empty: from the environment, or us-east-1 with an Endpoint
	PathStyle bool   // the bucket's name is in the path, not in the host's name
	Lock      Lock

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

// ParseURL reads a location as gwdr.yaml has it:
// s3://BUCKET/PREFIX?endpoint=http://HOST:PORT&region=REGION&path_style=true. With an endpoint, path_style defaults to true.
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
	o := Options{Bucket: u.Host, Prefix: strings.Trim(u.Path, "/"), Endpoint: query.Get("endpoint"), Region: query.Get("region")}
	if o.Prefix != "" {
		o.Prefix += "/"
	}
	if e, err := url.Parse(o.Endpoint); o.Endpoint != "" && (err != nil || e.Host == "" || e.User != nil || e.Scheme != "http" && e.Scheme != "https") {
		return Options{}, fmt.Errorf("S3 location %s: endpoint is not of the form https://HOST:PORT", o.Bucket)
	}
	if o.PathStyle = o.Endpoint != ""; query.Has("path_style") {
		if o.PathStyle, err = strconv.ParseBool(query.Get("path_style")); err != nil {
			return Options{}, fmt.Errorf("S3 location %s: path_style is neither true nor false", o.Bucket)
		}
	}
	for name := range query {
		if name != "endpoint" && name != "region" && name != "path_style" {
			return Options{}, fmt.Errorf("S3 location %s: unknown option %q", o.Bucket, name)
		}
	}
	return o, nil
}

// Open returns the location. It reads the SDK's configuration and sends nothing yet.
func Open(ctx context.Context, o Options) (*Location, error) {
	load := []func(*config.LoadOptions) error{
		config.WithHTTPClient(o.httpClient()),
		config.WithRetryer(func() aws.Retryer {
			return retry.NewStandard(func(r *retry.StandardOptions) { r.MaxAttempts, r.MaxBackoff = 3, time.Second })
		}),
		config.WithRequestChecksumCalculation(aws.RequestChecksumCalculationWhenRequired),
		// What comes back is checked against the signed point, which tells where the damage is.
		config.WithResponseChecksumValidation(aws.ResponseChecksumValidationWhenRequired),
	}
	if o.Region != "" {
		load = append(load, config.WithRegion(o.Region))
	}
	if o.Credentials != nil {
		load = append(load, config.WithCredentialsProvider(o.Credentials))
	}
	c, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", o.Bucket, err)
	}
	if c.Region == "" {
		c.Region = "us-east-1"
	}
	o.Region = c.Region
	client := s3.NewFromConfig(c, func(s *s3.Options) {
		s.UsePathStyle = o.PathStyle
		if o.Endpoint != "" {
			s.BaseEndpoint = &o.Endpoint
		}
	})
	return &Location{options: o, client: client}, nil
}

// httpClient notices a dead server soon: its times bound each step but the transfer, which the caller's context bounds.
func (o Options) httpClient() *awshttp.BuildableClient {
	dial := o.DialContext
	if dial == nil {
		dial = (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 10 * time.Second}).DialContext
	}
	return awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.DialContext = dial
		t.TLSHandshakeTimeout = 5 * time.Second
		t.ResponseHeaderTimeout = 20 * time.Second
	})
}

// statusOf returns the HTTP status of the server's answer, or 0 if there was none.
func statusOf(err error) int {
	var answer *awshttp.ResponseError
	if errors.As(err, &answer) {
		return answer.HTTPStatusCode()
	}
	return 0
}
