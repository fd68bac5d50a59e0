package gateway

import "time"

// Complaint keeps a log readable while the same attempt fails again and again.
type Complaint struct {
	text string
	at   time.Time
}

// IsDue reports whether the error is to be logged: if it is another one than before, or was logged a minute ago.
func (c *Complaint) IsDue(err error) bool {
	if err.Error() == c.text && time.Since(c.at) < time.Minute {
		return false
	}
	c.text, c.at = err.Error(), time.Now()
	return true
}
