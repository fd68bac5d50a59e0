package admin_test

import (
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gwdr/gateway"
	"gwdr/gateway/admin"
)

// rotated is the answer to a rotation.
type rotated struct {
	ID, Token, Replaces string
	Until               time.Time
	Revision            int64
}

func (s server) rotate(t *testing.T, id, ask string) (r rotated) {
	t.Helper()
	status, answer := s.ask(t, "POST", "/v1/keys/"+id+"/rotate", ask)
	if err := json.Unmarshal([]byte(answer), &r); err != nil || status != 201 {
		t.Fatalf("rotate: %d %s", status, answer)
	}
	return r
}

func (s server) issue(t *testing.T, ask string) (id string) {
	t.Helper()
	status, answer := s.ask(t, "POST", "/v1/keys", ask)
	var key struct{ ID string }
	if err := json.Unmarshal([]byte(answer), &key); err != nil || status != 201 {
		t.Fatalf("issue: %d %s", status, answer)
	}
	return key.ID
}

func (s server) key(t *testing.T, id string) (b gateway.KeyBody) {
	t.Helper()
	item, err := s.Get(t.Context(), gateway.Ref{Kind: gateway.Key, ID: id})
	if err != nil {
		t.Fatal(err)
	}
	if b, err = gateway.DecodeKey(item.Body); err != nil {
		t.Fatal(err)
	}
	return b
}

func (s server) revocation(t *testing.T, id string) (b gateway.RevocationBody) {
	t.Helper()
	item, err := s.Get(t.Context(), gateway.Ref{Kind: gateway.Revocation, ID: id})
	if err == nil {
		err = gateway.Decode(item.Body, &b)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRotate(t *testing.T) {
	s := start(t, &admin.Server{})
	s.put(t, entity(gateway.Consumer, "acme", `{"name":"Acme"}`))
	old := s.issue(t, `{"consumer":"acme","scopes":["read"],"routes":["shop:*"],"expires":"2999-01-01T00:00:00Z"}`)
	before, err := s.store.Revision(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	r := s.rotate(t, old, `{"overlap":"1h"}`)
	if batches, err := collect(t.Context(), s.follow(""), before, r.Revision); err != nil || len(batches) != 1 || len(batches[0].Changes) != 2 {
		t.Errorf("one revision makes the new key and ends the old: %+v, %v", batches, err)
	}
	if until := r.Until.Sub(began); until < time.Hour || until > time.Hour+time.Minute || r.Replaces != old {
		t.Errorf("answer is %+v", r)
	}
	token, err := gateway.ParseToken(r.Token)
	if err != nil || token.ID != r.ID {
		t.Fatalf("token of %s: %v", r.ID, err)
	}
	want, got := s.key(t, old), s.key(t, r.ID)
	want.Hash, want.Created = token.Hash(), got.Created
	if diff := cmp.Diff(want, got); diff != "" || got.Created.Before(began) {
		t.Errorf("the new key opens what the old does: %s", diff)
	}
	if end := s.revocation(t, old); !end.Effective.Equal(r.Until) || end.Successor != r.ID {
		t.Errorf("the old key ends by %+v", end)
	}
	s.expect(t, 409, "being replaced", "POST", "/v1/keys/"+old+"/rotate", "")
	s.expect(t, 409, "put off", "PUT", "/v1/revocation/"+old, `{"effective":"2999-01-01T00:00:00Z"}`)
	for range 2 {
		if err := s.RevokeKey(t.Context(), old, "leaked"); err != nil {
			t.Fatal(err)
		}
	}
	if end := s.revocation(t, old); end.Effective != nil || end.Reason != "leaked" {
		t.Errorf("revoked now, the old key ends by %+v", end)
	}
	s.expect(t, 409, "put off", "PUT", "/v1/revocation/"+old, `{"effective":"2999-01-01T00:00:00Z"}`)
	s.expect(t, 200, "", "PUT", "/v1/revocation/"+old, `{"reason":"stolen"}`)
	s.expect(t, 409, "is revoked", "POST", "/v1/keys/"+old+"/rotate", "")
}

// TestDeletedInItsOverlap: a rotated key that is deleted ends now, and not when the overlap does: a restore could bring it back until then.
func TestDeletedInItsOverlap(t *testing.T) {
	s := start(t, &admin.Server{})
	old := s.issue(t, "")
	r := s.rotate(t, old, `{"overlap":"1h"}`)
	key := "/v1/key/" + old
	s.expect(t, 200, `{"op":"update","kind":"revocation","id":"`+old+`"}`, "DELETE", key+"?dry_run=true", "")
	if end := s.revocation(t, old); end.Effective == nil {
		t.Errorf("a dry run ends it by %+v", end)
	}
	s.expect(t, 200, "", "DELETE", key, "")
	if end := s.revocation(t, old); end.Effective != nil || end.Reason != "deleted" {
		t.Errorf("deleted, it ends by %+v", end)
	}
	batches, err := collect(t.Context(), s.follow(""), r.Revision, r.Revision+1)
	if err != nil || len(batches) != 1 || len(batches[0].Changes) != 2 {
		t.Errorf("one revision deletes the key and ends it: %+v, %v", batches, err)
	}
}

// TestApplyPutsNoRevocationOff: neither one that is there, nor one that it makes itself.
func TestApplyPutsNoRevocationOff(t *testing.T) {
	s := start(t, &admin.Server{})
	revoked, other := s.issue(t, ""), s.issue(t, "")
	if err := s.RevokeKey(t.Context(), revoked, "leaked"); err != nil {
		t.Fatal(err)
	}
	line := func(id, body string) string {
		c := gateway.Change{Op: gateway.Update, Entity: entity(gateway.Revocation, id, body)}
		text, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		return string(text) + "\n"
	}
	const now, later = `{"reason":"now"}`, `{"effective":"2999-01-01T00:00:00Z"}`
	for name, lines := range map[string]string{"known": line(revoked, later), "in a row": line(other, now) + line(other, later)} {
		for _, path := range []string{"/v1/apply?dry_run=true", "/v1/apply"} {
			if status, answer := s.ask(t, "POST", path, lines); status != 409 || !strings.Contains(answer, "put off") {
				t.Errorf("%s, %s: %d %s", name, path, status, answer)
			}
		}
	}
	s.expect(t, 404, "not found", "GET", "/v1/revocation/"+other, "")
	s.expect(t, 200, `"applied":3`, "POST", "/v1/apply", line(other, later)+line(other, now)+line(revoked, now))
	s.expect(t, 409, "conflict", "POST", "/v1/apply", line(other, now), "X-Gwdr-Base-Revision", "1")
	if end := s.revocation(t, other); end.Effective != nil {
		t.Errorf("it ends by %+v", end)
	}
}

func TestRotateOtherwise(t *testing.T) {
	s := start(t, &admin.Server{})
	plain := s.rotate(t, s.issue(t, ""), "")
	if until := time.Until(plain.Until); until < 23*time.Hour || until > 24*time.Hour {
		t.Errorf("the overlap is %v", until)
	}
	at := s.rotate(t, plain.ID, `{"overlap":"0s","expires":"2998-01-01T00:00:00Z"}`)
	if end := s.revocation(t, plain.ID); end.Effective != nil || s.key(t, at.ID).Expires.Year() != 2998 {
		t.Errorf("without an overlap, %s ends by %+v", plain.ID, end)
	}
	s.expect(t, 404, "not found", "POST", "/v1/keys/0123456789abcdef/rotate", "")
	s.expect(t, 400, "negative", "POST", "/v1/keys/"+at.ID+"/rotate", `{"overlap":"-1s"}`)
	s.expect(t, 200, `"expires"`, "POST", "/v1/keys/"+at.ID+"/expire", "")
	if b := s.key(t, at.ID); b.Expires.After(time.Now()) {
		t.Errorf("expires at %v", b.Expires)
	}
	s.expect(t, 409, "expired", "POST", "/v1/keys/"+at.ID+"/rotate", "")
	s.expect(t, 200, `"expires":"2997-01-01T00:00:00Z"`, "POST", "/v1/keys/"+at.ID+"/expire", `{"at":"2997-01-01T00:00:00Z"}`)
	s.rotate(t, at.ID, "")
	s.expect(t, 404, "not found", "POST", "/v1/keys/0123456789abcdef/expire", "")
}

// used is a data plane that has seen some keys.
type used map[string]time.Time

func (used) Ready() bool                             { return true }
func (used) State() (gateway.Header, *gateway.State) { return gateway.Header{}, gateway.NewState() }
func (used) Report() (gateway.Status, any)           { return gateway.Status{}, nil }
func (u used) KeyUsed(id string) time.Time           { return u[id] }
func (u used) KeysUsed() (time.Time, iter.Seq2[string, time.Time]) {
	return time.Unix(60, 0).UTC(), maps.All(u)
}

func TestListKeys(t *testing.T) {
	plane := used{}
	s := start(t, &admin.Server{Instance: "one", Data: plane})
	active, expired, revoked := s.issue(t, `{"scopes":["read"]}`), s.issue(t, `{"expires":"2001-01-01T00:00:00Z"}`), s.issue(t, "")
	next := s.rotate(t, active, "").ID
	plane[next] = time.Unix(6000, 0).UTC()
	if err := s.RevokeKey(t.Context(), revoked, "leaked"); err != nil {
		t.Fatal(err)
	}
	s.put(t, entity(gateway.Key, "odd", `{"hash":"`+strings.Repeat("0", 64)+`"}`))
	if _, err := s.ApplyBulk(t.Context(), []gateway.Change{{Op: gateway.Create, Entity: entity(gateway.Key, "unread", "{")}}, gateway.Bulk{Restore: true}); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for after := ""; ; {
		_, answer := s.ask(t, "GET", "/v1/keys?limit=2&after="+after, "")
		var page struct {
			Items []struct {
				ID, State, Successor, Reason string
				Scopes                       []string
				Revoked                      time.Time
				LastUsed                     string `json:"last_used"`
			}
			Next string
		}
		if err := json.Unmarshal([]byte(answer), &page); err != nil || strings.Contains(answer, "hash") {
			t.Fatalf("%v: %s", err, answer)
		}
		for _, k := range page.Items {
			got[k.ID] = strings.Join(append(k.Scopes, k.State, k.Successor, k.Reason, fmt.Sprint(k.Revoked.After(time.Now())), k.LastUsed), " ")
		}
		if after = page.Next; after == "" {
			break
		}
	}
	want := map[string]string{active: "read replaced " + next + " rotated true ", next: "read active   false 1970-01-01T01:40:00Z",
		expired: "expired   false ", revoked: "revoked  leaked false ", "odd": "active   false ", "unread": "unreadable   false "}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	s.expect(t, 400, "limit", "GET", "/v1/keys?limit=0", "")
}

func TestKeysUsed(t *testing.T) {
	s := start(t, &admin.Server{Instance: "one", Data: used{"a": time.Unix(120, 0).UTC(), "b": time.Unix(180, 0).UTC()}})
	_, answer := s.ask(t, "GET", "/v1/keys/used", "")
	lines := strings.Split(strings.TrimSpace(answer), "\n")
	slices.Sort(lines[1 : len(lines)-1])
	if diff := cmp.Diff([]string{`{"instance":"one","since":"1970-01-01T00:01:00Z"}`, `{"id":"a","last_used":"1970-01-01T00:02:00Z"}`,
		`{"id":"b","last_used":"1970-01-01T00:03:00Z"}`, `{"end":true,"count":2}`}, lines); diff != "" {
		t.Error(diff)
	}
	start(t, &admin.Server{}).expect(t, 400, "unknown kind", "GET", "/v1/keys/used", "")
}
