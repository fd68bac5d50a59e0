package proxy

import (
	"errors"
	"io"
	"net/http"
	"sync/atomic"
)

var errAnswered = errors.New("request is answered already")

// onceBody is a request body that cannot be sent twice. Closing it is left to the server that it came from.
type onceBody struct {
	io.Reader
	read  atomic.Bool // some of it, perhaps
	ended atomic.Bool // all of it
	broke atomic.Bool // the client did not send all of it
	large atomic.Bool // it is larger than it may be
	over  atomic.Bool // the server reads what is left
}

// Read reads no further once it saw the end. The transport does, to see whether the length was right; the server may have
// closed the body by then, as the endpoint may have answered, and the error would break off that answer.
func (b *onceBody) Read(p []byte) (int, error) {
	switch {
	case b.ended.Load():
		return 0, io.EOF
	case b.over.Load():
		return 0, errAnswered
	}
	b.read.Store(true)
	n, err := b.Reader.Read(p)
	_, large := errors.AsType[*http.MaxBytesError](err)
	switch {
	case large:
		b.large.Store(true)
	case errors.Is(err, io.EOF):
		b.ended.Store(true)
	case err != nil:
		b.broke.Store(true)
	}
	return n, err
}

func (b *onceBody) Close() error { return nil }

// cut ends the body, once the request is answered: the server reads the rest, and no endpoint may take for whole what lacks that.
func (b *onceBody) cut() {
	if b != nil {
		b.over.Store(true)
	}
}
