package cmd

import "testing"

// TestWithoutPath has errors as the exporter words them.
func TestWithoutPath(t *testing.T) {
	for text, want := range map[string]string{
		`traces export: Post "http://h:1/a/s3cr3t/v1/traces": dial tcp: refused`:                `traces export: Post "http://h:1/***": dial tcp: refused`,
		`failed to send to https://h/s3cr3t: 404 Not Found (body: no /s3cr3t here)`:             `failed to send to https://h/***: 404 Not Found`,
		`failed to send to https://h/a:b/s3cr3t: 404 Not Found (body: https://h/s3cr3t "here")`: `failed to send to https://h/***: 404 Not Found`,
		`retry-able request failure: body: <html>s3cr3t`:                                        `retry-able request failure`,
		`context deadline exceeded`: `context deadline exceeded`,
	} {
		if got := withoutPath(text, true); got != want {
			t.Errorf("%s\nis %s\nwant %s", text, got, want)
		}
	}
	if got := withoutPath(`Post "http://h:1/v1/traces": refused`, false); got != `Post "http://h:1/v1/traces": refused` {
		t.Error(got)
	}
}
