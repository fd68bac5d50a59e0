package e2e

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"gwdr/backup"
	"gwdr/backup/backuptest"
	"gwdr/gateway/gatewaytest"
	"gwdr/restore"
)

// TestRestoreBehindMarkers: in a bucket that keeps versions, what somebody deleted and overwrote is restored all the same,
// without any lock.
func TestRestoreBehindMarkers(t *testing.T) {
	bucket := shared.versioned(t, types.BucketVersioningStatusEnabled, shared.bucket(t, false))
	copies := []backup.Copy{{Name: "offsite", Media: "object", Site: "there", Location: openOptions(t, shared.options(t, bucket, ""))}}
	source, keys := gatewaytest.New(gatewaytest.Sample()...), backuptest.NewKeys(t)
	if _, err := backup.Take(t.Context(), backup.Job{Source: source, Gateway: "test", Copies: copies, Keys: keys, Spool: t.TempDir(), Tool: "test"}); err != nil {
		t.Fatal(err)
	}
	want, err := source.Export(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	objects, err := copies[0].Location.List(t.Context(), "gwdr1/")
	if err != nil {
		t.Fatal(err)
	}
	for i, o := range objects {
		key := aws.String("some/prefix/" + o.Name)
		if i%2 == 0 {
			_, err = shared.client.DeleteObject(t.Context(), &awss3.DeleteObjectInput{Bucket: &bucket, Key: key})
		} else {
			_, err = shared.client.PutObject(t.Context(), &awss3.PutObjectInput{Bucket: &bucket, Key: key})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	target := gatewaytest.New()
	r := &restore.Restore{Source: restore.Source{Copies: copies, Keys: keys}, Target: target}
	plan, err := r.Plan(t.Context())
	if err != nil {
		t.Fatalf("%v, %v", err, plan.Findings)
	}
	result, err := r.Apply(t.Context(), plan)
	if err != nil || result.Actual != want.State.Digest() {
		t.Errorf("Apply = %+v, %v", result, err)
	}
	for _, o := range result.Objects {
		if o.Copy != "offsite (first versions)" {
			t.Errorf("%s came from %s", o.Object, o.Copy)
		}
	}
}
