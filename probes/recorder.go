package probes

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"
)

// flushEvery bounds what a kill -9 can take from a Recorder, in time; flushSize in bytes, while the disk keeps up. When maxPending
// bytes wait for it, so does who appends.
const (
	flushEvery = time.Second
	flushSize  = 64 << 10
	maxPending = 8 << 20
)

// Recorder writes lines of JSON to a zstd file. Each flush, at least one a second, adds a frame of its own that holds whole
// lines, so that what was flushed stays readable whatever happens next. Who appends does not wait for that: an attempt that
// does is late with the next one. It is safe for concurrent use.
type Recorder struct {
	mu    sync.Mutex
	lines []byte // that are in no frame yet
	err   error  // the first; nothing is written after it
	full  chan struct{}
	done  chan struct{}

	writing sync.Mutex // held before mu
	file    *os.File
	zstd    *zstd.Encoder
	spare   []byte // for the next lines
	frame   []byte
	size    int64 // of the whole frames
	flusher sync.WaitGroup
}

// CreateRecorder makes a new file at path, readable by its owner only. The error wraps fs.ErrExist if there is one.
func CreateRecorder(path string) (*Recorder, error) {
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(true))
	if err != nil {
		return nil, fmt.Errorf("create recorder: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create recorder: %w", err)
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("create recorder: %w", errors.Join(err, f.Close()))
	}
	r := &Recorder{file: f, zstd: encoder, full: make(chan struct{}, 1), done: make(chan struct{})}
	r.flusher.Go(r.flushRegularly)
	return r, nil
}

// syncDir makes the names in a directory safe: without them, what is synced into a new file is nowhere after a power cut.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Append adds v as a line. It is on disk at the latest a second later, unless the returned error says that writing failed,
// now or before.
func (r *Recorder) Append(v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("record: %w", err)
	}
	_, err = r.Write(append(line, '\n'))
	return err
}

// Write adds whole lines that are JSON already.
func (r *Recorder) Write(lines []byte) (int, error) {
	pending, err := r.add(lines)
	switch {
	case err != nil:
		return 0, err
	case pending >= maxPending:
		return len(lines), r.flush()
	case pending >= flushSize:
		select {
		case r.full <- struct{}{}:
		default: // it knows
		}
	}
	return len(lines), nil
}

func (r *Recorder) add(lines []byte) (pending int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return 0, r.err
	}
	r.lines = append(r.lines, lines...)
	return len(r.lines), nil
}

// Sync returns when all lines are safe on disk.
func (r *Recorder) Sync() error {
	if err := r.flush(); err != nil {
		return err
	}
	return r.fail(r.file.Sync())
}

// Close syncs and closes the file. Later lines are lost with an error.
func (r *Recorder) Close() error {
	err := r.Sync()
	r.mu.Lock()
	select {
	case <-r.done:
		r.mu.Unlock()
		return err
	default:
	}
	close(r.done)
	r.mu.Unlock()
	r.flusher.Wait()
	r.fail(os.ErrClosed)
	return errors.Join(err, r.file.Close(), r.zstd.Close())
}

func (r *Recorder) flushRegularly() {
	t := time.NewTicker(flushEvery)
	defer t.Stop()
	for {
		select {
		case <-r.done:
			return
		case <-t.C:
		case <-r.full:
		}
		_ = r.flush() // the next line has the error
	}
}

// flush writes the pending lines as a frame, all of it or nothing: what was written before a disk was full stays whole. It
// returns why nothing can be written any more.
func (r *Recorder) flush() error {
	r.writing.Lock()
	defer r.writing.Unlock()
	lines, err := r.take()
	r.spare = lines
	if err != nil || len(lines) == 0 {
		return err
	}
	r.frame = r.zstd.EncodeAll(lines, r.frame[:0])
	n, err := r.file.Write(r.frame)
	if err != nil {
		return r.fail(errors.Join(err, r.file.Truncate(r.size)))
	}
	r.size += int64(n)
	return nil
}

// take takes the pending lines, and leaves room for the next ones.
func (r *Recorder) take() ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return nil, r.err
	}
	lines := r.lines
	r.lines = r.spare[:0]
	return lines, nil
}

// fail remembers the first error, which it returns.
func (r *Recorder) fail(err error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil && err != nil {
		r.err = fmt.Errorf("record: %w", err)
	}
	return r.err
}
