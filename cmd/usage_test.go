package cmd

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

// TestHelpFits looks at the help of every command: people have terminals of 80 columns.
func TestHelpFits(t *testing.T) {
	root := newRootCommand(&app{})
	each(root, func(c *cobra.Command) {
		if c.Hidden || c.HasParent() && c.Parent().Name() == "completion" { // which has names of files that are long
			return
		}
		var out bytes.Buffer
		root.SetOut(&out)
		c.InitDefaultHelpFlag()
		if err := c.Help(); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out.String()) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > helpWidth {
				t.Errorf("%s --help: %d columns: %s", c.CommandPath(), n, line)
			}
		}
	})
}

// TestReflow keeps items and what is somebody else's, and breaks the rest anew.
func TestReflow(t *testing.T) {
	text := `One sentence that is too long
for a line.

  a://B   its text, which is long as well
          and goes on
  c://D   short
  file:///DIRECTORY?with=a&line=of&its=own
After it.

	an example --of somebody --else`
	want := `One sentence that is
too long for a line.

  a://B   its text,
          which is
          long as well
          and goes on
  c://D   short
  file:///DIRECTORY?with=a&line=of&its=own
After it.

	an example --of somebody --else`
	if got := reflow(text, 22); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestCompletionHasNoQuotes: what names a value in the help is no part of a sentence.
func TestCompletionHasNoQuotes(t *testing.T) {
	for _, line := range []string{"probe --", "probe ledger --", "probe agent --", "drill run --", "report --", "--"} {
		var stdout, stderr bytes.Buffer
		args := append([]string{"__complete"}, strings.Split(line, " ")...)
		if code := run(args, invocation{nil, &stdout, &stderr, func(string) string { return "" }, "gwdr", nil}); code != 0 {
			t.Fatalf("%s: exit code %d\n%s", line, code, &stderr)
		}
		if strings.Contains(stdout.String(), "`") || !strings.Contains(stdout.String(), "--config\tconfiguration file") {
			t.Errorf("%q offers\n%s", line, &stdout)
		}
	}
}
