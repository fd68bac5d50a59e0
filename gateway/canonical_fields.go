package gateway

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// rule returns a field's value as it counts; nil if it says nothing: it is what the gateway assumes, or sets by itself.
type rule func(value any) any

// rules are those of an object's fields, by name. A field without a rule counts as it is, also one that nobody knows.
type rules map[string]rule

// fieldRules say what in the bodies of the bundled gateway makes no difference to it. Times of making count for nothing: a
// key is known by its id and hash, and a revocation of today is as good as one of yesterday. The time when a key expires counts.
var fieldRules = map[Kind]rules{
	Route: {
		"hosts": hosts, "methods": set, "scopes": set, "headers": unlessEmpty, "auth": unless("", AuthKey), "spec": unless(""),
		"timeout": duration(0), "limit": limit, "max_body": unlessNumber("0"),
		"allow_from": networks, "deny_from": networks, "min_body_rate": unlessNumber("0"),
		"breaker": breaker, "bulkhead": bulkhead, "hedge_after": duration(0),
		"match": match, "priority": unlessNumber("0"), "validate": unlessFalse,
	},
	Upstream: {
		"endpoints": endpoints, "balance": unless("", RoundRobin), "health": health, "retries": unlessNumber("0", "2"),
		"connect_timeout": duration(0, time.Second), "timeout": duration(0, 30*time.Second), "outlier": outlier,
		"all_unhealthy": unless("", FailClosed), "slow_start": duration(0), "retry_budget": unlessNumber("0", "20"),
		"total_timeout": duration(0), "idle_timeout": duration(0), "breaker": breaker, "bulkhead": bulkhead, "hedge_after": duration(0),
	},
	Consumer:   {"name": unless("")},
	Key:        {"consumer": unless(""), "scopes": set, "routes": set, "hash": lower, "created": never, "expires": instant},
	Revocation: {"at": never, "reason": unless(""), "effective": instant, "successor": unless("")},
}

func (r rules) apply(fields map[string]any) {
	for name, as := range r {
		value, there := fields[name]
		if !there {
			continue
		}
		if value != nil { // null is as good as nothing to the gateway
			value = as(value)
		}
		if fields[name] = value; value == nil {
			delete(fields, name)
		}
	}
}

func never(any) any { return nil }

func lower(value any) any {
	if text, ok := value.(string); ok {
		return strings.ToLower(text)
	}
	return value
}

// unless drops the texts that mean the same as nothing.
func unless(defaults ...string) rule {
	return func(value any) any {
		if text, ok := value.(string); ok && slices.Contains(defaults, text) {
			return nil
		}
		return value
	}
}

// unlessNumber drops the numbers, in their canonical spelling, that mean the same as nothing.
func unlessNumber(defaults ...json.Number) rule {
	return func(value any) any {
		if n, ok := value.(json.Number); ok && slices.Contains(defaults, n) {
			return nil
		}
		return value
	}
}

func unlessFalse(value any) any {
	if value == false {
		return nil
	}
	return value
}

// duration drops those that mean the same as nothing, and spells the others in one way.
func duration(defaults ...time.Duration) rule {
	return func(value any) any {
		text, ok := value.(string)
		d, err := time.ParseDuration(text)
		switch {
		case !ok || err != nil:
			return value
		case slices.Contains(defaults, d):
			return nil
		}
		return d.String()
	}
}

// instant spells a time in UTC.
func instant(value any) any {
	text, ok := value.(string)
	t, err := time.Parse(time.RFC3339Nano, text)
	if !ok || err != nil {
		return value
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// unlessEmpty drops a list or an object that holds nothing.
func unlessEmpty(value any) any {
	switch v := value.(type) {
	case []any:
		if len(v) == 0 {
			return nil
		}
	case map[string]any:
		if len(v) == 0 {
			return nil
		}
	}
	return value
}

// set sorts a list of texts and drops what is there twice. An empty one says nothing.
func set(value any) any {
	list, ok := value.([]any)
	if !ok || slices.ContainsFunc(list, func(item any) bool { _, isText := item.(string); return !isText }) {
		return value
	}
	slices.SortFunc(list, func(a, b any) int { return cmp.Compare(a.(string), b.(string)) })
	return unlessEmpty(slices.Compact(list))
}

// hosts is set of host names as requests are matched with them.
func hosts(value any) any {
	if list, ok := value.([]any); ok {
		for i, item := range list {
			if host, isText := item.(string); isText && !strings.HasSuffix(host, "..") {
				list[i] = strings.ToLower(strings.TrimSuffix(host, "."))
			}
		}
	}
	return set(value)
}

// endpoints are taken in turn, or by priority: their order says nothing, but one that is there twice gets twice as much. No
// endpoints at all say something: 503.
func endpoints(value any) any {
	list, ok := value.([]any)
	if !ok {
		return value
	}
	for _, item := range list {
		if fields, isObject := item.(map[string]any); isObject {
			rules{"priority": unlessNumber("0"), "weight": unlessNumber("0", "1")}.apply(fields)
		}
	}
	slices.SortFunc(list, func(a, b any) int { return bytes.Compare(Encode(a), Encode(b)) })
	return list
}

func limit(value any) any {
	if fields, ok := value.(map[string]any); ok {
		rules{"burst": unlessNumber("0"), "per": unless("", PerKey), "mode": unless("", LimitRefuse), "max_wait": duration(0),
			"shared": unlessFalse, "on_loss": unless("", LossLocal)}.apply(fields)
	}
	return value
}

func match(value any) any {
	if fields, ok := value.(map[string]any); ok {
		rules{"headers": unlessEmpty, "query": unlessEmpty, "params": unlessEmpty}.apply(fields)
	}
	return unlessEmpty(value)
}

// outlier says something even if it is empty: that there is one.
func outlier(value any) any {
	if fields, ok := value.(map[string]any); ok {
		rules{"failures": unlessNumber("0", "3"), "ejection": duration(0, time.Second), "max_ejected": unlessNumber("0", "50")}.apply(fields)
	}
	return value
}

// breaker says something even if it is empty: that there is one.
func breaker(value any) any {
	if fields, ok := value.(map[string]any); ok {
		rules{"failures": unlessNumber("0", "5"), "ratio": unlessNumber("0", "50"), "window": duration(0, 10*time.Second),
			"open_for": duration(0, 5*time.Second), "half_open": unlessNumber("0", "1")}.apply(fields)
	}
	return value
}

func bulkhead(value any) any {
	if fields, ok := value.(map[string]any); ok {
		rules{"queue": unlessNumber("0"), "wait": duration(0, time.Second)}.apply(fields)
		if _, waits := fields["queue"]; !waits {
			delete(fields, "wait")
		}
	}
	return value
}

// health without a path is no check, whatever else it says. Its timeout is by default its interval.
func health(value any) any {
	fields, ok := value.(map[string]any)
	if !ok {
		return value
	}
	rules{"path": unless(""), "interval": duration(0, time.Second), "timeout": duration(0), "unhealthy": unlessNumber("0", "2"),
		"healthy": unlessNumber("0", "1")}.apply(fields)
	if cmp.Or(asText(fields["interval"]), time.Second.String()) == asText(fields["timeout"]) {
		delete(fields, "timeout")
	}
	if _, checks := fields["path"]; !checks {
		for _, name := range []string{"interval", "timeout", "unhealthy", "healthy"} {
			delete(fields, name)
		}
	}
	return unlessEmpty(fields)
}

func asText(value any) string {
	s, _ := value.(string)
	return s
}
