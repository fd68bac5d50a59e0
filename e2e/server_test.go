// Package e2e tests gwdr against real servers and real tools, in a module of its own so that gwdr's stays lean.
package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/embedgw"

	"gwdr/backup/s3"
)

// server is versitygw, an S3 server with versions and Object Lock, on a unix socket. One process can run only one.
type server struct {
	socket string
	data   string // objects are plain files below: data/BUCKET/KEY
	client *awss3.Client
}

var shared *server

const (
	accessKey = "test-access"
	secretKey = "test-secret"
	// The writer is an account that may do only what a bucket's policy says.
	writerKey    = "test-writer"
	writerSecret = "writer-secret"
	region       = "us-east-1"
)

func TestMain(m *testing.M) {
	root, err := os.MkdirTemp("", "gwdr-e2e-")
	if err != nil {
		panic(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var ended <-chan error
	shared, ended = startServer(ctx, root)
	code := m.Run()
	stop()
	<-ended
	os.RemoveAll(root)
	os.Exit(code)
}

// startServer starts the server and waits until it answers.
func startServer(ctx context.Context, root string) (*server, <-chan error) {
	s := &server{socket: filepath.Join(root, "sock"), data: filepath.Join(root, "data")}
	for _, dir := range []string{"data", "versions"} {
		if err := os.Mkdir(filepath.Join(root, dir), 0o700); err != nil {
			panic(err)
		}
	}
	backend, err := posix.New(s.data, meta.XattrMeta{}, posix.PosixOpts{
		VersioningDir: filepath.Join(root, "versions"), CopyObjectThreshold: 5 << 30,
	})
	if err != nil {
		panic(err)
	}
	accounts, err := newAccounts(root)
	if err != nil {
		panic(err)
	}
	ended := make(chan error, 1)
	go func() {
		ended <- embedgw.RunVersityGW(ctx, backend, &embedgw.Config{
			RootUserAccess: accessKey, RootUserSecret: secretKey, Region: region, Ports: []string{s.socket},
			MaxConnections: 1000, MaxRequests: 1000, MultipartMaxParts: 10000, Quiet: true, KeepAlive: true, IAMService: accounts,
		})
	}()
	s.client = s.newClient(s.credentials())
	deadline := time.Now().Add(30 * time.Second)
	for {
		_, err := s.client.ListBuckets(ctx, &awss3.ListBucketsInput{})
		if err == nil {
			return s, ended
		}
		select {
		case err := <-ended:
			panic(fmt.Sprintf("versitygw ended: %v", err))
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			panic(fmt.Sprintf("versitygw does not answer: %v", err))
		}
	}
}

func (s *server) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, "unix", s.socket)
}

func (s *server) credentials() aws.CredentialsProvider {
	return credentials.NewStaticCredentialsProvider(accessKey, secretKey, "")
}

// newAccounts returns the accounts of the server: that of the administrator, who may do all, and that of the writer, who may
// do what the policy of a bucket allows.
func newAccounts(root string) (auth.IAMService, error) {
	dir := filepath.Join(root, "accounts")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	accounts, err := auth.NewInternal(auth.Account{Access: accessKey, Secret: secretKey, Role: auth.RoleAdmin}, dir)
	if err != nil {
		return nil, err
	}
	return accounts, accounts.CreateAccount(auth.Account{Access: writerKey, Secret: writerSecret, Role: auth.RoleUser})
}

// newClient returns a client, for what gwdr itself never does.
func (s *server) newClient(as aws.CredentialsProvider) *awss3.Client {
	return awss3.New(awss3.Options{
		Region: region, Credentials: as, UsePathStyle: true, BaseEndpoint: aws.String("http://s3.test"),
		HTTPClient: httpClient(s.dial), RetryMaxAttempts: 1,
	})
}

var bucketNumber struct {
	sync.Mutex
	n int
}

// bucket makes a bucket, with versions and Object Lock if asked for.
func (s *server) bucket(t testing.TB, lock bool) string {
	t.Helper()
	bucketNumber.Lock()
	bucketNumber.n++
	name := fmt.Sprintf("bucket-%d", bucketNumber.n)
	bucketNumber.Unlock()
	_, err := s.client.CreateBucket(t.Context(), &awss3.CreateBucketInput{Bucket: &name, ObjectLockEnabledForBucket: &lock})
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// open returns a location in a new bucket.
func (s *server) open(t *testing.T, lock string) *s3.Location {
	t.Helper()
	l, _ := s.openBucket(t, lock)
	return l
}

func (s *server) openBucket(t *testing.T, lock string) (location *s3.Location, bucket string) {
	t.Helper()
	bucket = s.bucket(t, lock != "")
	return s.openWith(t, bucket, lock, s.dial), bucket
}

func (s *server) openWith(t testing.TB, bucket, lock string, dial func(context.Context, string, string) (net.Conn, error)) *s3.Location {
	t.Helper()
	options := s.options(t, bucket, lock)
	options.DialContext = dial
	return openOptions(t, options)
}

// options are those of a location in the bucket, for the administrator.
func (s *server) options(t testing.TB, bucket, lock string) s3.Options {
	t.Helper()
	options, err := s3.ParseURL("s3://" + bucket + "/some/prefix?endpoint=http://s3.test&region=" + region)
	if err != nil {
		t.Fatal(err)
	}
	if options.Lock, err = s3.ParseLock(lock); err != nil {
		t.Fatal(err)
	}
	options.Credentials, options.DialContext = s.credentials(), s.dial
	return options
}

func openOptions(t testing.TB, options s3.Options) *s3.Location {
	t.Helper()
	l, err := s3.Open(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// link is a TCP address of the server that can be cut.
type link struct {
	listener net.Listener
	address  string
}

func (s *server) link(t testing.TB) *link {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go s.forward(conn)
		}
	}()
	return &link{listener: listener, address: listener.Addr().String()}
}

func (s *server) forward(client net.Conn) {
	defer client.Close()
	upstream, err := net.Dial("unix", s.socket)
	if err != nil {
		return
	}
	defer upstream.Close()
	go func() {
		io.Copy(upstream, client)
		upstream.Close()
	}()
	io.Copy(client, upstream)
}

func (l *link) cut() { l.listener.Close() }
