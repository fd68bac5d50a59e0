package drills

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Notice tells people, or what watches for them, what a drill is about to do and what becomes of it. It holds no secret.
type Notice struct {
	Schema   string      `json:"schema"` // gwdr/notice/v1
	Event    NoticeEvent `json:"event"`
	Text     string      `json:"text"` // one line, which begins with [DRILL] and says how to abort the drill while that can be
	Scenario string      `json:"scenario"`
	Fleet    string      `json:"fleet"`
	Run      string      `json:"run"`
	Phase    Phase       `json:"phase"`
	Verdict  Verdict     `json:"verdict,omitempty"`
	At       time.Time   `json:"at"`
}

// NoticeEvent is the occasion of a Notice.
type NoticeEvent string

// The occasions. Only an announcement that nobody took refuses a drill.
const (
	NoticeAnnounced NoticeEvent = "announced" // before anything is measured or touched
	NoticeStarted   NoticeEvent = "started"   // the first fault is about to be injected
	NoticePhase     NoticeEvent = "phase"
	NoticeAborted   NoticeEvent = "aborted"
	NoticeEnded     NoticeEvent = "ended"
)

const noticeSchema = "gwdr/notice/v1"

// noticePatience is how long the notices that are still on their way may take once the drill has ended.
const noticePatience = 15 * time.Second

// notices sends what is to be told, one after the other, and never holds up the drill.
type notices struct {
	send    func(context.Context, Notice) error
	about   Notice // of every one
	abort   string // how to abort the drill
	warn    func(string)
	queue   chan Notice
	done    chan struct{}
	told    bool // it was announced
	started bool
	last    Phase

	mu   sync.Mutex
	over bool // the drill has no screens any more
}

func newNotices(d *drill) *notices {
	n := &notices{send: d.Notify, queue: make(chan Notice, 64), done: make(chan struct{}),
		about: Notice{Schema: noticeSchema, Scenario: d.record.run.Scenario, Fleet: d.Scenario.Fleet, Run: d.record.run.ID},
		abort: d.howToAbort(), warn: d.warn}
	if n.send == nil {
		close(n.done)
		return n
	}
	go func() {
		defer close(n.done)
		for notice := range n.queue {
			if err := n.send(context.Background(), notice); err != nil {
				n.failed(err)
			}
		}
	}()
	return n
}

// failed warns of what was not told, while there is somebody to be warned.
func (n *notices) failed(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.over {
		n.warn(fmt.Sprintf("notification failed: %v", err))
	}
}

// announce tells what is going to happen. The error says that nobody took it.
func (n *notices) announce(ctx context.Context, what string) error {
	if n.send == nil {
		return nil
	}
	if err := n.send(ctx, n.notice(NoticeAnnounced, Announced, what)); err != nil {
		return fmt.Errorf("notification failed: %w", err)
	}
	n.told = true
	return nil
}

// phase tells of a phase that the drill has entered, once it was announced.
func (n *notices) phase(p Phase, detail string) {
	if !n.told || p == n.last && p != Injecting {
		return
	}
	n.last = p
	event := NoticePhase
	switch p {
	case Injecting:
		if !n.started {
			event = NoticeStarted
		}
		n.started = true
	case Aborting:
		event = NoticeAborted
	}
	text := string(p)
	if detail != "" {
		text += ": " + detail
	}
	n.tell(n.notice(event, p, text))
}

// end tells the verdict, and waits until all is told.
func (n *notices) end(r *Result) {
	if n.send == nil {
		return
	}
	defer func() {
		select {
		case <-n.done:
		case <-time.After(noticePatience):
			n.failed(fmt.Errorf("not all were sent within %s", noticePatience))
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		n.over = true
	}()
	defer close(n.queue)
	if !n.told {
		return
	}
	text := fmt.Sprintf("ended: %s", r.Verdict)
	if !r.Clean {
		text += fmt.Sprintf("; DIRTY, a fault may still be in effect: gwdr drill revert %s", r.ID)
	}
	notice := n.notice(NoticeEnded, "", text)
	notice.Verdict = r.Verdict
	n.tell(notice)
}

func (n *notices) notice(event NoticeEvent, p Phase, what string) Notice {
	notice := n.about
	notice.Event, notice.Phase, notice.At = event, p, time.Now().UTC()
	notice.Text = fmt.Sprintf("[DRILL] %s on %s: %s", notice.Scenario, notice.Fleet, what)
	if event != NoticeEnded {
		notice.Text += "; " + n.abort
	}
	return notice
}

func (n *notices) tell(notice Notice) {
	if n.send == nil {
		return
	}
	select {
	case n.queue <- notice:
	default:
		n.failed(fmt.Errorf("too slow: %s was not sent", notice.Event))
	}
}
