package cmd

import (
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

// helpWidth is how many columns help for people has.
const helpWidth = 80

// fit makes the help of every command as narrow as a terminal: flags and what is said at length. Examples are lines that
// somebody copies, and are as they were written.
func fit(root *cobra.Command) {
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), ".FlagUsages", ".FlagUsagesWrapped 80") + exitCodesHelp)
	each(root, func(c *cobra.Command) { c.Long = reflow(c.Long, helpWidth) })
}

// each visits the command and all below it.
func each(c *cobra.Command, visit func(*cobra.Command)) {
	visit(c)
	for _, sub := range c.Commands() {
		each(sub, visit)
	}
}

// reflow breaks paragraphs anew, so that no line is wider than width. An indented line is an item of a list: what belongs to it
// stands below its last column, two spaces or more after the one before, and may go on in lines that begin there.
func reflow(text string, width int) string {
	var out, words []string
	first, hang := "", 0 // of the paragraph: what it begins with, and how far its other lines are indented
	flush := func() {
		if len(words) > 0 {
			out = append(out, wrapWords(words, first, hang, width)...)
		}
		words, first, hang = nil, "", 0
	}
	for line := range strings.SplitSeq(text, "\n") {
		body := strings.TrimLeft(line, " ")
		indent := len(line) - len(body)
		if strings.HasPrefix(body, "\t") { // somebody else's example
			flush()
			out = append(out, line)
			continue
		}
		if body == "" || indent != hang || indent > 0 && len(words) == 0 {
			flush()
		}
		switch {
		case body == "":
			out = append(out, "")
			continue
		case indent > 0 && len(words) == 0:
			first, hang = line[:indent], indent
			if i := strings.LastIndex(body, "  "); i >= 0 {
				first, body = line[:indent+i+2], body[i+2:]
				hang = len(first)
			}
		}
		words = append(words, strings.Fields(body)...)
		if indent > 0 && hang == indent { // an item without columns is one line
			flush()
		}
	}
	flush()
	return strings.Join(out, "\n")
}

// wrapWords lays words into lines of that width. The first line begins with first, the others with as many spaces as hang says.
func wrapWords(words []string, first string, hang, width int) (lines []string) {
	line, empty := first, true
	for _, word := range words {
		if !empty && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			lines = append(lines, line)
			line, empty = strings.Repeat(" ", hang), true
		}
		if !empty {
			line += " "
		}
		line, empty = line+word, false
	}
	return append(lines, line)
}
