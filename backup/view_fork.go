package backup

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"gwdr/internal/sshsig"
)

// errStrayed is the problem of a location with another writer's log where most have ours.
var errStrayed = errors.New("two writers continued the log, and most locations have the other one's: what this one leads to does not count")

// judgeForks finds the copies that hold the log of a writer whom few follow. Nothing that such a copy gives is the newest, nor
// does it keep what others do. An older point of ours that it may have is not looked for: a restore from all copies does.
func judgeForks(ctx context.Context, views []*view, trusted sshsig.Trusted, within time.Duration) {
	var copies []Copy
	for _, v := range views {
		if v.err == nil {
			copies = append(copies, v.copy)
		}
	}
	if alike(views) {
		return
	}
	ctx, cancel := context.WithTimeoutCause(ctx, within, ErrSilent)
	defer cancel()
	forks := NewForks(copies, trusted)
	for _, v := range views {
		if v.whole == nil {
			continue
		}
		if stray, most := forks.Stray(ctx, *v.whole); stray {
			v.problem(v.whole.Object(), fmt.Errorf("%w: %s", errStrayed, strings.Join(most, ", ")))
			v.strayed = true
			v.newest, v.lacks, v.whole, v.tail, v.log = nil, nil, nil, nil, nil
			continue
		}
		end := *v.whole
		end.Log = v.end()
		if stray, most := forks.Stray(ctx, end); stray {
			v.problem(lineageRoot(end.Lineage)+segmentName(end.Log.Seq), fmt.Errorf("%w: %s", errStrayed, strings.Join(most, ", ")))
			v.tail, v.log = nil, nil
		}
	}
}

// end is where the log stands that the copy has without a break.
func (v *view) end() Position {
	if v.tail != nil {
		return v.tail.position()
	}
	return v.whole.Log
}

// alike reports whether what was read shows already that the copies have one log, as far as each goes: nothing more need be
// asked then.
func alike(views []*view) bool {
	longest := map[string]*view{}
	for _, v := range views {
		if v.whole != nil && (longest[v.whole.Lineage] == nil || v.end().Seq > longest[v.whole.Lineage].end().Seq) {
			longest[v.whole.Lineage] = v
		}
	}
	for _, v := range views {
		if v.whole != nil && !longest[v.whole.Lineage].passes(v.end()) {
			return false
		}
	}
	return true
}

// passes reports whether the log after the copy's newest whole point is known to go through the position.
func (v *view) passes(at Position) bool {
	if v.end() == at || v.whole.Log == at {
		return true
	}
	for _, s := range v.log {
		if s.Seq == at.Seq+1 {
			return s.Previous == at.SHA256
		}
	}
	return false
}
