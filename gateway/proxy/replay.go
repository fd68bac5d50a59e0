package proxy

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
)

// replayLimit bounds the request bodies that are kept in memory for another attempt, in bytes.
const replayLimit = 64 << 10

// prepare finds out whether the request can be made twice.
func (x *exchange) prepare(ctx context.Context, req *http.Request) error {
	x.safe = isIdempotent(req.Method)
	switch {
	case x.once == nil:
	case x.safe && req.ContentLength > 0 && req.ContentLength <= replayLimit:
		kept := make([]byte, req.ContentLength)
		if _, err := io.ReadFull(x.once, kept); err != nil {
			return fmt.Errorf("%w: %w", cmp.Or(x.clientFailed(ctx), errClientBody), err)
		}
		x.once.ended.Store(true)
		x.body = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(kept)), nil }
	default:
		x.safe = false
		x.body = func() (io.ReadCloser, error) { return x.once, nil }
	}
	if _, there := req.Header["Idempotency-Key"]; x.safe && !there {
		req.Header["Idempotency-Key"] = nil // is not sent, but lets the transport try again when an idle connection is dead
	}
	return nil
}

// mayRetry reports whether another attempt does no harm, given that the last one could not even connect.
func (x *exchange) mayRetry(unreachable bool) bool {
	if x.safe {
		return true
	}
	return unreachable && (x.once == nil || !x.once.read.Load())
}

func isIdempotent(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return false
}
