package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"gwdr/gateway"
)

const (
	// keepDelay gathers changes before the last good configuration is written.
	keepDelay = 100 * time.Millisecond
	// keepShare bounds the time spent on writing it when it changes all the time: one part in so many.
	keepShare = 10
)

// LoadLastGood loads the configuration that the file of Options.LastGood keeps, or the one before it if that is damaged.
// The error wraps fs.ErrNotExist if there is none.
func (g *Gateway) LoadLastGood() error {
	file := g.options.LastGood
	h, s, err := readState(file)
	damaged := err != nil
	if damaged {
		var older error
		if h, s, older = readState(previous(file)); older != nil {
			return fmt.Errorf("load last good configuration: %w; and the one before it: %w", err, older)
		}
		g.log.Warn("last good configuration is damaged, the one before it is loaded", "file", file, "error", err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.want = h
	if err := g.take(s); err != nil {
		return fmt.Errorf("load last good configuration: %w", err)
	}
	g.unsaved = damaged
	g.keep()
	return nil
}

func readState(file string) (gateway.Header, *gateway.State, error) {
	f, err := os.Open(file)
	if err != nil {
		return gateway.Header{}, nil, err
	}
	defer f.Close()
	h, s, err := gateway.ReadStream(f)
	if err != nil {
		return gateway.Header{}, nil, fmt.Errorf("%s: %w", file, err)
	}
	return h, s, nil
}

// writeState replaces the file so that at any moment there is a whole one, on disk and not only in memory; what was there
// before stays beside it.
func writeState(file string, h gateway.Header, s *gateway.State) error {
	if err := writeSynced(file+".new", func(w io.Writer) error { return gateway.WriteStream(w, h, s) }); err != nil {
		return err
	}
	if err := keepPrevious(file); err != nil {
		return err
	}
	if err := os.Rename(file+".new", file); err != nil {
		return err
	}
	return syncDir(filepath.Dir(file))
}

func writeSynced(file string, write func(io.Writer) error) (err error) {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := write(f); err != nil {
		return err
	}
	return f.Sync()
}

func previous(file string) string { return file + ".previous" }

// keepPrevious gives the file a second name; it keeps its first one too, until that is renamed over.
func keepPrevious(file string) error {
	if err := os.Remove(previous(file)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Link(file, previous(file)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// keeper writes the last good configuration in the background.
type keeper struct {
	file  string
	state func() (gateway.Header, *gateway.State)
	log   *slog.Logger
	dirty chan struct{} // holds a token when there is something to write
	stop  context.CancelFunc
	done  sync.WaitGroup
	err   error // of the last write; for close, once done
}

func newKeeper(file string, state func() (gateway.Header, *gateway.State), log *slog.Logger) *keeper {
	ctx, cancel := context.WithCancel(context.Background())
	k := &keeper{file: file, state: state, log: log, dirty: make(chan struct{}, 1), stop: cancel}
	k.done.Go(func() { k.run(ctx) })
	return k
}

// changed asks for a write soon.
func (k *keeper) changed() {
	select {
	case k.dirty <- struct{}{}:
	default:
	}
}

// close writes what is still to be written.
func (k *keeper) close() error {
	k.stop()
	k.done.Wait()
	return k.err
}

func (k *keeper) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			select {
			case <-k.dirty:
				k.write()
			default:
			}
			return
		case <-k.dirty:
			wait(ctx, keepDelay)
			select { // what came meanwhile is in this write
			case <-k.dirty:
			default:
			}
			took := k.write()
			wait(ctx, keepShare*took)
		}
	}
}

func (k *keeper) write() (took time.Duration) {
	start := time.Now()
	h, s := k.state()
	if k.err = writeState(k.file, h, s); k.err != nil {
		k.err = fmt.Errorf("write last good configuration: %w", k.err)
		k.log.Error("last good configuration cannot be written", "file", k.file, "error", k.err)
	}
	return time.Since(start)
}

// wait returns after d or when ctx ends.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
