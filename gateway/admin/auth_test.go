package admin_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"gwdr/gateway"
	"gwdr/gateway/admin"
)

func token(role admin.Role) string { return "token-of-" + string(role) + "-0123456789" }

func tokens(t *testing.T) admin.Tokens {
	t.Helper()
	var file strings.Builder
	for _, role := range []admin.Role{admin.Admin, admin.Operator, admin.Viewer, admin.Backup, admin.Replica} {
		file.WriteString(" " + string(role) + ": " + token(role) + "\n\n# comment\n")
	}
	read, err := admin.ReadTokens(strings.NewReader(file.String()))
	if err != nil {
		t.Fatal(err)
	}
	return read
}

func TestRoles(t *testing.T) {
	var log bytes.Buffer
	s := start(t, &admin.Server{Tokens: tokens(t), Log: slog.New(slog.NewTextHandler(&log, nil))})
	const apply = `{"op":"create","kind":"setting","id":"s","body":"e30="}`
	for _, c := range []struct {
		method, path, body, header string
		may                        string // roles, by first letter
	}{
		{"GET", "/v1", "", "", "aovbr"},
		{"GET", "/v1/status", "", "", "aovbr"},
		{"GET", "/v1/route", "", "", "aovbr"},
		{"GET", "/v1/key", "", "", "aovbr"},
		{"GET", "/v1/cert", "", "", "abr"},
		{"GET", "/v1/cert/c", "", "", "abr"},
		{"GET", "/v1/state", "", "", "abr"},
		{"GET", "/v1/watch?from=999999", "", "", "abr"},
		{"PUT", "/v1/upstream/u", echo, "", "ao"},
		{"PUT", "/v1/revocation/r", `{"at":"2026-01-01T00:00:00Z"}`, "", "aor"},
		{"DELETE", "/v1/revocation/r", "", "", "ao"},
		{"DELETE", "/v1/upstream/u", "", "", "ao"},
		{"POST", "/v1/keys", `{}`, "", "ao"},
		{"POST", "/v1/keys/k/revoke", `{}`, "", "ao"},
		{"POST", "/v1/apply", apply, "", "ao"},
		{"POST", "/v1/apply", apply, "X-Gwdr-Restore", "a"},
		{"POST", "/v1/import/openapi?id=s&upstream=u", `{"openapi":"3.0.0"}`, "", "ao"},
		{"POST", "/v1/demote", "", "", "a"},
		{"POST", "/v1/members/a/replace", "", "", "a"},
		{"POST", "/v1/promote", "", "", "a"},
	} {
		for _, role := range []admin.Role{admin.Admin, admin.Operator, admin.Viewer, admin.Backup, admin.Replica} {
			header := []string{"Authorization", "Bearer " + token(role)}
			if c.header != "" {
				header = append(header, c.header, "true")
			}
			status, answer := s.ask(t, c.method, c.path, c.body, header...)
			if may := strings.Contains(c.may, string(role[0])); may == (status == 403) {
				t.Errorf("%s: %s %s %s: %d %s", role, c.method, c.path, c.header, status, answer)
			}
		}
		for _, header := range []string{"", "Bearer", "Bearer wrong", "Basic " + token(admin.Admin), token(admin.Admin)} {
			s.expect(t, 401, "no valid token", c.method, c.path, c.body, "Authorization", header)
		}
	}
	for _, open := range []string{"/health", "/ready", "/leader"} {
		s.expect(t, 200, "", "GET", open, "")
	}
	if strings.Contains(log.String(), "token-of-") || !strings.Contains(log.String(), "admin change") {
		t.Errorf("log holds a token, or no change:\n%s", log.String())
	}
}

func TestReadTokensRefuses(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "admin", "admin:short", "root:0123456789abcdef", "admin:0123456789abcdef\nviewer:"} {
		tokens, err := admin.ReadTokens(strings.NewReader(text))
		if err == nil || strings.Contains(err.Error(), "0123456789") {
			t.Errorf("%q: %v, %v", text, tokens, err)
		}
	}
}

// Without tokens, a web page in a browser on this machine must not reach the API.
func TestWithoutTokensOnlyThisMachine(t *testing.T) {
	s := start(t, &admin.Server{})
	s.expect(t, 403, "this machine", "GET", "/v1/status", "", "Host", "evil.example.com")
	s.expect(t, 403, "", "PUT", "/v1/upstream/u", echo, "Sec-Fetch-Site", "cross-site")
	s.expect(t, 201, "", "PUT", "/v1/upstream/u", echo, "Host", "localhost:8081")
	if _, err := s.Get(t.Context(), gateway.Ref{Kind: gateway.Upstream, ID: "u"}); err != nil {
		t.Error(err)
	}
}
