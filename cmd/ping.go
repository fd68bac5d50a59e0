package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// pinger tells a monitor that something begins and how it ends, as healthchecks.io and its like take it: URL/start, URL,
// and URL/CODE with an exit code that is not 0. The URL is a secret, as whoever knows it can say that all is well: only
// String is shown.
type pinger struct {
	url    url.URL
	client *http.Client
}

// pingTimeout bounds one ping.
const pingTimeout = 5 * time.Second

// newPinger reads a monitor's URL. Its error does not repeat it.
func newPinger(text string) (*pinger, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("the URL to ping is not of the form https://HOST/PATH")
	}
	return &pinger{url: *u, client: &http.Client{
		// A redirect would carry the path elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// String returns scheme and host.
func (p *pinger) String() string { return p.url.Scheme + "://" + p.url.Host }

// send posts the body to the URL, with one more element of the path unless that is empty. It tries twice.
func (p *pinger) send(ctx context.Context, element, body string) error {
	err := p.post(ctx, element, body)
	if err != nil && ctx.Err() == nil {
		err = p.post(ctx, element, body)
	}
	return err
}

func (p *pinger) post(ctx context.Context, element, body string) error {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	to := p.url
	if element != "" {
		to = *to.JoinPath(element)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, to.String(), strings.NewReader(body))
	if err != nil {
		return fmt.Errorf("ping %s: malformed URL", p)
	}
	request.Header.Set("Content-Type", "text/plain; charset=utf-8")
	request.Header.Set("User-Agent", "gwdr")
	response, err := p.client.Do(request)
	if err != nil {
		var withURL *url.Error // repeats the whole of it
		if errors.As(err, &withURL) {
			err = withURL.Err
		}
		return fmt.Errorf("ping %s: %w", p, err)
	}
	defer response.Body.Close()
	io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10))
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("ping %s: it answered %s", p, cmp.Or(http.StatusText(response.StatusCode), response.Status))
	}
	return nil
}
