package cmd

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// pinger tells a monitor that something begins and how it ends, as healthchecks.io and its like take it: URL/start, URL,
// and URL/CODE with an exit code that is not 0. The URL is a secret, as whoever knows it can say that all is well.
type pinger struct{ *secretURL }

// pingTimeout bounds one ping.
const pingTimeout = 5 * time.Second

// newPinger reads a monitor's URL. Its error does not repeat it.
func newPinger(text string) (*pinger, error) {
	u, err := newSecretURL(text)
	if err != nil {
		return nil, fmt.Errorf("the URL to ping %w", err)
	}
	return &pinger{u}, nil
}

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
	if err := p.secretURL.post(ctx, element, "text/plain; charset=utf-8", strings.NewReader(body)); err != nil {
		return fmt.Errorf("ping %s: %w", p, err)
	}
	return nil
}
