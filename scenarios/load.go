package scenarios

import (
	"bytes"
	"cmp"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

//go:embed catalogue/*.yaml
var catalogue embed.FS

// maxSize bounds a scenario file, in bytes.
const maxSize = 1 << 20

// ErrUnknown is wrapped by Load when nothing goes by the name.
var ErrUnknown = errors.New("unknown scenario")

// Catalogue returns the scenarios that come with gwdr, by name.
func Catalogue() ([]*Scenario, error) {
	files, err := fs.Glob(catalogue, "catalogue/*.yaml")
	if err != nil {
		return nil, err
	}
	var all []*Scenario
	for _, file := range files {
		s, err := LoadFile(catalogue, file)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b *Scenario) int { return cmp.Compare(a.Metadata.Name, b.Metadata.Name) })
	return all, nil
}

// Load returns the scenario of the catalogue with that name or, if nameOrFile has a slash or ends in .yaml or .yml, the
// one in that file. The error is Problems if the file is not a valid scenario, and wraps ErrUnknown if the catalogue has
// no such name.
func Load(nameOrFile string) (*Scenario, error) {
	ext := path.Ext(nameOrFile)
	if strings.ContainsRune(nameOrFile, os.PathSeparator) || ext == ".yaml" || ext == ".yml" {
		f, err := os.Open(nameOrFile)
		if err != nil {
			return nil, fmt.Errorf("load scenario: %w", err)
		}
		defer f.Close()
		return read(nameOrFile, f)
	}
	all, err := Catalogue()
	if err != nil {
		return nil, err
	}
	names := make([]string, len(all))
	for i, s := range all {
		if names[i] = s.Metadata.Name; names[i] == nameOrFile {
			return s, nil
		}
	}
	return nil, fmt.Errorf("%w %q; there are %s", ErrUnknown, nameOrFile, strings.Join(names, ", "))
}

// LoadFile reads the scenario in one file of a file system.
func LoadFile(fsys fs.FS, name string) (*Scenario, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, fmt.Errorf("load scenario: %w", err)
	}
	defer f.Close()
	return read(name, f)
}

func read(name string, r io.Reader) (*Scenario, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxSize+1))
	if err != nil {
		return nil, fmt.Errorf("load scenario %s: %w", name, err)
	}
	return Parse(name, data)
}

// Parse reads a scenario strictly: an unknown field is an error, and so is a value out of bounds. Fields with a default
// are filled in. The name is that of the file, for the error, which is Problems.
func Parse(name string, data []byte) (*Scenario, error) {
	if len(data) > maxSize {
		return nil, Problems{{File: name, Message: fmt.Sprintf("larger than %d bytes", maxSize)}}
	}
	root, problems := parseDocument(name, data)
	if len(problems) > 0 {
		return nil, problems
	}
	if problems := checkFields(name, root); len(problems) > 0 {
		return nil, problems
	}
	s := &Scenario{}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(s); err != nil {
		return nil, yamlProblems(name, err)
	}
	s.setDefaults()
	v := &validator{file: name, root: root}
	v.scenario(s)
	if len(v.problems) > 0 {
		return nil, v.problems
	}
	return s, nil
}

// parseDocument returns the top mapping of the only document in data.
func parseDocument(name string, data []byte) (*yaml.Node, Problems) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, Problems{{File: name, Message: "empty"}}
	} else if err != nil {
		return nil, yamlProblems(name, err)
	}
	if err := dec.Decode(&yaml.Node{}); !errors.Is(err, io.EOF) {
		return nil, Problems{{File: name, Message: "more than one YAML document"}}
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		return nil, Problems{{File: name, Line: 1, Message: "not a mapping of fields"}}
	}
	return doc.Content[0], nil
}

// noToken says what package yaml finds where a line was indented by a tab.
const noToken = "a tab or another character that YAML is not indented by: blanks are"

var yamlLine = regexp.MustCompile(`^(?:yaml: )?line (\d+): (.*)$`)

// yamlProblems takes the lines out of the messages of package yaml.
func yamlProblems(file string, err error) Problems {
	messages := []string{err.Error()}
	if typed := (*yaml.TypeError)(nil); errors.As(err, &typed) {
		messages = typed.Errors
	}
	var problems Problems
	for _, m := range messages {
		p := Problem{File: file, Message: strings.TrimPrefix(m, "yaml: ")}
		if parts := yamlLine.FindStringSubmatch(m); parts != nil {
			p.Line, _ = strconv.Atoi(parts[1])
			p.Message = strings.ReplaceAll(parts[2], "found character that cannot start any token", noToken)
		}
		problems = append(problems, p)
	}
	return problems
}

// setDefaults fills in the fields that may be left out.
func (s *Scenario) setDefaults() {
	for i := range s.SteadyState.Probes {
		p := &s.SteadyState.Probes[i]
		p.Every = cmp.Or(p.Every, Duration(20*time.Millisecond))
		p.Timeout = cmp.Or(p.Timeout, Duration(2*time.Second))
		p.Key = cmp.Or(p.Key, NoKey)
		p.Expect.Status = cmp.Or(p.Expect.Status, 200)
	}
	for i := range s.Steps {
		step := &s.Steps[i]
		if step.Recover != "" {
			step.When = cmp.Or(step.When, Detected)
		}
		if step.Fault != "" {
			step.Hold = cmp.Or(step.Hold, holdUntilRecovered)
		}
	}
	s.SLO.Target = cmp.Or(s.SLO.Target, DefaultSLO().Target)
	s.SLO.Window = cmp.Or(s.SLO.Window, DefaultSLO().Window)
	s.Revert.Order = cmp.Or(s.Revert.Order, orderReverse)
}
