package cmd

import (
	"cmp"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/viper"
)

// readError is an error of a configuration file, on one line.
func readError(file string, err error) error {
	text := strings.TrimPrefix(err.Error(), "While parsing config: ")
	text = strings.NewReplacer("yaml: unmarshal errors:\n", "", "yaml: ", "", "!!seq into map[string]interface {}", "a list: it has to be KEY: VALUE").Replace(text)
	return fmt.Errorf("read configuration %s: %s", file, strings.Join(strings.Fields(text), " "))
}

// field is a key of gwdr.yaml.
type field struct {
	name string
	kind reflect.Type
}

// fieldsOf yields the keys that a struct of the configuration takes.
func fieldsOf(t reflect.Type) func(yield func(field) bool) {
	return func(yield func(field) bool) {
		for i := range t.NumField() {
			f := t.Field(i)
			if name := f.Tag.Get("mapstructure"); f.IsExported() && name != "-" && !yield(field{name, f.Type}) {
				return
			}
		}
	}
}

// nearest returns the name that few slips turn into the word; empty if none is near.
func nearest(word string, names []string) string {
	best, distance := "", max(1, len(word)/3)+1
	for _, name := range names {
		if d := slips(word, name); d < distance {
			best, distance = name, d
		}
	}
	return best
}

// slips is the Levenshtein distance: how many letters were left out, added or mistaken.
func slips(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}

var undecoded = regexp.MustCompile(`(?m)^'([^']+)' (.+)$`)

// undecodable says on one line which values cannot be used, and shows what could.
func undecodable(v *viper.Viper, file string, env func(string) string, err error) error {
	var said []string
	for _, found := range undecoded.FindAllStringSubmatch(err.Error(), -1) {
		key := strings.NewReplacer("[", ".", "]", "").Replace(found[1])
		name := key
		if file == "" || env(variable(key)) != "" {
			name = variable(key)
		}
		said = append(said, fmt.Sprintf("%s%s cannot be used; it takes %s", name, shownValue(v, key), wanted(key)))
	}
	if len(said) == 0 {
		return fmt.Errorf("read configuration %s: %w", file, err)
	}
	return fmt.Errorf("read configuration%s: %s", strings.TrimRight(" "+file, " "), strings.Join(said, "; "))
}

// showable reports whether an error may show the value of a key: only where none can be a secret in the wrong place.
func showable(key string) bool {
	section, _, _ := strings.Cut(strings.ToLower(key), ".")
	return section == "policy" || section == "fleets" || section == "safety"
}

// shownValue is a value of the configuration for an error about it.
func shownValue(v *viper.Viper, key string) string {
	if !showable(key) {
		return ""
	}
	return fmt.Sprintf(" %q", fmt.Sprint(v.Get(key)))
}

// wanted says what a key takes.
func wanted(key string) string {
	const location = "a name with its settings, such as locations: {local: {url: file:///var/backups/gwdr, media: disk, site: dc1}}"
	t := reflect.TypeFor[Config]()
	for _, part := range strings.Split(key, ".") {
		switch t.Kind() {
		case reflect.Map, reflect.Slice:
			t = t.Elem()
		case reflect.Struct:
			for f := range fieldsOf(t) {
				if f.name == part {
					t = f.kind
					break
				}
			}
		}
	}
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return "a time with its unit, such as 2h or 48h"
	case t == reflect.TypeFor[LocationConfig](), t == reflect.TypeFor[map[string]LocationConfig]():
		return location
	}
	return cmp.Or(map[reflect.Kind]string{
		reflect.Int: "a number, such as 3", reflect.Bool: "true or false", reflect.String: "one line of text",
		reflect.Slice: "a list, such as [A, B]",
	}[t.Kind()], "KEY: VALUE in braces, or on lines of their own below it")
}
