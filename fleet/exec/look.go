package exec

import (
	"context"
	"strings"
	"time"

	"gwdr/fleet"
	"gwdr/fleet/reach"
)

const answerFor = 2 * time.Second // how long a target that was reverted may take until it answers

// silences reports whether a target must not answer anybody during the fault, so that gwdr can see for itself.
func silences(kind fleet.FaultKind) bool {
	return kind == fleet.Kill || kind == fleet.Pause || kind == fleet.Stop
}

// awaitAnswers waits until the targets answer where they did. If it takes longer, that is for the drill to see: verify and
// list have said that they are well.
func (f *Fleet) awaitAnswers(ctx context.Context, data undoData) {
	if silent := reach.Silent(ctx, data.Answers, answerFor); len(silent) > 0 {
		f.options.Log.Warn("does not answer yet", "url", strings.Join(silent, " "))
	}
}
