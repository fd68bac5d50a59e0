package report

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io"
	"strings"

	"gwdr/drills"
)

//go:embed html/*
var assets embed.FS

// HTML writes the report as one page that needs nothing else: no scripts, no fonts, no images. It follows the reader's
// choice of light or dark, and prints on A4. Whatever comes from the evidence is escaped.
func HTML(w io.Writer, b *Bundle) error {
	t, err := template.New("report.html").Funcs(functions()).ParseFS(assets, "html/*.html")
	if err != nil {
		return fmt.Errorf("render report: %w", err)
	}
	style, err := assets.ReadFile("html/style.css")
	if err != nil {
		return fmt.Errorf("render report: %w", err)
	}
	p := newPage(b)
	p.Style = template.CSS(style)
	var out bytes.Buffer // a failure must not leave half a page
	if err := t.Execute(&out, p); err != nil {
		return fmt.Errorf("render report: %w", err)
	}
	_, err = w.Write(out.Bytes())
	return err
}

func functions() template.FuncMap {
	return template.FuncMap{
		"human": human, "grouped": grouped, "counted": counted, "percent": percent, "utc": utc, "clock": clock,
		"signed": signed, "short": short, "dash": dash, "xy": xy, "bytes": byteSize,
		"join": func(list []string) string { return strings.Join(list, ", ") },
		"word": word, "icon": icon, "promise": promise,
	}
}

// word is what people read of a verdict.
func word(v drills.Verdict) string {
	switch v {
	case drills.Pass:
		return "Passed"
	case drills.Fail:
		return "Failed"
	case drills.Inconclusive:
		return "Inconclusive"
	case drills.Aborted:
		return "Aborted"
	case drills.Refused:
		return "Refused"
	}
	return "Error"
}

// icon is the outline that goes with a verdict, in a box of 24 by 24: no verdict is told by its colour alone.
func icon(v drills.Verdict) string {
	switch v {
	case drills.Pass:
		return "M5 12.5 10 17.5 19 7.5"
	case drills.Fail:
		return "M6.5 6.5 17.5 17.5M17.5 6.5 6.5 17.5"
	case drills.Inconclusive:
		return "M8.5 9A3.5 3.5 0 1 1 13.5 12.2C12.4 12.8 12 13.3 12 14.5M12 18V18.2"
	case drills.Aborted:
		return "M9 7V17M15 7V17"
	case drills.Refused:
		return "M6 12H18"
	}
	return "M12 6V13.5M12 17.5V17.7"
}

func byteSize(n int64) string {
	switch {
	case n < 1<<10:
		return fmt.Sprintf("%d B", n)
	case n < 1<<20:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}
