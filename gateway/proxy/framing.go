package proxy

import (
	"bytes"
	"strconv"
)

// framing follows the bytes of one connection of HTTP/1 from request to request, and finds those of which two servers may not
// agree where they end, or whom they are for: by that a request is smuggled past a gateway (RFC 9112, sections 5.2, 6.1, 11.2; RFC
// 9110, sections 7.2, 8.6). net/http would make sense of them, and not tell.
type framing struct {
	skip uint64 // bytes of a body, or of a chunk and its end, that come before part
	part part
	line []byte // the beginning of a line whose end has not come
	head head
}

// part is what comes next.
type part int

const (
	requestLine part = iota
	fieldLine
	chunkSize
	trailerLine
	unknown // the server will refuse what came, and close
)

// head is what the header of a request says about its framing.
type head struct {
	old                      bool // HTTP/1.0
	hosts, lengths, codings  int
	length                   uint64
	lengthKnown, codingKnown bool
}

// longestLine is beyond what the server reads of a header.
const longestLine = 1 << 20

// scan reads on. It returns where in p the line ends that shows a request to be ambiguous, or -1.
func (f *framing) scan(p []byte) int {
	for at := 0; at < len(p) && f.part != unknown; {
		if f.skip > 0 {
			passed := min(f.skip, uint64(len(p)-at))
			f.skip -= passed
			at += int(passed)
			continue
		}
		end := bytes.IndexByte(p[at:], '\n')
		if end < 0 {
			f.hold(p[at:])
			return -1
		}
		line := p[at : at+end]
		if len(f.line) > 0 {
			line = append(f.line, line...)
			f.line = line[:0]
		}
		if !f.take(bytes.TrimSuffix(line, []byte("\r"))) {
			return at + end
		}
		at += end + 1
	}
	return -1
}

// hold keeps the beginning of a line.
func (f *framing) hold(begun []byte) {
	if f.line = append(f.line, begun...); len(f.line) > longestLine {
		f.part, f.line = unknown, nil
	}
}

// take reads a line without its end; false: the request is ambiguous.
func (f *framing) take(line []byte) bool {
	switch f.part {
	case requestLine:
		f.begin(line)
	case fieldLine:
		if len(line) == 0 {
			return f.decide()
		}
		return f.head.take(line)
	case chunkSize:
		f.beginChunk(line)
	case trailerLine:
		if len(line) == 0 {
			f.part = requestLine
		}
	}
	return true
}

func (f *framing) begin(line []byte) {
	major, minor, _ := bytes.Cut(line[bytes.LastIndexByte(line, ' ')+1:], []byte("."))
	switch {
	case len(line) == 0: // is skipped
	case string(major) == "HTTP/1" && len(minor) == 1:
		f.part, f.head = fieldLine, head{old: minor[0] == '0'}
	default:
		f.part = unknown
	}
}

// take reads a line of the header; false: it goes on with the line before, which some servers take for a field of its own.
func (h *head) take(line []byte) bool {
	if line[0] == ' ' || line[0] == '\t' {
		return false
	}
	name, value, _ := bytes.Cut(line, []byte(":"))
	switch {
	case isField(name, "Host"):
		h.hosts++
	case isField(name, "Content-Length"):
		h.lengths++
		n, err := strconv.ParseUint(string(bytes.Trim(value, " \t")), 10, 63)
		h.length, h.lengthKnown = n, err == nil
	case isField(name, "Transfer-Encoding"):
		h.codings++
		h.codingKnown = bytes.EqualFold(bytes.Trim(value, " \t"), []byte("chunked"))
	}
	return true
}

func isField(name []byte, field string) bool { return bytes.EqualFold(name, []byte(field)) }

// decide finds where the body ends, once the header is whole; false: it is not sure.
func (f *framing) decide() bool {
	h := f.head
	if h.hosts > 1 || h.lengths > 1 || h.codings > 0 && (h.lengths > 0 || h.old) {
		return false
	}
	switch {
	case h.codings == 1 && h.codingKnown:
		f.part = chunkSize
	case h.codings > 0, h.lengths > 0 && !h.lengthKnown:
		f.part = unknown
	default:
		f.part, f.skip = requestLine, h.length
	}
	return true
}

func (f *framing) beginChunk(line []byte) {
	size, _, _ := bytes.Cut(line, []byte(";"))
	n, err := strconv.ParseUint(string(bytes.TrimRight(size, " \t")), 16, 63)
	switch {
	case err != nil:
		f.part = unknown
	case n == 0:
		f.part = trailerLine
	default:
		f.skip = n + uint64(len("\r\n"))
	}
}
