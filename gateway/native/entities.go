package native

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"gwdr/gateway"
)

// Get returns the entity and the revision of its last change. The error wraps gateway.ErrNotFound if it is not there.
func (c *Client) Get(ctx context.Context, r gateway.Ref) (gateway.Item, error) {
	resp, err := c.send(ctx, request{method: http.MethodGet, path: entityPath(r)})
	if err != nil {
		return gateway.Item{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return gateway.Item{}, fmt.Errorf("read %s from %s: %w", r, c, err)
	}
	revision, err := strconv.ParseInt(strings.Trim(resp.Header.Get("ETag"), `"`), 10, 64)
	if err != nil {
		return gateway.Item{}, fmt.Errorf("read %s from %s: ETag: %w", r, c, err)
	}
	return gateway.Item{Entity: gateway.Entity{Ref: r, Body: body}, Revision: revision}, nil
}

// Put writes the entity, if it is as Revision and Absent of the condition say, and returns the new revision. The error
// wraps gateway.ErrConflict if it is not, gateway.ErrMissing if the entity refers to one that is not there, and
// gateway.ErrNotLeader if this control plane takes no writes.
func (c *Client) Put(ctx context.Context, e gateway.Entity, cond gateway.Condition) (revision int64, err error) {
	return c.write(ctx, http.MethodPut, e, cond)
}

// Delete removes the entity, if it is as the condition says, and returns the new revision. Errors are those of Put, or wrap
// gateway.ErrNotFound.
func (c *Client) Delete(ctx context.Context, r gateway.Ref, cond gateway.Condition) (revision int64, err error) {
	return c.write(ctx, http.MethodDelete, gateway.Entity{Ref: r}, cond)
}

func (c *Client) write(ctx context.Context, method string, e gateway.Entity, cond gateway.Condition) (int64, error) {
	header := http.Header{}
	if cond.Revision != 0 {
		header.Set("If-Match", fmt.Sprintf(`"%d"`, cond.Revision))
	}
	if cond.Absent {
		header.Set("If-None-Match", "*")
	}
	var answer struct {
		Revision int64 `json:"revision"`
	}
	err := c.call(ctx, request{method: method, path: entityPath(e.Ref), header: header}, e.Body, &answer)
	return answer.Revision, err
}

// entityPath escapes the id so that slashes and dots in it stay its own.
func entityPath(r gateway.Ref) string {
	id := url.PathEscape(r.ID)
	if strings.Trim(id, ".") == "" { // "." and ".." are path segments with a meaning
		id = strings.ReplaceAll(id, ".", "%2E")
	}
	return "/v1/" + url.PathEscape(string(r.Kind)) + "/" + id
}

// Issued is a key that was just made.
type Issued struct {
	ID    string `json:"id"`
	Token string `json:"token"` // shown this once
}

// IssueKey makes a key for a consumer. expires may be zero: never.
func (c *Client) IssueKey(ctx context.Context, consumer string, scopes []string, expires time.Time) (Issued, error) {
	ask := struct {
		Consumer string     `json:"consumer,omitempty"`
		Scopes   []string   `json:"scopes,omitempty"`
		Expires  *time.Time `json:"expires,omitempty"`
	}{Consumer: consumer, Scopes: scopes}
	if !expires.IsZero() {
		ask.Expires = &expires
	}
	var key Issued
	err := c.call(ctx, request{method: http.MethodPost, path: "/v1/keys"}, gateway.Encode(ask), &key)
	return key, err
}

// RevokeKey makes the key invalid for good. A second call changes nothing.
func (c *Client) RevokeKey(ctx context.Context, id, reason string) error {
	ask := map[string]string{"reason": reason}
	return c.call(ctx, request{method: http.MethodPost, path: "/v1/keys/" + url.PathEscape(id) + "/revoke"}, gateway.Encode(ask), nil)
}
