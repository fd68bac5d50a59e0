package link

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
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

// Set makes the link do s and starts its lease anew; it returns when s is in effect.
func (c *Client) Set(ctx context.Context, id string, s State) error {
	if err := c.do(ctx, http.MethodPut, "/links/"+url.PathEscape(id), s, nil); err != nil {
		return fmt.Errorf("set link %s: %w", id, err)
	}
	return nil
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
		var problem struct{ Error string }
		if json.Unmarshal(answer, &problem) == nil && problem.Error != "" {
			return fmt.Errorf("%s: %s", resp.Status, problem.Error)
		}
		return fmt.Errorf("%s", resp.Status)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer, out)
}
