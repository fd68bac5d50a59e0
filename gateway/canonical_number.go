package gateway

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
)

// plainZeros is how many zeros a canonical number has at most before it is spelled with an exponent.
const plainZeros = 20

// canonicalNumber returns the one spelling of a decimal number, exactly: 1.0, 1e0 and +1 are 1, and no digit is lost. It also
// takes what YAML allows: a plus sign, and no digits on one side of the point.
func canonicalNumber(text string) (json.Number, error) {
	text, negative := strings.CutPrefix(text, "-")
	if !negative {
		text = strings.TrimPrefix(text, "+")
	}
	digits, exponent, err := splitNumber(text)
	if err != nil {
		return "", err
	}
	trimmed := strings.TrimLeft(digits, "0")
	if trimmed == "" {
		return "0", nil
	}
	digits = strings.TrimRight(trimmed, "0")
	exponent += len(trimmed) - len(digits)
	if text = spell(digits, exponent); negative {
		text = "-" + text
	}
	return json.Number(text), nil
}

// splitNumber returns all digits of an unsigned number, and the exponent of the last of them.
func splitNumber(text string) (digits string, exponent int, err error) {
	mantissa := text
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		mantissa = text[:i]
		if exponent, err = strconv.Atoi(text[i+1:]); err != nil || exponent > math.MaxInt32 || exponent < math.MinInt32 {
			return "", 0, errAmbiguous
		}
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits = whole + fraction
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return "", 0, errAmbiguous
	}
	return digits, exponent - len(fraction), nil
}

// spell writes digits, which neither begin nor end with zero, times ten to the power of exponent.
func spell(digits string, exponent int) string {
	switch point := len(digits) + exponent; {
	case exponent >= 0 && exponent <= plainZeros:
		return digits + strings.Repeat("0", exponent)
	case exponent < 0 && point > 0:
		return digits[:point] + "." + digits[point:]
	case exponent < 0 && point > -plainZeros:
		return "0." + strings.Repeat("0", -point) + digits
	}
	scientific := digits[:1]
	if len(digits) > 1 {
		scientific += "." + digits[1:]
	}
	return scientific + "e" + strconv.Itoa(exponent+len(digits)-1)
}
