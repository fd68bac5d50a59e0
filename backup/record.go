package backup

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"net/url"
	"strings"

	"gwdr/gateway"
)

// maxRecord bounds the body of one entity, in bytes; gateways bound it lower.
const maxRecord = 256 << 20

// recordName is the name of an entity's record in a pack: <kind>/<id>.json, both escaped as in the path of a URL.
func recordName(r gateway.Ref) string {
	return url.PathEscape(string(r.Kind)) + "/" + url.PathEscape(r.ID) + ".json"
}

// parseRecordName reads what recordName returns, and nothing else: one entity has one name.
func parseRecordName(name string) (gateway.Ref, error) {
	kind, id, _ := strings.Cut(strings.TrimSuffix(name, ".json"), "/")
	k, err := url.PathUnescape(kind)
	if err != nil {
		return gateway.Ref{}, fmt.Errorf("read record name: %w", err)
	}
	i, err := url.PathUnescape(id)
	if err != nil {
		return gateway.Ref{}, fmt.Errorf("read record name: %w", err)
	}
	ref := gateway.Ref{Kind: gateway.Kind(k), ID: i}
	if k == "" || i == "" || recordName(ref) != name {
		return gateway.Ref{}, fmt.Errorf("read record name: %q is none", name)
	}
	return ref, nil
}

// tarBlock is what a tar's members are padded to, in bytes.
const tarBlock = 512

var tarZeros [2 * tarBlock]byte

// appendRecord appends an entity's record to a tar.
func appendRecord(to []byte, name string, body []byte) ([]byte, error) {
	if len(body) > maxRecord {
		return to, fmt.Errorf("write record %s: it has %d bytes, more than %d", name, len(body), maxRecord)
	}
	to, err := appendTarHeader(to, name, int64(len(body)))
	if err != nil {
		return to, fmt.Errorf("write record %s: %w", name, err)
	}
	to = append(to, body...)
	return append(to, tarZeros[:-len(body)&(tarBlock-1)]...), nil
}

// appendTarEnd ends a tar.
func appendTarEnd(to []byte) []byte { return append(to, tarZeros[:]...) }

// appendTarHeader appends the bytes that archive/tar writes for tarHeader. Almost all names are short and plain: their
// header is a template.
func appendTarHeader(to []byte, name string, size int64) ([]byte, error) {
	if len(name) > 100 || size >= 1<<33 || strings.ContainsFunc(name, func(c rune) bool { return c >= 0x80 || c == 0 }) {
		var b bytes.Buffer
		err := tar.NewWriter(&b).WriteHeader(tarHeader(name, size))
		return append(to, b.Bytes()...), err
	}
	at := len(to)
	to = append(to, tarTemplate...)
	header := to[at:]
	copy(header, name)
	for i, n := 134, size; n > 0; i, n = i-1, n>>3 {
		header[i] = '0' + byte(n&7)
	}
	sum := int64(0)
	for _, b := range header {
		sum += int64(b)
	}
	for i := 153; i >= 148; i, sum = i-1, sum>>3 {
		header[i] = '0' + byte(sum&7)
	}
	copy(header[154:], "\x00 ")
	return to, nil
}

// tarTemplate is the ustar header of an empty member without a name, its checksum blank.
var tarTemplate = func() string {
	header := make([]byte, tarBlock)
	copy(header[100:], "0000644\x000000000\x000000000\x0000000000000\x0000000000000\x00        0")
	copy(header[257:], "ustar\x0000")
	copy(header[329:], "0000000\x000000000\x00")
	return string(header)
}()

// readSized reads size bytes. It trusts the size up to a point: what claims to be large must be there before memory is
// spent on it.
func readSized(r io.Reader, size int64) ([]byte, error) {
	if size > 1<<20 {
		body, err := io.ReadAll(io.LimitReader(r, size))
		if err == nil && int64(len(body)) < size {
			err = io.ErrUnexpectedEOF
		}
		return body, err
	}
	body := make([]byte, size)
	_, err := io.ReadFull(r, body)
	return body, err
}
