package exec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strings"

	"gwdr/fleet"
)

// decodeInstances reads the answer of list: a JSON list of instances. Whatever it does not understand is an error that names
// the instance and the field.
func decodeInstances(answer []byte) ([]fleet.Instance, error) {
	var items []map[string]json.RawMessage
	if err := decodeWhole(answer, &items); err != nil {
		return nil, fmt.Errorf("it is no JSON list of instances: %w", err)
	}
	instances, seen := make([]fleet.Instance, 0, len(items)), map[string]int{}
	for i, item := range items {
		in, err := decodeInstance(item)
		if err != nil {
			return nil, fmt.Errorf("instance %d%s: %w", i+1, strings.TrimRight(" "+in.ID, " "), err)
		}
		if before, twice := seen[in.ID]; twice {
			return nil, fmt.Errorf("instance %d %s: id is that of instance %d, too", i+1, in.ID, before)
		}
		seen[in.ID] = i + 1
		instances = append(instances, in)
	}
	slices.SortFunc(instances, func(a, b fleet.Instance) int { return strings.Compare(a.ID, b.ID) })
	return instances, nil
}

// decodeInstance returns at least the id, if that can be read.
func decodeInstance(item map[string]json.RawMessage) (fleet.Instance, error) {
	in, role, running := fleet.Instance{Role: fleet.Data}, "", (*bool)(nil)
	fields := map[string]any{"id": &in.ID, "region": &in.Region, "role": &role, "running": &running, "url": &in.URL}
	for _, name := range slices.Sorted(maps.Keys(item)) {
		to, known := fields[name]
		if !known {
			return in, fmt.Errorf("unknown field %q; there are id, region, role, running and url", harmless(name))
		}
		if err := json.Unmarshal(item[name], to); err != nil || string(item[name]) == "null" {
			return in, fmt.Errorf("%s: %s is not what belongs there; it takes %s", name, harmless(string(item[name])), wanted(name))
		}
		if name == "id" && !idPattern.MatchString(in.ID) {
			id := in.ID
			in.ID = ""
			return in, fmt.Errorf("id %q: an id has letters, digits, dots, - and _, begins with a letter or a digit, and has at most 64", harmless(id))
		}
	}
	if role != "" {
		in.Role = fleet.Role(role)
	}
	switch {
	case in.ID == "":
		return in, errors.New("id is not set")
	case in.Region != "" && !idPattern.MatchString(in.Region):
		return in, fmt.Errorf("region %q: a region has letters, digits, dots, - and _", harmless(in.Region))
	case !slices.Contains([]fleet.Role{fleet.Control, fleet.Data, fleet.Edge, fleet.Upstream, fleet.Location}, in.Role):
		return in, fmt.Errorf("role: there is no role %q", harmless(role))
	case running == nil:
		return in, errors.New("running is not set: does it run, true or false?")
	case in.URL != "" && !plainURL(in.URL):
		return in, errors.New("url is not of the form http://HOST:PORT") // not shown: it may hold a password
	}
	in.Running = *running
	return in, nil
}

func wanted(name string) string {
	if name == "running" {
		return "true or false"
	}
	return "a text"
}

func plainURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil
}

// decodeIDs reads the answer of leftovers: a JSON list of the ids of faults.
func decodeIDs(answer []byte) ([]string, error) {
	var ids []string
	if err := decodeWhole(answer, &ids); err != nil {
		return nil, fmt.Errorf("it is no JSON list of faults' ids: %w", err)
	}
	for _, id := range ids {
		if !fleet.IsFaultID(id) {
			return nil, fmt.Errorf("%q is not the id of a fault", harmless(id))
		}
	}
	return ids, nil
}

// decodeWhole decodes one JSON list, and nothing after it.
func decodeWhole(text []byte, to any) error {
	text = bytes.TrimSpace(text)
	if len(text) == 0 {
		return errors.New("it is empty")
	}
	if text[0] != '[' { // null would be taken for an empty list
		line, _, _ := strings.Cut(string(text), "\n")
		return fmt.Errorf("it begins with %q", harmless(line))
	}
	d := json.NewDecoder(bytes.NewReader(text))
	if err := d.Decode(to); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the list")
	}
	return nil
}
