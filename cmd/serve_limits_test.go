package cmd

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// TestServeBoundsConnections: one too many is closed before it says a word.
func TestServeBoundsConnections(t *testing.T) {
	s := serveUntilEnd(t, t.TempDir(), "--max-connections-per-address", "2")
	for range 2 {
		conn, err := net.Dial("tcp", s.Listen)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	third, err := net.Dial("tcp", s.Listen)
	if err != nil {
		t.Fatal(err)
	}
	defer third.Close()
	third.SetReadDeadline(time.Now().Add(3 * time.Second)) // less than a header may take
	if n, err := third.Read(make([]byte, 1)); n > 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a third connection: %d bytes, %v", n, err)
	}
	resp, err := http.Get("http://" + s.Admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(text), `gwdr_connections_refused_total{bound="address"} 1`) {
		t.Errorf("metrics: %s, %v", text, err)
	}
}

func TestServeRefusesLimits(t *testing.T) {
	for _, c := range []struct {
		code int
		says string
		args []string
	}{
		{exitUsage, "--limits-redis is for data planes", []string{"--role", "control", "--limits-redis", "redis://localhost"}},
		{exitUsage, "not of the form redis://HOST:PORT/DATABASE", []string{"--limits-redis", "http://:hunter2@localhost"}},
		{exitUsage, "not of the form redis://HOST:PORT/DATABASE", []string{"--limits-redis", "foo"}},
		{exitUsage, "not of the form redis://HOST:PORT/DATABASE", []string{"--limits-redis", "gwdr:hunter2@localhost:6379"}},
		{exitUsage, "--limits-redis holds a password", []string{"--limits-redis", "redis://:hunter2@localhost"}},
		{exitUsage, "needs --limits-redis", []string{"--limits-redis-password-file", "password"}},
		{exitUsage, "are for data planes", []string{"--role", "control", "--max-connections", "5"}},
		{exitUsage, "are numbers of connections", []string{"--max-connections-per-address", "-1"}},
		{exitUsage, "is not between 1ms and 10s", []string{"--limits-redis-timeout", "0s"}},
		{exitError, "read password of Redis", []string{"--limits-redis", "redis://localhost", "--limits-redis-password-file", "nowhere"}},
	} {
		args := append([]string{"serve", "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"}, c.args...)
		if says := serveFails(t, c.code, args...); !strings.Contains(says, c.says) || strings.Contains(says, "hunter2") {
			t.Errorf("%v: %s", c.args, says)
		}
	}
}
