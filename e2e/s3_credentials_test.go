package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"gwdr/backup"
	"gwdr/backup/s3"
)

func complianceByDefault() *types.ObjectLockConfiguration {
	return &types.ObjectLockConfiguration{
		ObjectLockEnabled: types.ObjectLockEnabledEnabled,
		Rule: &types.ObjectLockRule{DefaultRetention: &types.DefaultRetention{
			Mode: types.ObjectLockRetentionModeCompliance, Days: aws.Int32(1),
		}},
	}
}

// tryAll does all that a location can do, and returns the errors.
func tryAll(t *testing.T, l *s3.Location) map[string]error {
	t.Helper()
	_, getErr := l.Get(t.Context(), "gwdr1/a")
	_, listErr := l.List(t.Context(), "gwdr1/")
	_, probeErr := l.Probe(t.Context())
	return map[string]error{
		"put":    l.Put(t.Context(), "gwdr1/a", strings.NewReader("x"), 1),
		"parts":  putBytes(t, l, "gwdr1/large", content(1, partSize+1)),
		"remove": l.Remove(t.Context(), "gwdr1/a"),
		"get":    getErr, "list": listErr, "probe": probeErr,
	}
}

// TestWrongCredentials: the error says that it is them, where, and in the server's words why.
func TestWrongCredentials(t *testing.T) {
	for _, lock := range []string{"", "compliance/1h"} {
		bucket := shared.bucket(t, lock != "")
		for reason, pair := range map[string][2]string{
			"InvalidAccessKeyId": {"nobody", "secret-nobody"}, "SignatureDoesNotMatch": {accessKey, "secret-wrong"},
		} {
			options := shared.options(t, bucket, lock)
			options.PartSize = partSize
			options.Credentials = credentials.NewStaticCredentialsProvider(pair[0], pair[1], "")
			for what, err := range tryAll(t, openOptions(t, options)) {
				if !errors.Is(err, s3.ErrCredentials) || errors.Is(err, backup.ErrNotExist) ||
					!strings.Contains(err.Error(), reason) || !strings.Contains(err.Error(), bucket) || strings.Contains(err.Error(), pair[1]) {
					t.Errorf("%s with %v = %v", what, pair, err)
				}
			}
		}
	}
}

// TestDenied: known credentials that may do nothing here are another matter.
func TestDenied(t *testing.T) {
	options := shared.options(t, shared.bucket(t, false), "")
	options.Credentials = credentials.NewStaticCredentialsProvider(writerKey, writerSecret, "")
	for what, err := range tryAll(t, openOptions(t, options)) {
		if !errors.Is(err, s3.ErrDenied) || errors.Is(err, s3.ErrCredentials) || errors.Is(err, backup.ErrNotExist) {
			t.Errorf("%s = %v", what, err)
		}
	}
}

// TestNoBucket: that is not the same as no object.
func TestNoBucket(t *testing.T) {
	for what, err := range tryAll(t, openOptions(t, shared.options(t, "no-such-bucket", ""))) {
		if err == nil || errors.Is(err, backup.ErrNotExist) || !strings.Contains(err.Error(), "NoSuchBucket") {
			t.Errorf("%s = %v", what, err)
		}
	}
}

// TestProfile: a URL can name the pruner's credentials, whatever the environment of the writer says.
func TestProfile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "credentials")
	text := "[pruner]\naws_access_key_id = " + accessKey + "\naws_secret_access_key = " + secretKey + "\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", file)
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(dir, "config"))
	t.Setenv("AWS_ACCESS_KEY_ID", writerKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", writerSecret)
	bucket := shared.bucket(t, false)
	shared.writer(t, bucket, "")
	open := func(more string) (*s3.Location, error) {
		options, err := s3.ParseURL("s3://" + bucket + "/some/prefix?endpoint=http://s3.test&region=" + region + more)
		if err != nil {
			t.Fatal(err)
		}
		options.DialContext = shared.dial
		return s3.Open(t.Context(), options)
	}
	writer, err := open("")
	if err != nil {
		t.Fatal(err)
	}
	put(t, writer, "gwdr1/a", "content")
	if err := writer.Remove(t.Context(), "gwdr1/a"); !errors.Is(err, s3.ErrDenied) {
		t.Errorf("Remove as the writer = %v", err)
	}
	pruner, err := open("&profile=pruner")
	if err != nil {
		t.Fatal(err)
	}
	if err := pruner.Remove(t.Context(), "gwdr1/a"); err != nil {
		t.Errorf("Remove as the pruner = %v", err)
	}
	if _, err := open("&profile=nobody"); err == nil || !strings.Contains(err.Error(), "nobody") {
		t.Errorf("Open with an unknown profile = %v", err)
	}
}

// TestNoCredentials: a machine that has none says so, and soon.
func TestNoCredentials(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"} {
		t.Setenv(name, "")
	}
	options := shared.options(t, shared.bucket(t, false), "")
	options.Credentials = nil
	for what, err := range tryAll(t, openOptions(t, options)) {
		if !errors.Is(err, s3.ErrCredentials) || !strings.Contains(err.Error(), "none were found") {
			t.Errorf("%s = %v", what, err)
		}
	}
}
