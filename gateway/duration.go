package gateway

import (
	"fmt"
	"time"
)

// Duration is a time.Duration that reads and writes as a string such as "250ms" in JSON.
type Duration time.Duration

// MarshalText writes the duration as time.Duration.String does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads what time.ParseDuration reads and refuses a negative value.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil { // it would not say what is right
		return fmt.Errorf("%q is not a duration such as 250ms or 30s", text)
	}
	if v < 0 {
		return fmt.Errorf("duration %s is negative", text)
	}
	*d = Duration(v)
	return nil
}
