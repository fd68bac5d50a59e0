package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// human writes seconds for people: 20µs, 0.4ms, 412ms, 4.21s, 1m30s.
func human(seconds float64) string {
	abs := math.Abs(seconds)
	switch {
	case abs == 0:
		return "0s"
	case abs < 0.0000995:
		return trimZero(strconv.FormatFloat(seconds*1e6, 'f', 1, 64)) + "µs"
	case abs < 0.00995:
		return trimZero(strconv.FormatFloat(seconds*1e3, 'f', 1, 64)) + "ms"
	case abs < 0.9995:
		return strconv.FormatFloat(seconds*1e3, 'f', 0, 64) + "ms"
	case abs < 9.995:
		return trimZero(strconv.FormatFloat(seconds, 'f', 2, 64)) + "s"
	case abs < 59.95:
		return trimZero(strconv.FormatFloat(seconds, 'f', 1, 64)) + "s"
	}
	return time.Duration(math.Round(seconds) * float64(time.Second)).String()
}

// trimZero drops zeros after the decimal point.
func trimZero(number string) string {
	if !strings.Contains(number, ".") {
		return number
	}
	return strings.TrimSuffix(strings.TrimRight(number, "0"), ".")
}

// grouped writes a count with thousands apart: 12,431.
func grouped(n int) string {
	digits := strconv.Itoa(n)
	var b strings.Builder
	for i, c := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 && digits[i-1] != '-' {
			b.WriteByte(',')
		}
		b.WriteRune(c)
	}
	return b.String()
}

// counted writes a count with its noun: 1 change, 2 changes.
func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return grouped(n) + " " + noun + "s"
}

// percent writes a share with as many digits as tell it from all and from none.
func percent(share float64) string {
	switch {
	case share == 0 || share == 1:
		return strconv.Itoa(int(share*100)) + "%"
	case share > 0.999:
		return strconv.FormatFloat(math.Floor(share*1e5)/1e3, 'f', 3, 64) + "%"
	}
	return trimZero(strconv.FormatFloat(share*100, 'f', 1, 64)) + "%"
}

// utc writes an instant to the millisecond.
func utc(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format("2006-01-02 15:04:05.000 UTC")
}

// clock writes the time of day of an instant, to the millisecond.
func clock(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format("15:04:05.000")
}

// signed writes an offset with its sign: +412ms.
func signed(seconds float64) string {
	if seconds >= 0 {
		return "+" + human(seconds)
	}
	return human(seconds)
}

// short writes the beginning of a hash.
func short(hash string) string {
	if len(hash) <= 12 {
		return hash
	}
	return hash[:12]
}

// oneLine makes text that comes from elsewhere safe for a terminal: control characters become spaces.
func oneLine(text string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text))
}

// dash stands for what is empty.
func dash(text string) string {
	if text == "" {
		return "–"
	}
	return text
}

// bracket writes the interval in which the true value lies.
func bracket(low, high float64) string {
	if low == high {
		return human(high)
	}
	return fmt.Sprintf("%s – %s", human(low), human(high))
}

// promise writes a target for people: at most 5s, exactly 0.
func promise(target string) string {
	if bound, ok := strings.CutPrefix(target, "<= "); ok {
		return "at most " + bound
	}
	if value, ok := strings.CutPrefix(target, "== "); ok {
		return "exactly " + value
	}
	return target
}
