package process

import (
	"context"
	"io"
	"net"
	"strings"
	"time"
)

// upload sends about size bytes in requests, one after the other without waiting, and returns how long it took
// until the answer to the last one began to end the connection, and how much was sent. A server reads all of a request
// before it answers, so the bytes have arrived by then.
func upload(ctx context.Context, addr string, size int64, limit time.Duration) (time.Duration, int64, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return 0, 0, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	start := time.Now()
	drained := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, conn)
		drained <- err
	}()
	sent, err := fill(conn, size)
	if err != nil {
		conn.Close()
		<-drained
		return 0, sent, err
	}
	err = <-drained
	return time.Since(start), sent, err
}

// fill writes requests of size bytes together; the last one asks the server to hang up after it.
func fill(conn io.Writer, size int64) (sent int64, err error) {
	kept := strings.Replace(request, "Connection: close\r\n", "", 1) + padding(mostHeaders) + "\r\n"
	for ; size-sent > int64(2*len(kept)); sent += int64(len(kept)) {
		if _, err := io.WriteString(conn, kept); err != nil {
			return sent, err
		}
	}
	last := request + padding(int(size-sent)-len(request)-len("\r\n")) + "\r\n"
	_, err = io.WriteString(conn, last)
	return sent + int64(len(last)), err
}

// mostHeaders is half of what a server of the lab takes at the most.
const mostHeaders = 24 << 10

// padding is a header of n bytes, or none if there is no room for one.
func padding(n int) string {
	const name, end = "X-Padding: ", "\r\n"
	if n <= len(name+end) {
		return ""
	}
	return name + strings.Repeat("x", n-len(name+end)) + end
}
