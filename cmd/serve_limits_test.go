package cmd

import (
	"strings"
	"testing"
)

func TestServeRefusesLimits(t *testing.T) {
	for _, c := range []struct {
		code int
		says string
		args []string
	}{
		{exitUsage, "--limits-redis is for data planes", []string{"--role", "control", "--limits-redis", "redis://localhost"}},
		{exitUsage, "--limits-redis redis: invalid URL scheme: http", []string{"--limits-redis", "http://localhost"}},
		{exitUsage, "--limits-redis holds a password", []string{"--limits-redis", "redis://:hunter2@localhost"}},
		{exitUsage, "needs --limits-redis", []string{"--limits-redis-password-file", "password"}},
		{exitUsage, "is not between 1ms and 10s", []string{"--limits-redis-timeout", "0s"}},
		{exitError, "read password of Redis", []string{"--limits-redis", "redis://localhost", "--limits-redis-password-file", "nowhere"}},
	} {
		args := append([]string{"serve", "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"}, c.args...)
		if says := serveFails(t, c.code, args...); !strings.Contains(says, c.says) || strings.Contains(says, "hunter2") {
			t.Errorf("%v: %s", c.args, says)
		}
	}
}
