package cmd

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"gwdr/gateway"
	"gwdr/gateway/admin"
	"gwdr/gateway/native"
)

// readControlToken reads --control-token-file. What is in it is in no error.
func (o *serveOptions) readControlToken() error {
	if o.controlTokenFile == "" {
		return nil
	}
	text, err := os.ReadFile(o.controlTokenFile)
	if err != nil {
		return fmt.Errorf("read --control-token-file: %w", err)
	}
	token := strings.TrimSpace(string(text))
	_, notTokens := admin.ReadTokens(strings.NewReader(token)) // the control plane's own file is easily taken for it
	if notTokens == nil || token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return usageError(fmt.Errorf("--control-token-file %s: want one token on one line, without its role", o.controlTokenFile))
	}
	o.controlToken = token
	return nil
}

// client returns a client of another control plane.
func (o *serveOptions) client(url string) native.Client {
	return native.Client{URL: url, Token: o.controlToken, HTTP: native.NewHTTP()}
}

// followed is the control plane of --control. Its errors say what to do about them: they are lines of a log, which have no hint.
type followed struct{ *native.Client }

// State implements proxy.Source.
func (c followed) State(ctx context.Context) (gateway.Header, *gateway.State, error) {
	h, s, err := c.Client.State(ctx)
	return h, s, c.advise(err)
}

// Follow implements proxy.Source.
func (c followed) Follow(ctx context.Context, store string, from int64, each func(gateway.Batch) error) error {
	return c.advise(c.Client.Follow(ctx, store, from, each))
}

// advise adds the next step to an error.
func (c followed) advise(err error) error {
	answer, answered := errors.AsType[*native.Error](err)
	_, untrusted := errors.AsType[x509.UnknownAuthorityError](err)
	switch {
	case answered && answer.Status == http.StatusUnauthorized && c.Token == "":
		return fmt.Errorf("%w: it wants one, by --control-token-file", err)
	case answered && answer.Status == http.StatusUnauthorized:
		return fmt.Errorf("%w: it does not know that of --control-token-file", err)
	case untrusted:
		return fmt.Errorf("%w: the variable SSL_CERT_FILE names the file with the authorities that are trusted", err)
	}
	return err
}
