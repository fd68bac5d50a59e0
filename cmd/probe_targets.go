package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"gwdr/drills"
	"gwdr/probes"
)

// maxRate bounds the attempts a second of a series: more is a load test.
const maxRate = 10000

func (o *probeOptions) check() error {
	switch {
	case !(o.Rate > 0 && o.Rate <= maxRate):
		return fmt.Errorf("--rate %v is not between 0 and %d attempts a second", o.Rate, maxRate)
	case o.For < 0:
		return fmt.Errorf("--for %s is not a time to measure for, as 30s", o.For)
	case o.Target < 0:
		return fmt.Errorf("--target %s is not a time to judge by, as 30s", o.Target)
	case o.Timeout <= 0 || o.Baseline <= 0 || o.StableFor <= 0:
		return errors.New("--timeout, --baseline and --stable-for must be positive")
	case math.IsNaN(o.SLO) || o.SLO < 0 || o.SLO >= 100:
		return fmt.Errorf("--slo %v is not a percentage below 100", o.SLO)
	case o.Host != "" && !httpguts.ValidHostHeader(o.Host):
		return fmt.Errorf("--host %q is no name of a host", o.Host)
	case o.For > 0 && o.Target > 0 && o.For < o.Baseline+o.StableFor:
		return fmt.Errorf("--for %s is too short to judge anything: the baseline takes %s, and an outage is over %s after its end",
			o.For, o.Baseline, o.StableFor)
	}
	return checkAddress("--metrics", o.Metrics)
}

// shortFor returns what somebody should know who ends a measurement before its baseline is over, or "".
func shortFor(p drills.WatchPlan) string {
	if p.For == 0 || p.For > p.Baseline {
		return ""
	}
	return fmt.Sprintf("--for %s ends before the baseline of %s is over: nothing was to be broken yet; give a longer --for, or a shorter --baseline",
		p.For, p.Baseline)
}

// watch plans a fresh and a kept-alive series for each URL, and one for the control target. A target whose connections carry one
// attempt each has only a fresh one.
func (o *probeOptions) watch(urls []string, control string, headers map[string]string) (*drills.Watch, error) {
	w := &drills.Watch{Plan: drills.WatchPlan{Baseline: o.Baseline, Stable: o.StableFor, For: o.For, RTO: o.Target, SLO: o.SLO / 100}}
	flags, err := o.flags(headers)
	if err != nil {
		return nil, err
	}
	for i, text := range urls {
		request, target, err := newTarget(text, flags)
		if err != nil {
			return nil, err
		}
		o.add(w, target, request, numbered(len(urls), i))
	}
	if err := checkFlags(flags, w.Plan.Targets); err != nil {
		return nil, err
	}
	request, target, err := newTarget(control, nil)
	if err != nil {
		return nil, fmt.Errorf("--control: %w", err)
	}
	o.addControl(w, target, request)
	return w, nil
}

// numbered is what tells the series of the ith of n URLs from those of the others.
func numbered(n, i int) string {
	if n == 1 {
		return ""
	}
	return strconv.Itoa(i+1) + " "
}

func hostOnly(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return host
}

// add plans the series of one target, whose names begin with prefix.
func (o *probeOptions) add(w *drills.Watch, t drills.WatchTarget, r probes.Request, prefix string) {
	r.Fresh = true
	o.addSeries(w, r, o.series(prefix+"fresh"))
	if scheme, _ := probes.SchemeOf(t.Kind); scheme.KeepAlive {
		r.Fresh = false
		o.addSeries(w, r, o.series(prefix+"keepalive"))
	}
	w.Plan.Targets = append(w.Plan.Targets, t)
}

func (o *probeOptions) addControl(w *drills.Watch, t drills.WatchTarget, r probes.Request) {
	t.Control, r.Fresh = true, true
	o.addSeries(w, r, probes.ControlSeries("control", o.series("")))
	w.Plan.Targets = append(w.Plan.Targets, t)
}

func (o *probeOptions) series(name string) probes.Series {
	return probes.Series{Name: name, Plane: probes.DataPlane, Interval: time.Duration(float64(time.Second) / o.Rate), Timeout: o.Timeout}
}

// addSeries plans a series of the target that is to be added next.
func (o *probeOptions) addSeries(w *drills.Watch, r probes.Request, s probes.Series) {
	if r.Connects() {
		s.Interval = max(s.Interval, time.Second/probes.MaxFreshRate)
	}
	w.Plan.Series = append(w.Plan.Series, drills.WatchSeries{Series: s, Target: len(w.Plan.Targets), Fresh: r.Fresh})
	w.Probes = append(w.Probes, drills.Probe{Series: s, Run: runProber(s, r)})
	o.requests = append(o.requests, r)
}

// targetURL checks what a person typed, and tells the kind of target. Its errors repeat neither a password nor a query.
func targetURL(text string) (*url.URL, probes.Scheme, error) {
	u, err := url.Parse(text)
	if err != nil {
		if _, _, noScheme := net.SplitHostPort(text); noScheme == nil {
			return nil, probes.Scheme{}, withHint(fmt.Errorf("%s is not a URL: it says not how to ask", text), "http://%s or tcp://%s", text, text)
		}
		return nil, probes.Scheme{}, withHint(errors.New("malformed URL"), "gwdr probe https://HOST/PATH")
	}
	scheme, ok := probes.SchemeOf(u.Scheme)
	switch {
	case u.User != nil:
		return nil, scheme, withHint(fmt.Errorf("%s://%s: credentials in a URL are seen by everybody", u.Scheme, u.Host),
			"--header 'Authorization: Basic env:VARIABLE', with NAME:PASSWORD in base64")
	case !ok:
		var forms []string
		for _, s := range probes.Schemes() {
			forms = append(forms, s.Form)
		}
		return nil, scheme, withHint(fmt.Errorf("%s is not a URL that can be probed", shownURL(u)), "one of %s", strings.Join(forms, ", "))
	case u.Host == "":
		return nil, scheme, fmt.Errorf("%s names no host", shownURL(u))
	}
	return u, scheme, nil
}

// shownURL is the URL without the values of its query, which may be secrets but in a question of DNS.
func shownURL(u *url.URL) string {
	shown := *u
	shown.User, shown.Fragment, shown.RawFragment = nil, "", ""
	if shown.RawQuery != "" && shown.Scheme != "dns" {
		pairs := strings.Split(shown.RawQuery, "&")
		for i, pair := range pairs {
			if name, _, ok := strings.Cut(pair, "="); ok {
				pairs[i] = name + "=***"
			} else {
				pairs[i] = "***"
			}
		}
		shown.RawQuery = strings.Join(pairs, "&")
	}
	return shown.String()
}

// probeHeaders reads --header. Values may be secrets: no error repeats one.
func (a *app) probeHeaders(texts []string) (map[string]string, error) {
	headers := map[string]string{}
	for _, text := range texts {
		name, value, ok := strings.Cut(text, ":")
		name, value = textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name)), strings.TrimSpace(value)
		if !ok || !httpguts.ValidHeaderFieldName(name) {
			return nil, usageError(errors.New("--header is not of the form 'NAME: VALUE'"))
		}
		if name == "Host" {
			return nil, withHint(usageError(errors.New("--header cannot set Host")), "--host NAME does")
		}
		if _, twice := headers[name]; twice {
			return nil, usageError(fmt.Errorf("--header %s is there twice", name))
		}
		value, err := a.headerValue(name, value)
		if err != nil {
			return nil, usageError(fmt.Errorf("--header %s: %w", name, err))
		}
		headers[name] = value
	}
	return headers, nil
}

// headerValue returns the value with its last word, @FILE or env:VARIABLE, replaced by what that holds.
func (a *app) headerValue(name, value string) (string, error) {
	at := strings.LastIndexByte(value, ' ') + 1
	last := value[at:]
	switch {
	case strings.HasPrefix(last, "@"):
		content, err := os.ReadFile(last[1:])
		if err != nil {
			return "", err
		}
		if secretHeader(name) {
			a.warnReadable(last[1:])
		}
		value = value[:at] + strings.TrimSpace(string(content))
	case strings.HasPrefix(last, "env:"):
		secret := a.Env(last[len("env:"):])
		if secret == "" {
			return "", fmt.Errorf("the variable %s is not set", last[len("env:"):])
		}
		value = value[:at] + strings.TrimSpace(secret)
	case secretHeader(name):
		return "", errors.New("a secret on the command line is seen by everybody: put it into a file, and write @FILE, or into a variable, and write env:VARIABLE")
	}
	if !httpguts.ValidHeaderFieldValue(value) {
		return "", errors.New("the value holds what no header can")
	}
	return value, nil
}

// secretHeader reports whether the values of such a header are secrets as a rule.
func secretHeader(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc([]string{"authorization", "cookie", "key", "token", "secret", "password"},
		func(part string) bool { return strings.Contains(name, part) })
}

// controlTarget is what no fault touches.
type controlTarget struct {
	url   string
	close func()
}

// startControl returns the control target at the URL or, if there is none, serves one from this process.
func startControl(u string) (controlTarget, error) {
	if u != "" {
		return controlTarget{u, func() {}}, nil
	}
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return controlTarget{}, fmt.Errorf("serve a control target: %w", err)
	}
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "ok\n") // a prober that is gone does not mind
	})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l) // until it is closed
	}()
	return controlTarget{"http://" + l.Addr().String() + "/", func() {
		_ = server.Close()
		<-done
	}}, nil
}
