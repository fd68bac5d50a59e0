package vantage

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"
)

// errForbidden is wrapped by errors that say the agent is not allowed to do what was asked.
var errForbidden = errors.New("not allowed by the agent")

// maxWaiting bounds the connections to a target that does not answer: the attempts of so many seconds at MaxRate.
const maxWaiting = 5

// admit refuses a plan that is more, or goes elsewhere, than the agent allows.
func (a *Agent) admit(p *Plan) error {
	if rate := rateOf(p); rate > a.MaxRate {
		return fmt.Errorf("%w: %.4g attempts a second, %.4g is the most", errForbidden, rate, a.MaxRate)
	}
	if waiting, most := waitingOf(p), maxWaiting*a.MaxRate; waiting > most {
		return fmt.Errorf("%w: %.4g attempts that wait for an answer at once, %.4g are the most", errForbidden, waiting, most)
	}
	if p.For > a.MaxFor {
		return fmt.Errorf("%w: to probe for %s, %s is the longest", errForbidden, p.For, a.MaxFor)
	}
	for _, s := range p.Series {
		if s.Target == nil {
			continue
		}
		u, err := url.Parse(s.Target.URL)
		if err != nil {
			return errors.New("not the URL of a target")
		}
		if !a.allows(u) {
			return fmt.Errorf("%w: %s is none of the hosts that it may probe", errForbidden, u.Host)
		}
	}
	return nil
}

// rateOf is how many attempts a second a plan makes at its targets.
func rateOf(p *Plan) float64 {
	rate := 0.0
	for _, s := range p.Series {
		if s.Target != nil {
			rate += float64(time.Second) / float64(s.Interval)
		}
	}
	return rate
}

// waitingOf is how many attempts of a plan wait for an answer at once, if none comes.
func waitingOf(p *Plan) float64 {
	waiting := 0.0
	for _, s := range p.Series {
		if s.Target == nil {
			continue
		}
		waiting += float64(s.Timeout) / float64(s.Interval)
	}
	return waiting
}

// allows reports whether one of Allow covers the host of u: by its name and port, by its name, or by a domain above it.
func (a *Agent) allows(u *url.URL) bool {
	if len(a.Allow) == 0 {
		return true
	}
	host := strings.ToLower(u.Hostname())
	for _, rule := range a.Allow {
		rule = strings.ToLower(rule)
		if name, port, err := net.SplitHostPort(rule); err == nil {
			if port != portOf(u) {
				continue
			}
			rule = name
		}
		rule = strings.Trim(rule, "[]")
		if domain, wild := strings.CutPrefix(rule, "*."); wild && strings.HasSuffix(host, "."+domain) || rule == host {
			return true
		}
	}
	return false
}

// portOf is the port that u means.
func portOf(u *url.URL) string {
	if port := u.Port(); port != "" {
		return port
	}
	switch u.Scheme {
	case "https", "grpcs", "wss":
		return "443"
	case "dns":
		return "53"
	}
	return "80"
}
