package cmd

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"gwdr/drills"
	"gwdr/probes"
)

// expectOptions are the flags of gwdr probe that say what is sent and what a good answer is like. Each is for those of the
// URLs whose kind has a use for it.
type expectOptions struct {
	Host    string
	Headers []string
	HTTP2   bool
	Send    string
	Status  string
	Wanted  []string
	Body    string
	SHA256  string
	Records []string
}

func (o *expectOptions) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.Host, "host", "", "`name` for the Host header, and for TLS, where the URL has an address")
	f.StringArrayVar(&o.Headers, "header", nil, "`header` for each request to the URLs: 'NAME: VALUE', 'NAME: @FILE', 'NAME: env:VARIABLE'; may be repeated")
	f.BoolVar(&o.HTTP2, "http2", false, "HTTP/2 and nothing else, for https and http URLs (default: HTTP/1.1)")
	f.StringVar(&o.Send, "send", "", "`text` that is sent over TCP first, with \\r and \\n, or @FILE")
	f.StringVar(&o.Status, "expect", "", "`status` of a good answer, as 204, 2xx or 200,404 (default 200); redirects are not followed")
	f.StringArrayVar(&o.Wanted, "expect-header", nil, "`header` of a good answer: 'NAME', 'NAME: VALUE', 'NAME: /REGEX/'; may be repeated")
	f.StringVar(&o.Body, "expect-body", "", "`text` in the body of a good answer, or said over TCP; or /REGEX/")
	f.StringVar(&o.SHA256, "expect-sha256", "", "`hash` of the body of a good answer, in hex")
	f.StringArrayVar(&o.Records, "expect-record", nil, "`record` that DNS must answer, as 192.0.2.7, and no other; may be repeated")
	for _, flag := range []string{"host", "header", "http2", "send", "expect-header", "expect-body", "expect-sha256", "expect-record"} {
		completeFlag(cmd, flag, cobra.NoFileCompletions)
	}
	completeFlag(cmd, "expect", cobra.FixedCompletions([]string{"200", "2xx", "204", "301", "302", "401", "404"}, cobra.ShellCompDirectiveNoFileComp))
}

// targetFlag is one of them: whom it is for, and what it does.
type targetFlag struct {
	name  string
	field probes.Field
	given bool
	set   func(*probes.Request, *drills.WatchTarget)
}

// flags reads what was given. headers are those of --header, read already.
func (o *expectOptions) flags(headers map[string]string) ([]targetFlag, error) {
	want, err := o.expectation()
	if err != nil {
		return nil, err
	}
	send, err := bytesToSend(o.Send)
	if err != nil {
		return nil, fmt.Errorf("--send: %w", err)
	}
	type (
		request = probes.Request
		target  = drills.WatchTarget
	)
	return []targetFlag{
		{"--host", probes.FieldHost, o.Host != "", func(r *request, t *target) { r.Host, t.Host = o.Host, o.Host }},
		{"--header", probes.FieldHeader, len(headers) > 0, func(r *request, t *target) { r.Header, t.Headers = headers, slices.Sorted(maps.Keys(headers)) }},
		{"--http2", probes.FieldHTTP2, o.HTTP2, func(r *request, t *target) { r.HTTP2, t.HTTP2 = true, true }},
		{"--send", probes.FieldSend, len(send) > 0, func(r *request, t *target) { r.Send, t.SentBytes = send, len(send) }},
		{"--expect", probes.FieldStatus, o.Status != "", o.setStatus},
		{"--expect-header", probes.FieldWanted, len(o.Wanted) > 0, func(r *request, t *target) { r.Want.Header, t.Want.Headers = want.Header, o.Wanted }},
		{"--expect-body", probes.FieldBody, o.Body != "", func(r *request, t *target) {
			r.Want.Contains, r.Want.Match, t.Want.Body = want.Contains, want.Match, o.Body
		}},
		{"--expect-sha256", probes.FieldSHA256, o.SHA256 != "", func(r *request, t *target) { r.Want.SHA256, t.Want.SHA256 = o.SHA256, o.SHA256 }},
		{"--expect-record", probes.FieldRecords, len(o.Records) > 0, func(r *request, t *target) { r.Want.Records, t.Want.Records = o.Records, o.Records }},
	}, nil
}

func (o *expectOptions) setStatus(r *probes.Request, t *drills.WatchTarget) {
	if n, err := strconv.Atoi(o.Status); err == nil {
		r.Expect, t.Expect = n, n
		return
	}
	r.Expect, t.Expect = 0, 0
	r.Want.Status, t.Want.Status = o.Status, o.Status
}

// expectation reads the flags about headers and bodies. What is expected is recorded, so it may be no secret.
func (o *expectOptions) expectation() (want probes.Expectation, err error) {
	if o.Status != "" {
		if err := probes.CheckStatus(o.Status); err != nil {
			return want, fmt.Errorf("--expect: %w", err)
		}
	}
	for _, text := range o.Wanted {
		if name, value, _ := strings.Cut(text, ":"); secretHeader(name) && strings.TrimSpace(value) != "" {
			name = strings.TrimSpace(name)
			return want, withHint(fmt.Errorf("--expect-header %s: what is expected is recorded, and this would be a secret", name),
				"--expect-header %s wants the header, with any value", name)
		}
		if err := want.AddHeader(text); err != nil {
			return want, fmt.Errorf("--expect-header: %w", err)
		}
	}
	if o.Body != "" {
		if err := want.SetBody(o.Body); err != nil {
			return want, fmt.Errorf("--expect-body: %w", err)
		}
	}
	if sum, err := hex.DecodeString(o.SHA256); o.SHA256 != "" && (err != nil || len(sum) != sha256.Size) {
		return want, errors.New("--expect-sha256 is no SHA-256 in hex")
	}
	return want, nil
}

// bytesToSend reads --send: text with the escapes of Go, or @FILE, whose bytes are sent as they are.
func bytesToSend(text string) ([]byte, error) {
	if name, ok := strings.CutPrefix(text, "@"); ok {
		return os.ReadFile(name)
	}
	var send []byte
	for rest := text; rest != ""; {
		r, multibyte, tail, err := strconv.UnquoteChar(rest, 0)
		if err != nil {
			return nil, errors.New(`a backslash that is none of \r, \n, \t, \\ and \xHH`)
		}
		if rest = tail; multibyte {
			send = utf8.AppendRune(send, r)
		} else {
			send = append(send, byte(r))
		}
	}
	return send, nil
}

// newTarget plans what is sent to the URL: of the flags, those that such a target has a use for.
func newTarget(text string, flags []targetFlag) (probes.Request, drills.WatchTarget, error) {
	u, scheme, err := targetURL(text)
	if err != nil {
		return probes.Request{}, drills.WatchTarget{}, err
	}
	r, t := probes.Request{URL: text}, drills.WatchTarget{Kind: scheme.Name, URL: shownURL(u)}
	if scheme.Uses(probes.FieldStatus) {
		r.Expect, t.Expect = http.StatusOK, http.StatusOK
	}
	for _, f := range flags {
		if f.given && scheme.Uses(f.field) {
			f.set(&r, &t)
		}
	}
	if r.Host != "" && scheme.Uses(probes.FieldTLS) {
		r.TLS = &tls.Config{ServerName: hostOnly(r.Host)}
	}
	if err := r.Check(); err != nil {
		return r, t, fmt.Errorf("%s: %w", t.URL, err)
	}
	return r, t, nil
}

// checkFlags returns an error for a flag that no target has a use for: whoever gave it believes that it is heeded.
func checkFlags(flags []targetFlag, targets []drills.WatchTarget) error {
	for _, f := range flags {
		used := func(t drills.WatchTarget) bool {
			s, _ := probes.SchemeOf(t.Kind)
			return s.Uses(f.field)
		}
		if !f.given || slices.ContainsFunc(targets, used) {
			continue
		}
		var names []string
		for _, s := range probes.Schemes() {
			if s.Uses(f.field) {
				names = append(names, s.Name)
			}
		}
		return fmt.Errorf("%s is for URLs of %s, and there is none", f.name, strings.Join(names, ", "))
	}
	return nil
}

// completeTarget offers the beginnings of URLs to the shell.
func completeTarget(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var begins []cobra.Completion
	for _, s := range probes.Schemes() {
		begins = append(begins, cobra.CompletionWithDesc(s.Name+"://", s.Form))
	}
	return begins, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}
