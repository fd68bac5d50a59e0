package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"gwdr/gateway"
)

const (
	keysTimeout = 5 * time.Second // for a read of an issuer's keys
	maxKeys     = 1 << 20         // bytes of their JWKS
)

// keysAt reads the JWKS at a URL. It follows no redirect, which could lead to where others can write, and uses
// no proxy of the environment.
func keysAt(url string) func(context.Context) (*gateway.KeySet, error) {
	client := &http.Client{Timeout: keysTimeout, Transport: &http.Transport{DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return func(ctx context.Context) (*gateway.KeySet, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return nil, err
		}
		req.Header.Set("Accept", "application/jwk-set+json, application/json")
		resp, err := client.Do(req)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("status %d", resp.StatusCode)
		}
		return readKeySet(resp.Body)
	}
}

// keysIn reads the JWKS in a file.
func keysIn(name string) func(context.Context) (*gateway.KeySet, error) {
	return func(context.Context) (*gateway.KeySet, error) {
		if info, err := os.Stat(name); err != nil {
			return nil, err
		} else if !info.Mode().IsRegular() { // one could wait for it without end
			return nil, errors.New("it is no regular file")
		}
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return readKeySet(f)
	}
}

func readKeySet(r io.Reader) (*gateway.KeySet, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxKeys+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxKeys {
		return nil, fmt.Errorf("JWKS is larger than %d bytes", maxKeys)
	}
	set := new(gateway.KeySet)
	if err := json.Unmarshal(text, set); err != nil {
		return nil, gateway.InWords(err)
	}
	return set, nil
}
