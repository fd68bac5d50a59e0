package fleet

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Params say how much of a fault, where its kind has a measure; Kinds says which kind takes which. A zero one is not set.
type Params struct {
	Delay  time.Duration `yaml:"delay,omitempty" json:"delay_ns,omitempty"`   // that is added, in each direction
	Jitter time.Duration `yaml:"jitter,omitempty" json:"jitter_ns,omitempty"` // the delay varies by up to so much, up and down
	Every  time.Duration `yaml:"every,omitempty" json:"every_ns,omitempty"`   // from one time to the next
	Offset time.Duration `yaml:"offset,omitempty" json:"offset_ns,omitempty"` // of a clock: fast, or slow if negative
	Share  float64       `yaml:"share,omitempty" json:"share,omitempty"`      // above 0, at most 1
	Rate   int64         `yaml:"rate,omitempty" json:"rate,omitempty"`        // per second: bytes, or requests
	Count  int64         `yaml:"count,omitempty" json:"count,omitempty"`      // of processes, connections, retries, backups
	Bytes  int64         `yaml:"bytes,omitempty" json:"bytes,omitempty"`      // of memory
	Status int           `yaml:"status,omitempty" json:"status,omitempty"`    // of HTTP
	Mode   string        `yaml:"mode,omitempty" json:"mode,omitempty"`        // which way, if the kind has several
	Peer   Selector      `yaml:"peer,omitempty" json:"peer,omitzero"`         // the other side; empty is everybody
	Seed   uint64        `yaml:"seed,omitempty" json:"seed,omitempty"`        // of what is random
}

// param is one field of Params: its value as a number, and what it may be.
type param struct {
	name      string
	set       bool
	value     float64
	low, high float64
	bounds    string
}

func (p Params) list(k Kind) []param {
	duration := func(name string, d, low, high time.Duration) param {
		return param{name, d != 0, float64(d), float64(low), float64(high), fmt.Sprintf("from %s to %s", low, high)}
	}
	number := func(name string, n, low, high int64) param {
		return param{name, n != 0, float64(n), float64(low), float64(high), fmt.Sprintf("from %d to %d", low, high)}
	}
	return []param{
		duration("delay", p.Delay, time.Millisecond, time.Minute),
		duration("jitter", p.Jitter, time.Microsecond, max(p.Delay, time.Microsecond)),
		duration("every", p.Every, 100*time.Millisecond, 10*time.Minute),
		duration("offset", p.Offset, -24*time.Hour, 24*time.Hour),
		{"share", p.Share != 0, p.Share, 0.001, 1, "from 0.001 to 1"},
		number("rate", p.Rate, 1, 10_000_000_000),
		number("count", p.Count, 1, 100_000),
		number("bytes", p.Bytes, 1<<20, 1<<40),
		number("status", int64(p.Status), 400, 599),
		{"mode", p.Mode != "", float64(slices.Index(k.Modes, p.Mode)), 0, float64(len(k.Modes)) - 1, "one of " + strings.Join(k.Modes, ", ")},
		{"peer", p.Peer != Selector{}, 0, 0, 0, ""},
		{"seed", p.Seed != 0, 0, 0, 0, ""},
	}
}

// Check reports what of the parameters does not go with the kind: for each, the name of the parameter, or "" for a kind that
// needs another, and what is wrong. Such a fault cannot be injected by any driver.
func (p Params) Check(kind FaultKind, wrong func(name, problem string)) {
	k, ok := KindOf(kind)
	if !ok {
		wrong("", fmt.Sprintf("there is no fault %q", kind))
		return
	}
	takes := append(slices.Clone(k.Needs), k.Takes...)
	for _, param := range p.list(k) {
		switch needed := slices.Contains(k.Needs, param.name); {
		case !param.set && needed:
			wrong("", fmt.Sprintf("fault %s needs %s", kind, param.name))
		case !param.set:
		case len(takes) == 0:
			wrong(param.name, fmt.Sprintf("fault %s takes no parameters", kind))
		case !slices.Contains(takes, param.name):
			wrong(param.name, fmt.Sprintf("fault %s takes only %s", kind, strings.Join(takes, ", ")))
		case param.value < param.low || param.value > param.high:
			wrong(param.name, "must be "+param.bounds)
		}
	}
}

// Err returns the first of what Check reports.
func (p Params) Err(kind FaultKind) (err error) {
	p.Check(kind, func(name, problem string) {
		if err == nil {
			err = fmt.Errorf("%s", strings.TrimPrefix(name+": "+problem, ": "))
		}
	})
	return err
}
