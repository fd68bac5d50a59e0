package process

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

func compareIDs(a, b string) int { return strings.Compare(a, b) }

// How long the supervisor may take to answer. One that is stopped still accepts connections.
const (
	tellWithin   = 5 * time.Second
	changeWithin = time.Minute // faults of several instances, whose processes end and start
)

// do makes one request to the supervisor. The error wraps ErrNoLab if that is gone.
func (l *Lab) do(ctx context.Context, method, path string, in, out any) error {
	limit := changeWithin
	if method == http.MethodGet {
		limit = tellWithin
	}
	limited, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("supervisor %d does not answer", l.file.PID))
	defer cancel()
	err := l.request(limited, method, path, in, out)
	if err != nil && ctx.Err() == nil && limited.Err() != nil {
		return context.Cause(limited)
	}
	return err
}

func (l *Lab) request(ctx context.Context, method, path string, in, out any) error {
	if !l.file.Alive() {
		return l.gone()
	}
	var body bytes.Buffer
	if in != nil {
		if err := json.NewEncoder(&body).Encode(in); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, l.file.Control+path, &body)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+l.file.Token)
	resp, err := l.http.Do(req)
	if err != nil {
		if !l.file.Alive() {
			return l.gone()
		}
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 8<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return decodeFailure(resp.Status, answer)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer, out)
}

func (l *Lab) gone() error {
	return fmt.Errorf("%w in %s: supervisor %d is gone", ErrNoLab, string(l.dir), l.file.PID)
}

// remoteError is what the supervisor said, with the cause if it named one.
type remoteError struct {
	text  string
	cause error
}

func (e *remoteError) Error() string { return e.text }
func (e *remoteError) Unwrap() error { return e.cause }

func decodeFailure(status string, answer []byte) error {
	var f failure
	if json.Unmarshal(answer, &f) != nil || f.Error == "" {
		f.Error = "supervisor answers " + status
	}
	return &remoteError{f.Error, coded()[f.Code]}
}
