package proxy

import (
	"net/http"
	"net/textproto"
	"slices"
	"strings"
)

// readHere are headers that are meant for the gateway, which sends its own: a client cannot have it forget what a trusted proxy says.
var readHere = []string{"Upgrade", "Te", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded"}

// dropForHop drops what is for this connection only, as the Connection header says (RFC 9110, section 7.6.1). No endpoint gets to see it, so
// that no route must be chosen by it, and no request be as its specification says because of it.
func dropForHop(header http.Header) {
	for _, list := range header["Connection"] {
		for name := range strings.SplitSeq(list, ",") {
			name = textproto.CanonicalMIMEHeaderKey(textproto.TrimString(name))
			if !slices.Contains(readHere, name) {
				delete(header, name)
			}
		}
	}
}
