// Package html renders the report as one page for people: self-contained, without
// scripts, and under a policy by which a browser loads nothing else for it.
package html

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"strings"

	"assay/internal/report"
)

//go:embed style.css
var style string

//go:embed page.html.tmpl
var source string

// Write renders a document as one HTML file. The same document gives the same bytes.
// Nothing is written of a document in which Check finds something wrong.
func Write(w io.Writer, d *report.Document) error {
	if err := d.Check(); err != nil {
		return err
	}
	parsed, err := template.New("page").Funcs(functions()).Parse(source)
	if err != nil {
		return fmt.Errorf("the page's template: %w", err)
	}
	var page bytes.Buffer
	if err := parsed.Execute(&page, newSheet(d.Map(report.Printable))); err != nil {
		return fmt.Errorf("the page cannot be rendered: %w", err)
	}
	_, err = w.Write(page.Bytes())
	return err
}

func functions() template.FuncMap {
	return template.FuncMap{
		"count": count, "number": number, "percent": report.Percent,
		"words": func(name any) string { return report.Words(fmt.Sprint(name)) },
		"tie":   func(text string) string { return strings.ReplaceAll(text, " %", "\u00a0%") }, // no line begins with a percent sign
	}
}

// policy lets a browser apply the page's own style and show pictures that are part of
// it, and nothing else: what slipped in as markup could neither run nor call home.
func policy() string {
	digest := sha256.Sum256([]byte(style))
	return "default-src 'none'; img-src data:; style-src 'sha256-" + base64.StdEncoding.EncodeToString(digest[:]) +
		"'; base-uri 'none'; form-action 'none'"
}
