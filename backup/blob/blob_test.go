package blob_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"

	"gwdr/backup"
	"gwdr/backup/blob"
)

func TestParseURL(t *testing.T) {
	got, err := blob.ParseURL("gs://bucket/a/b/?endpoint=http://127.0.0.1:1/")
	if err != nil || got.Scheme != blob.Google || got.Bucket != "bucket" || got.Prefix != "a/b/" || got.Endpoint != "http://127.0.0.1:1" {
		t.Errorf("ParseURL = %+v, %v", got, err)
	}
	got, err = blob.ParseURL("azblob://container?account=name&endpoint=https://h/name")
	if err != nil || got.Scheme != blob.Azure || got.Bucket != "container" || got.Prefix != "" || got.Account != "name" || got.Endpoint != "https://h/name" {
		t.Errorf("ParseURL = %+v, %v", got, err)
	}
	for _, bad := range []string{
		"gs:", "gs:///secret", "http://b", "gs://b?nonsense=1", "gs://b?account=a", "azblob://b?key=secret", "azblob://b?region=eu",
		"gs://user:secret@b", "gs://b#x", "gs://%zz", "gs://b:80", "gs://b/a/../secret", "gs://b/a//b", "gs://b/%23secret",
		"gs://b?endpoint=http://user:secret@h", "gs://b?endpoint=h:9000", "gs://b?endpoint=http://h/secret", "azblob://b?endpoint=https://h?sig=secret",
		"azblob://b?account=secret.host/", "azblob://b?account=a%26b",
	} {
		if _, err := blob.ParseURL(bad); err == nil {
			t.Errorf("ParseURL(%s) succeeded", bad)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("ParseURL shows the secret: %v", err)
		}
	}
}

// TestSecretsStaySecret: neither what is printed nor an SDK's error shows the signature, which it has in its URLs.
func TestSecretsStaySecret(t *testing.T) {
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		if text := fmt.Sprintf(format, blob.Options{Key: "secret", SAS: "secret"}); strings.Contains(text, "secret") || strings.Contains(text, "736563726574") {
			t.Errorf("%s shows it: %s", format, text)
		}
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("open", "key", blob.Secret("secret"))
	if strings.Contains(log.String(), "secret") {
		t.Errorf("logged: %s", log.String())
	}
	refuse := func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("connection refused") }
	for _, endpoint := range []string{"https://127.0.0.1:1/a", "http://203.0.113.1/a"} {
		l := blob.Open(blob.Options{Scheme: blob.Azure, Bucket: "b", Endpoint: endpoint, SAS: "sv=1&sig=secret", DialContext: refuse})
		_, err := l.List(t.Context(), "")
		if err == nil || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", endpoint, err)
		}
		if strings.HasPrefix(endpoint, "http:") && strings.Contains(err.Error(), "refused") {
			t.Error("the signature would be sent in clear")
		}
	}
}

// TestNoAccount: a location that lacks something fails when it is used, and not the others with it.
func TestNoAccount(t *testing.T) {
	l := blob.Open(blob.Options{Scheme: blob.Azure, Bucket: "b", Key: "not base64"})
	if _, err := l.Get(t.Context(), "gwdr1/a"); err == nil || errors.Is(err, backup.ErrNotExist) {
		t.Errorf("Get = %v", err)
	}
}
