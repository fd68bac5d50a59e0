package proxy

import (
	"net/url"
	"strings"
)

// query is that of a request, read once, however many routes ask about it: who sends it need not show a key before.
type query struct {
	read      bool
	malformed bool
	pairs     int
	few       [4]pair // the first ones, which take no allocation
	more      []pair
}

type pair struct{ name, value string }

func (q *query) pair(i int) *pair {
	if i < len(q.few) {
		return &q.few[i]
	}
	return &q.more[i-len(q.few)]
}

// parse reads the query as net/url does, but takes nothing that is malformed.
func (q *query) parse(raw string) {
	q.read = true
	for raw != "" && !q.malformed {
		var text string
		text, raw, _ = strings.Cut(raw, "&")
		name, value, _ := strings.Cut(text, "=")
		name, bad := url.QueryUnescape(name)
		value, worse := url.QueryUnescape(value)
		q.malformed = bad != nil || worse != nil || strings.Contains(text, ";")
		q.add(pair{name, value})
	}
}

func (q *query) add(p pair) {
	if q.pairs < len(q.few) {
		q.few[q.pairs] = p
	} else {
		q.more = append(q.more, p)
	}
	q.pairs++
}
