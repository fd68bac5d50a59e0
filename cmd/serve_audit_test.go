package cmd

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gwdr/gateway"
	"gwdr/gateway/native"
)

// Each change is one line of JSON in the file, and the next start appends.
func TestServeWritesAnAuditLog(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "audit.jsonl")
	for range 2 {
		s := serveUntilEnd(t, filepath.Join(dir, "data"), "--role", "control", "--audit-log", file)
		c := native.Client{URL: "http://" + s.Admin}
		e := gateway.Entity{Ref: gateway.Ref{Kind: gateway.Setting, ID: "s"}, Body: []byte("{}")}
		if _, err := c.Put(t.Context(), e, gateway.Condition{}); err != nil {
			t.Fatal(err)
		}
		s.end()
		if strings.Contains(s.stderr.String(), "admin change") {
			t.Errorf("it is told twice: %s", s.stderr)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	for i, op := range []string{"create", "update"} {
		var line struct{ Time, Msg, Op, Path string }
		if err := json.Unmarshal([]byte(lines[i]), &line); err != nil || line.Op != op || line.Msg != "admin change" ||
			line.Path != "/v1/setting/s" || !strings.HasSuffix(line.Time, "Z") {
			t.Errorf("%s: %v", lines[i], err)
		}
	}
	if info, err := os.Stat(file); len(lines) != 2 || err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%d lines, %v, %v", len(lines), info, err)
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("disk is full") }

// What cannot be written to the audit log is in gwdr's own.
func TestAuditLogThatCannotBeWritten(t *testing.T) {
	var log bytes.Buffer
	newAudit(broken{}, slog.New(slog.NewTextHandler(&log, nil))).Info("admin change", "op", "create")
	if text := log.String(); !strings.Contains(text, "disk is full") || !strings.Contains(text, "create") {
		t.Error(text)
	}
}
