package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// secretURL is one that whoever knows it can write to: of a monitor, or a webhook. Only String is shown.
type secretURL struct {
	url    *url.URL
	client *http.Client
}

// newSecretURL reads a URL of http or https. Its error does not repeat it.
func newSecretURL(text string) (*secretURL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("is not of the form https://HOST/PATH")
	}
	return &secretURL{url: u, client: &http.Client{
		// A redirect would carry the path elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// String returns scheme and host.
func (s *secretURL) String() string { return s.url.Scheme + "://" + s.url.Host }

// post sends the body to the URL, with one more element of the path unless that is empty. Any answer but a 2xx is an error.
func (s *secretURL) post(ctx context.Context, element, contentType string, body io.Reader) error {
	to := s.url
	if element != "" {
		to = to.JoinPath(element)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, to.String(), body)
	if err != nil {
		return errors.New("malformed URL")
	}
	request.Header.Set("Content-Type", contentType)
	request.Header.Set("User-Agent", "gwdr")
	response, err := s.client.Do(request)
	if err != nil {
		var withURL *url.Error // repeats the whole of it
		if errors.As(err, &withURL) {
			err = withURL.Err
		}
		return err
	}
	defer response.Body.Close()
	io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10))
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("it answered %s", cmp.Or(http.StatusText(response.StatusCode), response.Status))
	}
	return nil
}
