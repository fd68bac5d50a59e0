package process

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"gwdr/fleet/link"
)

// linksFile is links.json, what the process with the links reads. It holds a secret.
type linksFile struct {
	Listen string      `json:"listen"` // of the control API
	Token  string      `json:"token"`
	Links  []link.Spec `json:"links"`
}

// RunLinks carries the links that file names until ctx ends.
func RunLinks(ctx context.Context, file string, log *slog.Logger) error {
	var f linksFile
	if err := readJSON(file, &f); err != nil {
		return fmt.Errorf("run links: %w", err)
	}
	set, err := link.Open(f.Links, log)
	if err != nil {
		return err
	}
	return errors.Join(serve(ctx, f.Listen, set.Handler(f.Token)), set.Close())
}

// serve serves until ctx ends.
func serve(ctx context.Context, listen string, h http.Handler) error {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	return serveOn(ctx, l, h)
}

func serveOn(ctx context.Context, l net.Listener, h http.Handler) error {
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	defer context.AfterFunc(ctx, func() { server.Close() })()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}
