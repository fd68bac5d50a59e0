package backup

import (
	"context"
	"io"
	"slices"
	"sync"
	"time"
)

// promptFirst puts the copies last that are late.
func promptFirst(copies []Copy) []Copy {
	sorted := slices.Clone(copies)
	slices.SortStableFunc(sorted, func(a, b Copy) int { return boolToInt(a.hearing.isLate(a)) - boolToInt(b.hearing.isLate(b)) })
	return sorted
}

// hedge is how long a copy may say nothing before the next one is asked as well.
const hedge = 2 * time.Second

// question is what a copy was asked, and whether it has begun to answer.
type question struct {
	copy  Copy
	asked time.Time
	heard chan struct{}
}

func (q *question) unheard() bool {
	select {
	case <-q.heard:
		return false
	default:
		return true
	}
}

// inTurn asks the copies in their order until take has enough: the next one when the one before has answered, or has said
// nothing for a while. take is told of one answer at a time.
func inTurn[T any](ctx context.Context, copies []Copy, limit time.Duration, do func(context.Context, Copy) (T, error), take func(answer[T]) (enough bool)) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	rest, answers := promptFirst(copies), make(chan answer[T], len(copies))
	var open []*question
	var last *question
	ask := func() {
		q := &question{rest[0], time.Now(), make(chan struct{})}
		rest, open, last = rest[1:], append(open, q), q
		c := q.copy
		c.Location = audible{c.Location, sync.OnceFunc(func() { close(q.heard) })}
		go func() { answers <- onOne(ctx, c, limit, do) }()
	}
	for len(open)+len(rest) > 0 {
		if len(open) == 0 {
			ask()
		}
		var impatient <-chan time.Time
		heard := last.heard
		if len(rest) > 0 && last.unheard() {
			impatient = time.After(time.Until(last.asked.Add(hedge)))
		} else {
			heard = nil
		}
		select {
		case a := <-answers:
			open = slices.DeleteFunc(open, func(q *question) bool { return q.copy.Name == a.copy.Name })
			if take(a) {
				noteLate(open)
				return
			}
			if len(rest) > 0 {
				ask()
			}
		case <-heard:
		case <-impatient:
			ask()
		}
	}
}

// noteLate notes who has still said nothing when another one has given what was wanted.
func noteLate(open []*question) {
	for _, q := range open {
		if q.unheard() && time.Since(q.asked) >= hedge {
			q.copy.hearing.noteLate(q.copy)
		}
	}
}

// audible is a Location that tells when it gives the first byte.
type audible struct {
	Location
	heard func()
}

func (a audible) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	r, err := a.Location.Get(ctx, name)
	if err != nil {
		return nil, err
	}
	return &audibleBody{r, a.heard}, nil
}

type audibleBody struct {
	io.ReadCloser
	heard func()
}

func (b *audibleBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.heard()
	}
	return n, err
}

// poll asks all copies at once what they vote for. As soon as most of them agree, the others have only a little time left: they
// cannot change what comes of it.
func poll(ctx context.Context, copies []Copy, ask func(context.Context, Copy) vote) map[string]vote {
	type said struct {
		name string
		vote vote
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ballots := make(chan said, len(copies))
	for _, c := range copies {
		go func() { ballots <- said{c.Name, ask(ctx, c)} }()
	}
	votes, count := map[string]vote{}, map[vote]int{}
	var closing <-chan time.Time
	for missing := copies; len(missing) > 0; {
		if 2*max(count[ours], count[foreign]) > len(copies) {
			if !slices.ContainsFunc(missing, func(c Copy) bool { return !c.hearing.isLate(c) }) {
				break
			}
			if closing == nil {
				closing = time.After(hedge)
			}
		}
		select {
		case b := <-ballots:
			votes[b.name] = b.vote
			count[b.vote]++
			missing = slices.DeleteFunc(slices.Clone(missing), func(c Copy) bool { return c.Name == b.name })
		case <-closing:
			for _, c := range missing {
				c.hearing.noteLate(c)
			}
		}
	}
	return votes
}
