package gateway

import (
	"bytes"
	"strings"
	"time"
)

// OpensRoute reports whether one of KeyBody.Routes means the route: its id, or the beginning of it and a *.
func OpensRoute(pattern, route string) bool {
	beginning, open := strings.CutSuffix(pattern, "*")
	return pattern == route || open && strings.HasPrefix(route, beginning)
}

// DecodeKey is Decode of a key's body, several times as fast for one in the form of Encode: a data plane may have a million.
func DecodeKey(body []byte) (KeyBody, error) {
	if b, ok := decodeKey(body); ok {
		return b, nil
	}
	var b KeyBody
	err := Decode(body, &b)
	return b, err
}

// decodeKey reports false for whatever is not in canonical form, which is for encoding/json to read or to refuse.
func decodeKey(text []byte) (b KeyBody, ok bool) {
	rest, ok := bytes.CutPrefix(text, []byte("{"))
	if !ok {
		return b, false
	}
	if value, after, ok := cutPlain(rest, `"consumer":"`); ok {
		b.Consumer = string(value)
		if rest, ok = bytes.CutPrefix(after, []byte(",")); !ok {
			return b, false
		}
	}
	hash, rest, ok := cutPlain(rest, `"hash":"`)
	if !ok {
		return b, false
	}
	b.Hash = string(hash)
	if after, has := bytes.CutPrefix(rest, []byte(`,"scopes":[`)); has {
		if b.Scopes, rest, ok = cutList(after); !ok {
			return b, false
		}
	}
	if after, has := bytes.CutPrefix(rest, []byte(`,"routes":[`)); has {
		if b.Routes, rest, ok = cutList(after); !ok {
			return b, false
		}
	}
	if b.Created, rest, ok = cutTime(rest, `,"created":`); !ok {
		return b, false
	}
	if string(rest) == "}" {
		return b, true
	}
	expires, rest, ok := cutTime(rest, `,"expires":`)
	b.Expires = &expires
	return b, ok && string(rest) == "}"
}

// cutList reads "A","B"] where none needs an escape.
func cutList(text []byte) (list []string, rest []byte, ok bool) {
	for {
		value, rest, ok := cutPlain(text, `"`)
		if !ok || len(rest) == 0 {
			return nil, nil, false
		}
		list = append(list, string(value))
		switch text = rest[1:]; rest[0] {
		case ']':
			return list, text, true
		case ',':
		default:
			return nil, nil, false
		}
	}
}

// cutTime reads a key and the time after it.
func cutTime(text []byte, key string) (t time.Time, rest []byte, ok bool) {
	text, ok = bytes.CutPrefix(text, []byte(key))
	if !ok {
		return t, nil, false
	}
	value, rest, ok := cutPlain(text, `"`)
	if !ok {
		return t, nil, false
	}
	return t, rest, t.UnmarshalJSON(text[:len(value)+2]) == nil
}
