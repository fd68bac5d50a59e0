package backup

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"filippo.io/age"
	"filippo.io/age/plugin"
)

// pluginPatience is how long a plugin may take: somebody may have to find a token, touch it and type its PIN.
const pluginPatience = 2 * time.Minute

// A plugin that did not answer is left alone for pluginRest, and then for ever longer, up to pluginRestMost: each call that it
// does not answer leaves a process behind.
const (
	pluginRest     = 5 * time.Minute
	pluginRestMost = 2 * time.Hour
)

// pluginCall is what talks to the program age-plugin-NAME. A plugin that does not come back in time is left behind, and not
// called again for a while, or until it does come back: age gives no way to end it, but it loses its input when this process
// ends.
type pluginCall struct {
	name     string
	patience time.Duration
	ask      func(question string, secret bool) (string, error)
	tell     func(text string)

	mu      sync.Mutex
	rests   time.Time // it did not answer, and is not called before then
	resting backoff
}

func (r *keyReader) pluginCall(name string) *pluginCall {
	return &pluginCall{name: name, patience: cmp.Or(r.Patience, pluginPatience), ask: r.Ask, tell: r.Tell,
		resting: backoff{first: pluginRest, most: pluginRestMost}}
}

// pluginIdentity is an identity that only a plugin can use.
type pluginIdentity struct {
	*pluginCall
	text string // AGE-PLUGIN-NAME-1...
}

// Unwrap starts the plugin and asks it for the file key.
func (i *pluginIdentity) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	answer, err := i.call(func(ui *plugin.ClientUI) (wrapped, error) {
		id, err := plugin.NewIdentity(i.text, ui)
		if err != nil {
			return wrapped{}, err
		}
		key, err := id.Unwrap(stanzas)
		return wrapped{key: key}, err
	})
	return answer.key, err
}

// pluginRecipient is a recipient that only a plugin can encrypt to.
type pluginRecipient struct {
	*pluginCall
	text string // age1NAME1...
}

// Wrap starts the plugin and has it encrypt the file key.
func (r *pluginRecipient) Wrap(fileKey []byte) ([]*age.Stanza, error) {
	stanzas, _, err := r.WrapWithLabels(fileKey)
	return stanzas, err
}

// WrapWithLabels is Wrap, and returns what says which other recipients the plugin accepts beside its own.
func (r *pluginRecipient) WrapWithLabels(fileKey []byte) ([]*age.Stanza, []string, error) {
	answer, err := r.call(func(ui *plugin.ClientUI) (wrapped, error) {
		recipient, err := plugin.NewRecipient(r.text, ui)
		if err != nil {
			return wrapped{}, err
		}
		stanzas, labels, err := recipient.WrapWithLabels(fileKey)
		return wrapped{stanzas: stanzas, labels: labels}, err
	})
	return answer.stanzas, answer.labels, err
}

// wrapped is what a plugin gave.
type wrapped struct {
	key     []byte
	stanzas []*age.Stanza
	labels  []string
}

// call runs do, which talks to the plugin, for as long as the patience lasts. Errors name the plugin.
func (c *pluginCall) call(do func(*plugin.ClientUI) (wrapped, error)) (wrapped, error) {
	type result struct {
		wrapped
		err error
	}
	talk := &pluginTalk{pluginCall: c}
	silence := fmt.Errorf("plugin age-plugin-%s did not answer within %s", c.name, c.patience)
	if c.atRest() {
		return wrapped{}, silence
	}
	done := make(chan result, 1)
	go func() {
		answer, err := do(talk.ui())
		c.answered()
		done <- result{answer, err}
	}()
	timeout := time.NewTimer(c.patience)
	defer timeout.Stop()
	select {
	case r := <-done:
		return r.wrapped, talk.explain(r.err)
	case <-timeout.C:
		c.rest()
		return wrapped{}, talk.explain(silence)
	}
}

// atRest reports whether the plugin is not to be called now.
func (c *pluginCall) atRest() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Before(c.rests)
}

// rest says that the plugin did not answer.
func (c *pluginCall) rest() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rests = time.Now().Add(c.resting.wait())
}

// answered says that the plugin answered, even if it was late.
func (c *pluginCall) answered() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rests = time.Time{}
	c.resting.reset()
}

// pluginTalk is what is said between a plugin and the person at the terminal, in one call.
type pluginTalk struct {
	*pluginCall
	mu      sync.Mutex
	refused []error // questions that nobody answered
}

var errNoTerminal = errors.New("there is no terminal to ask at")

func (t *pluginTalk) ui() *plugin.ClientUI {
	say := func(text string) error {
		if t.tell != nil {
			t.tell("age-plugin-" + t.name + ": " + text)
		}
		return nil
	}
	return &plugin.ClientUI{
		DisplayMessage: func(_, message string) error { return say(message) },
		RequestValue:   func(_, prompt string, secret bool) (string, error) { return t.question(prompt+": ", secret) },
		Confirm:        func(_, prompt, yes, no string) (bool, error) { return t.confirm(prompt, yes, no) },
		WaitTimer:      func(string) { _ = say("still waiting for it") },
	}
}

// question asks the person, and remembers that there was nobody.
func (t *pluginTalk) question(text string, secret bool) (string, error) {
	answer, err := "", errNoTerminal
	if t.ask != nil {
		answer, err = t.ask("age-plugin-"+t.name+": "+text, secret)
	}
	if err != nil {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.refused = append(t.refused, fmt.Errorf("plugin age-plugin-%s asked %q: %w", t.name, strings.TrimSpace(text), err))
	}
	return answer, err
}

// confirm has the person type 1 for yes or 2 for no, or just press enter if there is nothing to choose.
func (t *pluginTalk) confirm(prompt, yes, no string) (bool, error) {
	if no == "" {
		_, err := t.question(fmt.Sprintf("%s (press enter for %q): ", prompt, yes), false)
		return err == nil, err
	}
	for {
		answer, err := t.question(fmt.Sprintf("%s (1 for %q, 2 for %q): ", prompt, yes, no), false)
		if err != nil || answer == "1" || answer == "2" {
			return answer == "1", err
		}
	}
}

// explain says why the plugin failed: it tells neither what nobody answered nor that it is not there.
func (t *pluginTalk) explain(err error) error {
	if err == nil || errors.Is(err, age.ErrIncorrectIdentity) {
		return err
	}
	if missing := (*plugin.NotFoundError)(nil); errors.As(err, &missing) {
		return fmt.Errorf("plugin age-plugin-%s is not on the PATH", t.name)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return errors.Join(append(t.refused, err)...)
}
