package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"gwdr/fleet"
	"gwdr/fleet/reach"
)

const (
	lookFor   = 2 * time.Second // how long one look may take
	answerFor = 5 * time.Second // how long a container that was reverted may take until it answers
)

// lookSilent sees as a client that nothing answers any more where the container answered. A paused one still accepts
// connections: only a request shows it.
func (f *Fleet) lookSilent(ctx context.Context, t target) (string, error) {
	if len(t.Answers) == 0 {
		return "the engine says so; it answered at no address that gwdr reaches before either", nil
	}
	at := reach.Answering(ctx, t.Answers)
	switch {
	case len(at) > 0:
		return "", fmt.Errorf("it still answers at %s", strings.Join(at, " and "))
	case ctx.Err() != nil: // nobody waited for an answer
		return "", ctx.Err()
	}
	return "no answer at " + strings.Join(t.Answers, " and "), nil
}

// awaitAnswers waits until the container answers where it did. If it takes longer, that is for the drill to see: it runs.
func (f *Fleet) awaitAnswers(ctx context.Context, t target) {
	if len(reach.Silent(ctx, t.Answers, answerFor)) > 0 {
		f.options.Log.Warn("container runs, and does not answer yet", "container", t.Name)
	}
}

// deaths counts the ends of a container's process since a time of the engine's clock, from its log of events, which holds
// the last few hundred.
func (e *engine) deaths(ctx context.Context, id, since string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	from, err := time.Parse(time.RFC3339Nano, since)
	if err != nil {
		return 0, fmt.Errorf("read time of the engine: %w", err)
	}
	filter, _ := json.Marshal(map[string][]string{"container": {id}, "event": {"die"}}) // never fails
	until := time.Now()                                                                 // gone by when the engine reads it: it does not wait for more
	query := fmt.Sprintf("/v%s/events?since=%d.%09d&until=%d.%09d&filters=%s", e.version, from.Unix(), from.Nanosecond(),
		until.Unix(), until.Nanosecond(), url.QueryEscape(string(filter)))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://docker"+query, nil)
	if err != nil {
		return 0, err
	}
	resp, err := e.http.Do(req)
	if err != nil {
		return 0, fmt.Errorf("%w at %s: %w", errNoEngine, e.host, err)
	}
	defer resp.Body.Close()
	n := 0
	for dec := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)); ; n++ {
		var event struct{ Type string }
		if err := dec.Decode(&event); errors.Is(err, io.EOF) {
			return n, nil
		} else if err != nil {
			return n, fmt.Errorf("read events of the engine: %w", err)
		}
	}
}

// markedFor returns an error unless a fault of this kind is marked for the container.
func (f *Fleet) markedFor(ctx context.Context, id string, kind fleet.FaultKind) error {
	all, err := f.marks(ctx)
	if err != nil {
		return err
	}
	for _, m := range all {
		var u fleet.Undo
		if json.Unmarshal([]byte(m.Labels[markUndo]), &u) != nil || u.Fault.Kind != kind {
			continue
		}
		data, err := decodeUndo(u)
		if err == nil && slices.ContainsFunc(data.Targets, func(t target) bool { return t.ID == id }) {
			return nil
		}
	}
	return fmt.Errorf("no fault %s is in effect", kind)
}

var containerID = regexp.MustCompile(`[0-9a-f]{64}`)

// ownContainers returns the ids of containers that this process may run in, outermost first: the kernel names them in the
// paths of control groups and of what the engine mounts into a container. Outside of any there are none.
func ownContainers() []string {
	var ids []string
	for _, file := range []string{"/proc/self/cgroup", "/proc/self/mountinfo"} {
		text, err := os.ReadFile(file)
		if err == nil {
			ids = append(ids, containersIn(string(text))...)
		}
	}
	return ids
}

// containersIn picks the ids out of such a file. Of mounts, only the engine's own files tell: the layers of images have ids
// like these.
func containersIn(text string) []string {
	var ids []string
	for line := range strings.Lines(text) {
		cgroup := !strings.Contains(line, " - ") // mountinfo has this separator in each line
		if !cgroup && !strings.Contains(line, "/containers/") {
			continue
		}
		ids = append(ids, containerID.FindAllString(line, -1)...)
	}
	return ids
}
