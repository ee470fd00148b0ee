package main

import (
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"slices"

	"assay/internal/dataset"
	"assay/internal/report"
)

// drawable reports what keeps records of a shape from being drawn.
func drawable(shape []int) error {
	if len(shape) != 3 || shape[0] != 1 && shape[0] != 3 || max(shape[1], shape[2]) > report.MaxSide {
		return fmt.Errorf("records of shape %v are no images of 1 or 3 channels: give their shape (channels, height, width) in a --schema", shape)
	}
	return nil
}

// sheet is a page of pictures. It is whole in itself, and nothing in it runs.
var sheet = template.Must(template.New("sheet").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Suspicious records of {{.Data}}</title>
<style>
body { font: 15px/1.4 sans-serif; margin: 2rem; color: #222 }
ol { display: flex; flex-wrap: wrap; gap: 1rem; padding: 0; list-style: none }
li { width: 15rem; border: 1px solid #bbb; padding: .75rem }
img { width: 8rem; image-rendering: pixelated; display: block; margin-bottom: .5rem }
p { margin: .2rem 0 }
</style></head><body>
<h1>Suspicious records of {{.Data}}</h1>
<p>{{.Records}} records, {{.Suspected}} suspected at a false positive rate of {{.FPR}}. The most suspicious come first.{{with .Note}} {{.}}.{{end}}</p>
<ol>{{range .Pictures}}
<li><img src="{{.Source}}" alt="record {{.Line.Number}}, labelled {{.Line.Label}}">
<p><strong>Record {{.Line.Number}}</strong>{{if not .Line.Suspected}}, not suspected{{end}}</p>
<p>Labelled {{.Line.Label}}; likely {{.Line.Likely}} ({{printf "%.2f" .Line.Prob}})</p>
<p>p = {{printf "%.3g" .Line.P}}{{range .Line.By}}<br>{{.Detector}}{{end}}</p></li>{{end}}
</ol></body></html>
`))

type sheetPicture struct {
	Line   suspectLine
	Source template.URL
}

// writeSheet writes pictures of the records that are listed.
func writeSheet(w io.Writer, d *dataset.Dataset, out *inspected) error {
	shape := d.Schema.RecordShape()
	low, high := float64(slices.Min(d.X)), float64(slices.Max(d.X))
	if low == high {
		high++
	}
	page := struct {
		*inspected
		Pictures []sheetPicture
	}{inspected: out}
	for _, line := range out.Suspects {
		record := d.Record(line.record)
		p, err := report.NewPictures(record, record, shape[0], shape[1], shape[2], low, high)
		if err != nil {
			return err
		}
		source := template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(p.Clean))
		page.Pictures = append(page.Pictures, sheetPicture{line, source})
	}
	return sheet.Execute(w, page)
}
