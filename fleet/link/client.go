package link

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// Client talks to the control API of a Set in another process.
type Client struct {
	URL   string // http://host:port
	Token string
	HTTP  *http.Client // nil means http.DefaultClient
}

// Links lists all links.
func (c *Client) Links(ctx context.Context) ([]Info, error) {
	var infos []Info
	if err := c.do(ctx, http.MethodGet, "/links", nil, &infos); err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	return infos, nil
}

// Set makes the link do s and starts its lease anew; it returns when s is in effect. The error wraps ErrOwned if the link
// is in use by another owner than that of s.
func (c *Client) Set(ctx context.Context, id string, s State) error {
	if err := c.do(ctx, http.MethodPut, "/links/"+url.PathEscape(id), s, nil); err != nil {
		return fmt.Errorf("set link %s: %w", id, err)
	}
	return nil
}

// Renew starts the lease of what owner has set anew. It is an error if that is over.
func (c *Client) Renew(ctx context.Context, id, owner string, lease time.Duration) error {
	if err := c.do(ctx, http.MethodPost, owned(id, owner), renewal{lease}, nil); err != nil {
		return fmt.Errorf("renew lease of link %s: %w", id, err)
	}
	return nil
}

// Release makes the link pass again if owner has set what it does, and else does nothing.
func (c *Client) Release(ctx context.Context, id, owner string) error {
	if err := c.do(ctx, http.MethodDelete, owned(id, owner), nil, nil); err != nil {
		return fmt.Errorf("release link %s: %w", id, err)
	}
	return nil
}

func owned(id, owner string) string {
	return "/links/" + url.PathEscape(id) + "/owners/" + url.PathEscape(owner)
}

func (c *Client) do(ctx context.Context, method, path string, in, out any) error {
	var body bytes.Buffer
	if in != nil {
		if err := json.NewEncoder(&body).Encode(in); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, c.URL+path, &body)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+c.Token)
	client := c.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return refusal(resp.Status, answer)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer, out)
}

// refusal reads an answer that is not 200.
func refusal(status string, answer []byte) error {
	var problem struct{ Error, Owner string }
	if json.Unmarshal(answer, &problem) != nil || problem.Error == "" {
		return fmt.Errorf("%s", status)
	}
	if problem.Owner != "" {
		return fmt.Errorf("%w %s", ErrOwned, problem.Owner)
	}
	return fmt.Errorf("%s: %s", status, problem.Error)
}
