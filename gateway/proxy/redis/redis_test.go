package redis

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"
)

func TestOpenRefuses(t *testing.T) {
	for address, want := range map[string]string{
		"redis://localhost:6379/x":           "invalid database number",
		"http://localhost":                   "invalid URL scheme",
		"redis://:hunter2@localhost":         "holds a password",
		"redis://user:hunter2@localhost":     "holds a password",
		"redis://user:hunt#hunter2@host":     "is not of the form redis://",
		"redis://localhost:hunter2/0":        "is not of the form redis://",
		"redis://localhost/0?colour=hunter2": "unexpected option",
	} {
		_, err := Open(address, "")
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want %q", address, err, want)
		}
	}
}

// TestNobodyThere: an error comes in time, and does not name the password, whether the connection is refused or nobody says a word.
func TestNobodyThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	refuses, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refuses.Close()
	for _, at := range []net.Listener{l, refuses} {
		c, err := Open("redis://somebody@"+at.Addr().String(), "hunter2")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		start := time.Now()
		_, err = c.Take(ctx, "bucket", time.Second, 1)
		cancel()
		if err == nil || strings.Contains(err.Error(), "hunter2") || time.Since(start) > 5*time.Second {
			t.Errorf("after %s: %v", time.Since(start), err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}
