package cmd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/rogpeppe/go-internal/diff"

	"gwdr/gateway"
)

// diffLines bounds the difference of one entity.
const diffLines = 200

// writeDiff writes the difference of an entity's bodies, line by line, with secrets masked.
func writeDiff(w io.Writer, c gateway.Change, paint func(colour, text string) string) {
	if c.Op == gateway.Delete {
		return
	}
	before, after := presentable(c.Entity.Kind, c.Old), presentable(c.Entity.Kind, c.Entity.Body)
	if bytes.Equal(before, after) {
		fmt.Fprintf(w, "    (differs in layout or in what is masked here; %d bytes before, %d after)\n", len(c.Old), len(c.Entity.Body))
		return
	}
	_, text, _ := bytes.Cut(diff.Diff("before", before, "after", after), []byte("@@\n")) // without the names
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	for _, line := range lines[:min(len(lines), diffLines)] {
		switch {
		case strings.HasPrefix(line, "+"):
			line = paint(green, line)
		case strings.HasPrefix(line, "-"):
			line = paint(red, line)
		}
		fmt.Fprintf(w, "    %s\n", line)
	}
	if more := len(lines) - diffLines; more > 0 {
		fmt.Fprintf(w, "    ... %d more lines\n", more)
	}
}

// presentable returns a body as lines that may be shown: JSON indented and masked. Other text is shown only of a spec,
// which is made to be published.
func presentable(k gateway.Kind, body []byte) []byte {
	var value any
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	switch {
	case len(body) == 0:
		return nil
	case json.Valid(body) && decoder.Decode(&value) == nil:
		var b bytes.Buffer
		encoder := json.NewEncoder(&b)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(mask("", value)); err == nil {
			return printableLines(b.String())
		}
	case k == gateway.Spec:
		return printableLines(string(body) + "\n")
	}
	return fmt.Appendf(nil, "(%d bytes that are not JSON)\n", len(body))
}

const masked = "***"

// mask replaces what may be a secret: all under telling names, private keys, and what a URL carries.
func mask(name string, value any) any {
	if secretName(name) && value != nil {
		return masked
	}
	switch v := value.(type) {
	case map[string]any:
		for key := range v {
			v[key] = mask(key, v[key])
		}
	case []any:
		for i := range v {
			v[i] = mask("", v[i])
		}
	case string:
		if strings.Contains(v, "PRIVATE KEY") {
			return masked
		}
		return maskURL(v)
	}
	return value
}

// secretName reports whether a field of this name may hold a secret, rather too often than not.
func secretName(name string) bool {
	name = strings.ToLower(name)
	for _, telling := range []string{"secret", "password", "passwd", "passphrase", "token", "key", "hash", "credential", "auth-", "authorization",
		"cookie", "private", "signature", "salt"} {
		if strings.Contains(name, telling) {
			return true
		}
	}
	return false
}

// maskURL masks who calls, and telling parameters, if text is a URL.
func maskURL(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return text
	}
	query, telling := u.Query(), u.User != nil
	for name := range query {
		if secretName(name) {
			query.Set(name, "xxxxx")
			telling = true
		}
	}
	if !telling {
		return text
	}
	if u.User != nil {
		u.User = url.User("xxxxx")
	}
	u.RawQuery = query.Encode()
	return u.String()
}

// printableLines is printable, but keeps the lines.
func printableLines(text string) []byte {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = printable(strings.TrimSuffix(lines[i], "\r"))
	}
	return []byte(strings.Join(lines, "\n"))
}
