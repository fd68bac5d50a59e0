package netns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strings"
	"syscall"

	"gwdr/fleet"
)

// Verify connects where connections worked before the fault, in other namespaces.
func (f *Fleet) Verify(ctx context.Context, u fleet.Undo) (string, error) {
	data, err := read(u)
	if err != nil {
		return "", err
	}
	var seen []string
	for _, t := range data.Targets {
		what, err := f.look(ctx, u, t)
		if err != nil {
			return "", fmt.Errorf("verify fault %s: %s: %w", u.Fault.ID, t.Name, err)
		}
		seen = append(seen, t.Name+": "+what)
	}
	return strings.Join(seen, "; "), nil
}

func (f *Fleet) look(ctx context.Context, u fleet.Undo, t target) (string, error) {
	if u.Fault.Kind == fleet.Loss {
		return f.lookLoss(ctx, u, t)
	}
	var seen []string
	for _, l := range t.Looks {
		err := l.try(ctx)
		var want bool
		if u.Fault.Kind == fleet.Reset {
			want = errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET)
		} else {
			late, ok := errors.AsType[net.Error](err)
			want = ok && late.Timeout() && ctx.Err() == nil
		}
		if !want {
			return "", fmt.Errorf("connecting from %s to %s: %v", l.From, l.To, err)
		}
		seen = append(seen, fmt.Sprintf("from %s to %s: %v", l.From, l.To, reason(err)))
	}
	return strings.Join(seen, ", "), nil
}

// reason is what became of a connection, without the addresses, which are said already.
func reason(err error) string {
	if late, ok := errors.AsType[net.Error](err); ok && late.Timeout() {
		return fmt.Sprintf("nothing within %s", answer)
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	return err.Error()
}

var counted = regexp.MustCompile(`counter packets [1-9]`)

// lookLoss connects until the kernel has counted a packet that it dropped.
func (f *Fleet) lookLoss(ctx context.Context, u fleet.Undo, t target) (string, error) {
	for n := 1; n <= 1000 && ctx.Err() == nil; n++ {
		t.Looks[n%len(t.Looks)].try(ctx)
		text, err := f.run(ctx, t.Name, "list", "table", "inet", prefix+u.Fault.ID)
		if err != nil {
			return "", err
		}
		if counted.Match(text) {
			return fmt.Sprintf("packets were dropped within %d connections", n), nil
		}
	}
	return "", errors.New("no packet was dropped in 1000 connections")
}
