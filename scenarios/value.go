package scenarios

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// misread says what is wrong with a value that its field cannot take, and what it could be; empty if nothing is.
func misread(n *yaml.Node, t reflect.Type, field string) string {
	if n.Tag == "!!null" || n.Decode(reflect.New(t).Interface()) == nil {
		return ""
	}
	switch t {
	case reflect.TypeFor[Duration](), reflect.TypeFor[time.Duration]():
		return misreadDuration(n.Value)
	}
	switch t.Kind() {
	case reflect.Bool:
		return fmt.Sprintf("%q is neither true nor false", n.Value)
	case reflect.Float64:
		return misreadNumber(n.Value, field)
	case reflect.Int, reflect.Int64, reflect.Uint64:
		return fmt.Sprintf("%q is no whole number that it can be", n.Value)
	}
	return "must be a " + yamlName(t)
}

func misreadDuration(value string) string {
	const units = "ms, s, m, h or whole d"
	if _, err := strconv.ParseFloat(value, 64); err == nil {
		return fmt.Sprintf("%s: say a unit, like %ss: one of %s", value, value, units)
	}
	if d, err := parseDays(value); err == nil && d < 0 {
		return value + " is negative"
	}
	return fmt.Sprintf("%q is no duration: it takes a number and a unit, one of %s, like 30s", value, units)
}

// misreadNumber explains a percentage to who wrote one: all numbers are shares, but for the target of an everyday promise.
func misreadNumber(value, field string) string {
	percent, isPercent := strings.CutSuffix(value, "%")
	number, err := strconv.ParseFloat(strings.TrimSpace(percent), 64)
	switch {
	case !isPercent || err != nil:
		return fmt.Sprintf("%q is no number", value)
	case field == "slo.target":
		return fmt.Sprintf("%s: it is per cent already, like %v", value, number)
	}
	return fmt.Sprintf("%s: say it as a share of 1, like %v", value, number/100)
}
