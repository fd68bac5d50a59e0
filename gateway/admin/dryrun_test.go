package admin_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gwdr/gateway"
	"gwdr/gateway/admin"
)

// outcome is what a dry run answers.
type outcome struct {
	DryRun   bool `json:"dry_run"`
	Revision int64
	Changes  []planned
}

type planned struct {
	Op   gateway.Op
	Kind gateway.Kind
	ID   string
}

// dry returns the path with what makes it a dry run.
func dry(path string) string {
	if strings.Contains(path, "?") {
		return path + "&dry_run=true"
	}
	return path + "?dry_run=true"
}

// snapshot returns the revision and what there is.
func (s server) snapshot(t *testing.T) (int64, *gateway.State) {
	t.Helper()
	h, state, err := s.store.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return h.Revision, state
}

// A dry run changes nothing, and says what then is changed by the same request; what it refuses is refused.
func TestDryRunSaysWhatIsDone(t *testing.T) {
	var log bytes.Buffer
	s := start(t, &admin.Server{Log: slog.New(slog.NewTextHandler(&log, nil))})
	const document = `{"openapi":"3.1.0","info":{"title":"t","version":"1"},"paths":{"/a":{"get":{}},"/b":{"put":{}}}}`
	fewer := strings.Replace(document, `,"/b":{"put":{}}`, "", 1)
	key, lines := "00000000000000aa", func(lines ...string) string { return strings.Join(lines, "\n") }
	for _, c := range []struct {
		method, path, body string
		header             []string
		status, changes    int
	}{
		{"PUT", "/v1/upstream/u", echo, nil, 201, 1},
		{"PUT", "/v1/upstream/u", echo, nil, 200, 0},
		{"PUT", "/v1/upstream/u", `{"endpoints":[]}`, nil, 200, 1},
		{"PUT", "/v1/upstream/u", echo, []string{"If-None-Match", "*"}, 412, 0},
		{"PUT", "/v1/upstream/u", echo, []string{"If-Match", `"1"`}, 412, 0},
		{"PUT", "/v1/upstream/u", "{}", nil, 422, 0},
		{"PUT", "/v1/route/r", `{"path":"/x","upstream":"none"}`, nil, 422, 0},
		{"PUT", "/v1/route/r", `{"path":"/x","upstream":"u"}`, nil, 201, 1},
		{"DELETE", "/v1/upstream/u", "", nil, 409, 0},
		{"DELETE", "/v1/route/none", "", nil, 404, 0},
		{"DELETE", "/v1/route/r", "", []string{"If-Match", `"1"`}, 412, 0},
		{"PUT", "/v1/key/" + key, `{"hash":"` + strings.Repeat("ab", 32) + `"}`, nil, 201, 1},
		{"POST", "/v1/keys/" + key + "/expire", `{"at":"2040-01-01T00:00:00Z"}`, nil, 200, 1},
		{"POST", "/v1/keys/" + key + "/revoke", "{}", nil, 200, 1},
		{"POST", "/v1/keys/" + key + "/revoke", "{}", nil, 200, 0},
		{"DELETE", "/v1/key/" + key, "", nil, 200, 1},
		{"PUT", "/v1/key/" + key[1:] + "b", `{"hash":"` + strings.Repeat("ab", 32) + `"}`, nil, 201, 1},
		{"DELETE", "/v1/key/" + key[1:] + "b", "", nil, 200, 2},
		{"POST", "/v1/keys/none/revoke", "{}", nil, 404, 0},
		{"POST", "/v1/import/openapi?id=s&upstream=u", document, nil, 200, 3},
		{"POST", "/v1/import/openapi?id=s&upstream=u", document, nil, 200, 0},
		{"POST", "/v1/import/openapi?id=s&upstream=u", fewer, nil, 200, 2},
		{"POST", "/v1/import/openapi?id=s&upstream=none", document, nil, 422, 0},
		{"POST", "/v1/apply", `{"op":"delete","kind":"route","id":"r"}`, []string{"X-Gwdr-Base-Revision", "1"}, 409, 0},
		{"POST", "/v1/apply", lines(`{"op":"create","kind":"setting","id":"a","body":"e30="}`, `{"op":"update","kind":"setting","id":"b","body":"e30="}`,
			`{"op":"delete","kind":"setting","id":"a"}`, `{"op":"delete","kind":"setting","id":"c"}`, `{"op":"delete","kind":"route","id":"r"}`), nil, 200, 2},
		{"POST", "/v1/apply", `{"op":"create","kind":"route","id":"x","body":"e30="}`, []string{"X-Gwdr-Restore", "true"}, 200, 1},
	} {
		name := fmt.Sprintf("%s %s %v", c.method, c.path, c.header)
		revision, before := s.snapshot(t)
		logged := log.Len()
		resp, text := s.send(t, c.method, dry(c.path), c.body, c.header...)
		if now, state := s.snapshot(t); now != revision || state.Digest() != before.Digest() || log.Len() != logged {
			t.Fatalf("%s: a dry run changed something: %s", name, log.String()[logged:])
		}
		status, answer := s.ask(t, c.method, c.path, c.body, c.header...)
		_, after := s.snapshot(t)
		if status != c.status || status >= 400 && (resp.StatusCode != status || text != answer) {
			t.Errorf("%s: %d %s after %d %s", name, status, answer, resp.StatusCode, text)
		}
		if status < 400 {
			checkOutcome(t, name, resp, text, revision, gateway.Diff(before, after), c.changes)
		}
	}
}

func checkOutcome(t *testing.T, name string, resp *http.Response, text string, revision int64, changes []gateway.Change, count int) {
	t.Helper()
	var got outcome
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Errorf("%s: %v", name, err)
	}
	want := outcome{DryRun: true, Revision: revision, Changes: []planned{}}
	for _, c := range changes {
		want.Changes = append(want.Changes, planned{c.Op, c.Entity.Kind, c.Entity.ID})
	}
	if diff := cmp.Diff(want, got); diff != "" || resp.StatusCode != 200 || resp.Header.Get("ETag") != "" || len(changes) != count {
		t.Errorf("%s: %d with %d changes\n%s", name, resp.StatusCode, len(changes), diff)
	}
}

// No token is shown that is none.
func TestDryRunIssuesNoKey(t *testing.T) {
	s := start(t, &admin.Server{})
	s.expect(t, 200, `"changes":[{"op":"create","kind":"key"`, "POST", "/v1/keys?dry_run=true", `{}`)
	if _, text := s.ask(t, "POST", "/v1/keys?dry_run=true", `{}`); strings.Contains(text, "gwk_") {
		t.Error(text)
	}
	s.expect(t, 422, "consumer/none", "POST", "/v1/keys?dry_run=true", `{"consumer":"none"}`)
	s.expect(t, 200, `"items":[]`, "GET", "/v1/key", "")
	const key = "00000000000000aa"
	s.expect(t, 201, "", "PUT", "/v1/key/"+key, `{"hash":"`+strings.Repeat("ab", 32)+`"}`)
	if _, text := s.ask(t, "POST", "/v1/keys/"+key+"/rotate?dry_run=true", ""); strings.Contains(text, "gwk_") || !strings.Contains(text, `"kind":"revocation","id":"`+key+`"`) {
		t.Error(text)
	}
	s.expect(t, 200, `"items":[]`, "GET", "/v1/revocation", "")
}

// Whoever wants a dry run and does not get that across changes nothing.
func TestDryRunIsNotMisunderstood(t *testing.T) {
	s := start(t, &admin.Server{})
	revision, _ := s.snapshot(t)
	for _, query := range []string{"?dry_run", "?dry_run=1", "?dry_run=True", "?dry_run=false&dry_run=true"} {
		s.expect(t, 400, "dry_run must be true or false", "PUT", "/v1/upstream/u"+query, echo)
		s.expect(t, 400, "dry_run must be true or false", "POST", "/v1/apply"+query, "")
		s.expect(t, 400, "dry_run must be true or false", "POST", "/v1/promote"+query, "")
	}
	for _, query := range []string{"?x=%zz&dry_run=true", "?x;dry_run=true"} {
		s.expect(t, 400, "query", "PUT", "/v1/upstream/u"+query, echo)
	}
	s.expect(t, 400, "no dry run", "POST", "/v1/promote?dry_run=true", "")
	s.expect(t, 400, "no dry run", "POST", "/v1/demote?dry_run=true", "")
	s.expect(t, 400, "no dry run", "POST", "/v1/members/a/replace?dry_run=true", "")
	if now, _ := s.snapshot(t); now != revision {
		t.Errorf("revision %d became %d", revision, now)
	}
	s.expect(t, 201, "revision", "PUT", "/v1/upstream/u?dry_run=false", echo)
	if err := s.store.Fence(t.Context(), "http://other", 2); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/v1/upstream/u?dry_run=true", "/v1/upstream/u"} {
		s.expect(t, 409, "not_leader", "PUT", path, echo)
	}
}

// A store that waits for a restore is looked at as the restore would find it.
func TestDryRunOfARestoreIntoABlankStore(t *testing.T) {
	s := startBlank(t)
	const line = `{"op":"create","kind":"setting","id":"s","body":"e30="}`
	s.expect(t, 409, "not_leader", "POST", "/v1/apply?dry_run=true", line)
	s.expect(t, 200, `"changes":[{"op":"create","kind":"setting","id":"s"}]`, "POST", "/v1/apply?dry_run=true", line, "X-Gwdr-Restore", "true")
	if mode := s.store.Role().Mode; mode != gateway.ModeBlank {
		t.Errorf("mode %s", mode)
	}
	s.expect(t, 200, "applied", "POST", "/v1/apply", line, "X-Gwdr-Restore", "true")
}
