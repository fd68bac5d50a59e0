package report

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/renderer"
	"github.com/olekukonko/tablewriter/tw"
)

// columns is how wide text for people is, unless a single word is wider.
const columns = 80

// table writes rows under a header, the first row; cells are wrapped at width characters, or before, so that the table fits.
func table(w io.Writer, rows [][]string, width int) error {
	t := tablewriter.NewTable(w,
		tablewriter.WithRenderer(renderer.NewBlueprint(tw.Rendition{Symbols: tw.NewSymbols(tw.StyleLight)})),
		tablewriter.WithHeaderAutoFormat(tw.Off), tablewriter.WithHeaderAlignment(tw.AlignLeft), tablewriter.WithRowAlignment(tw.AlignLeft),
		tablewriter.WithHeaderAutoWrap(tw.WrapNone), tablewriter.WithRowAutoWrap(tw.WrapNone))
	rows = fitted(rows, width)
	t.Header(rows[0])
	for _, row := range rows[1:] {
		if err := t.Append(row); err != nil {
			return fmt.Errorf("write table: %w", err)
		}
	}
	if err := t.Render(); err != nil {
		return fmt.Errorf("write table: %w", err)
	}
	return nil
}

// fitted makes every cell safe to show, and breaks it into lines of width characters at most: of fewer, in the widest column
// first, where the table would be too wide. No word is broken.
func fitted(rows [][]string, width int) [][]string {
	widths, least := make([]int, len(rows[0])), make([]int, len(rows[0]))
	total := 1
	for i := range rows[0] {
		for _, row := range rows {
			text := oneLine(row[i])
			widths[i] = max(widths[i], min(utf8.RuneCountInString(text), width))
			for word := range strings.FieldsSeq(text) {
				least[i] = max(least[i], utf8.RuneCountInString(word))
			}
		}
		widths[i] = max(widths[i], least[i])
		total += widths[i] + 3 // a line and two spaces
	}
	for ; total > columns; total-- {
		i := widest(widths, least)
		if i < 0 {
			break
		}
		widths[i]--
	}
	out := make([][]string, len(rows))
	for i, row := range rows {
		for j, cell := range row {
			out[i] = append(out[i], strings.Join(broken(oneLine(cell), widths[j]), "\n"))
		}
	}
	return out
}

// widest returns the widest of the columns that could be narrower, -1 if none could.
func widest(widths, least []int) int {
	found := -1
	for i, w := range widths {
		if w > least[i] && (found < 0 || w > widths[found]) {
			found = i
		}
	}
	return found
}

// writeLine writes a word and what there is to say of it, in as many lines as it takes: the others stand below the text.
func writeLine(b *strings.Builder, word, text string) {
	indent := utf8.RuneCountInString(word)
	for i, line := range broken(text, columns-indent) {
		if i > 0 {
			word = strings.Repeat(" ", indent)
		}
		b.WriteString(strings.TrimRight(word+line, " ") + "\n")
	}
}

// broken breaks one line of text between its words into lines of width characters, or more where a single word has more.
func broken(text string, width int) (lines []string) {
	if utf8.RuneCountInString(text) <= width {
		return []string{text}
	}
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			lines, line = append(lines, line), ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}
