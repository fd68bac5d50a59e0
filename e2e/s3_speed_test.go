package e2e

import (
	"bytes"
	"fmt"
	"testing"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"gwdr/backup/s3"
)

// BenchmarkPut compares a location's put with the SDK's plain PutObject, in the same run: the question, the condition, the
// checksums and the parts are what it costs more. The server is in this process and takes its share of the machine.
func BenchmarkPut(b *testing.B) {
	for _, size := range []int{64 << 10, 4 << 20, 64 << 20} {
		body := content(1, size)
		b.Run(fmt.Sprintf("sdk/%dKiB", size>>10), func(b *testing.B) {
			bucket := shared.bucket(b, false)
			putEach(b, size, func(name string) error {
				_, err := shared.client.PutObject(b.Context(), &awss3.PutObjectInput{Bucket: &bucket, Key: &name, Body: bytes.NewReader(body)})
				return err
			})
		})
		for _, way := range []string{"unknown store", "create-only store", "one request"} {
			b.Run(fmt.Sprintf("location/%dKiB/%s", size>>10, way), func(b *testing.B) {
				options := shared.options(b, shared.bucket(b, false), "")
				if way == "one request" {
					options.PartSize = 1 << 30
				}
				l := openOptions(b, options)
				if way != "unknown store" {
					probe(b, l)
				}
				putEach(b, size, func(name string) error {
					return l.Put(b.Context(), name, bytes.NewReader(body), int64(size))
				})
			})
		}
	}
}

func probe(b *testing.B, l *s3.Location) {
	if _, err := l.Probe(b.Context()); err != nil {
		b.Fatal(err)
	}
}

func putEach(b *testing.B, size int, put func(name string) error) {
	b.SetBytes(int64(size))
	n := 0
	for b.Loop() {
		n++
		if err := put(fmt.Sprintf("gwdr1/%d", n)); err != nil {
			b.Fatal(err)
		}
	}
}
