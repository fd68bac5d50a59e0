package cmd

import (
	"os"
	"strings"
	"sync"
	"time"
)

// wrongClock is the machine's clock, wrong by what a file says. Drills write that file.
type wrongClock struct {
	file string

	mu     sync.Mutex
	read   time.Time
	offset time.Duration
}

// clockAge is for how long the file is not read again.
const clockAge = 100 * time.Millisecond

// clock returns the clock of the data plane, or nil for the machine's.
func (o *serveOptions) clock() func() time.Time {
	if o.clockFile == "" {
		return nil
	}
	return (&wrongClock{file: o.clockFile}).now
}

// now returns the time. Without the file, or if there is no offset in it, it is right.
func (c *wrongClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if now.Sub(c.read) >= clockAge {
		text, _ := os.ReadFile(c.file)
		c.offset, _ = time.ParseDuration(strings.TrimSpace(string(text)))
		c.read = now
	}
	return now.Add(c.offset)
}
