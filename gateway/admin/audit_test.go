package admin_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"gwdr/gateway/admin"
)

// line is one of the audit log.
type line struct {
	Msg, Op, By, Token, From, Method, Path, Kind, ID, SHA256 string
	Before, Revision                                         int64
	Changes, Of                                              int
}

func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// Each write leaves one line: who, from where, what, what it replaced, and the hash of what was written. Reads, refusals and dry runs
// leave none, and no secret is in any.
func TestAuditOfWrites(t *testing.T) {
	var log, other bytes.Buffer
	s := start(t, &admin.Server{Tokens: tokens(t), Audit: slog.New(slog.NewJSONHandler(&log, nil)), Log: slog.New(slog.NewTextHandler(&other, nil))})
	bearer := []string{"Authorization", "Bearer " + token(admin.Operator)}
	last := map[string]int64{}
	const document, setting = `{"openapi":"3.1.0","paths":{"/a":{"get":{}}}}`, `{"op":"create","kind":"setting","id":"s","body":"e30="}`
	const key = "00000000000000aa"
	keyBody := `{"hash":"` + strings.Repeat("ab", 32) + `"}`
	for _, c := range []struct {
		method, path, body, op, kind, id, hash string
	}{
		{"PUT", "/v1/upstream/a%2Fb", echo, "create", "upstream", "a/b", hashOf(echo)},
		{"PUT", "/v1/upstream/a%2Fb", `{"endpoints":[]}`, "update", "upstream", "a/b", hashOf(`{"endpoints":[]}`)},
		{"DELETE", "/v1/upstream/a%2Fb", "", "delete", "upstream", "a/b", ""},
		{"PUT", "/v1/upstream/u", echo, "create", "upstream", "u", hashOf(echo)},
		{"PUT", "/v1/key/" + key, keyBody, "create", "key", key, hashOf(keyBody)},
		{"POST", "/v1/keys/" + key + "/revoke", `{"reason":"leaked"}`, "revoke", "revocation", key, "some"},
		{"POST", "/v1/keys/" + key + "/revoke", `{"reason":"leaked"}`, "", "", "", ""},
		{"DELETE", "/v1/key/" + key, "", "delete", "key", key, ""},
		{"POST", "/v1/keys", `{}`, "issue", "key", "any", "some"},
		{"POST", "/v1/import/openapi?id=s&upstream=u", document, "import", "spec", "s", hashOf(document)},
		{"POST", "/v1/apply", setting, "apply", "", "", hashOf(setting)},
		{"POST", "/v1/apply?dry_run=true", setting, "", "", "", ""},
		{"PUT", "/v1/upstream/u", "{}", "", "", "", ""},
		{"POST", "/v1/promote", "", "", "", "", ""},
		{"GET", "/v1/upstream/u", "", "", "", "", ""},
	} {
		log.Reset()
		_, answer := s.ask(t, c.method, c.path, c.body, bearer...)
		name := fmt.Sprintf("%s %s: %s", c.method, c.path, log.String())
		if strings.Contains(log.String(), "token-of-") || strings.Contains(log.String(), "gwk_") {
			t.Errorf("%s: a secret", name)
		}
		if c.op == "" {
			if log.Len() > 0 {
				t.Errorf("%s: nothing was changed", name)
			}
			continue
		}
		var got line
		if err := json.Unmarshal(log.Bytes(), &got); err != nil || strings.Count(log.String(), "\n") != 1 {
			t.Fatalf("%s: %v", name, err)
		}
		path, _, _ := strings.Cut(c.path, "?")
		if got.Msg != "admin change" || got.Op != c.op || got.By != "operator" || got.Token != hashOf(token(admin.Operator))[:8] || got.Method != c.method ||
			got.Path != path || !strings.HasPrefix(got.From, "127.0.0.1:") || got.Kind != c.kind || got.ID != c.id && c.id != "any" {
			t.Errorf("%s: %+v", name, got)
		}
		if got.SHA256 != c.hash && (c.hash != "some" || len(got.SHA256) != 64) {
			t.Errorf("%s: hash is not %s", name, c.hash)
		}
		entity := c.kind + "/" + c.id
		if !strings.Contains(answer, fmt.Sprintf(`"revision":%d`, got.Revision)) || c.kind != "" && c.op != "import" && got.Before != last[entity] {
			t.Errorf("%s: %s, before %d", name, answer, last[entity])
		}
		last[entity] = got.Revision
	}
	if strings.Contains(other.String(), "admin change") {
		t.Errorf("a change is told twice: %s", other.String())
	}
}
