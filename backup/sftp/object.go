package sftp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/pkg/sftp"

	"gwdr/backup"
)

// window is how much of an object is asked for at once: what an SSH channel takes without an acknowledgement. It makes up
// for the way to the server and back.
const window = 2 << 20

// object is one that is read. It goes on over a new connection if its own ends: objects do not change.
type object struct {
	location *Location
	ctx      context.Context // of Get: it bounds the reading too
	name     string
	path     string

	session *session // that file is open in
	file    *sftp.File
	size    int64
	at      int64  // how much was asked for
	ahead   []byte // was read, but not by the caller yet
	buffer  []byte
}

func (o *object) open(s *session) error {
	file, err := s.files.Open(o.path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := o.location.check(s); err != nil {
			return err
		}
		return backup.ErrNotExist
	}
	if err != nil {
		return err
	}
	info, err := file.Stat()
	switch {
	case err == nil && !info.Mode().IsRegular():
		err = errors.New("it is not a file")
	case err == nil && o.file != nil && info.Size() != o.size:
		err = fmt.Errorf("it had %d bytes and has %d", o.size, info.Size())
	}
	if err != nil {
		file.Close()
		return err
	}
	o.session, o.file, o.size = s, file, info.Size()
	return nil
}

func (o *object) Read(p []byte) (int, error) {
	if len(o.ahead) == 0 && o.at < o.size && len(p) > 0 {
		if err := o.location.do(o.ctx, o.fill); err != nil {
			return 0, fmt.Errorf("read %s: %w", o.name, err)
		}
	}
	if len(o.ahead) == 0 && o.at == o.size && len(p) > 0 {
		return 0, io.EOF
	}
	n := copy(p, o.ahead)
	o.ahead = o.ahead[n:]
	return n, nil
}

// fill reads ahead.
func (o *object) fill(s *session) error {
	if s != o.session {
		if err := o.open(s); err != nil {
			return err
		}
	}
	if o.buffer == nil {
		o.buffer = make([]byte, min(window, o.size))
	}
	n, err := o.file.ReadAt(o.buffer[:min(int64(len(o.buffer)), o.size-o.at)], o.at)
	if n > 0 {
		// What came is good. An error comes back with the next bytes, but for one: some servers give less than was asked
		// for, which reads as the end.
		o.ahead, o.at = o.buffer[:n], o.at+int64(n)
		return nil
	}
	if err == io.EOF {
		return fmt.Errorf("it ends after %d of %d bytes: %w", o.at, o.size, io.ErrUnexpectedEOF)
	}
	return err
}

// Close closes the file at the server.
func (o *object) Close() error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(o.ctx), tidyTime)
	defer cancel()
	err := o.session.run(ctx, func(*session) error { return o.file.Close() })
	if err != nil && !o.session.lost(err) { // the server closes the files of lost connections
		return fmt.Errorf("close %s: %w", o.name, err)
	}
	return nil
}
