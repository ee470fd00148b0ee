package main

import (
	"encoding/base64"
	"html/template"
	"io"

	"assay/internal/dataset"
	"assay/internal/method/backdoor"
	"assay/internal/report"
)

// triggerSheet is a page of recovered triggers. It is whole in itself, and nothing in it runs.
var triggerSheet = template.Must(template.New("triggers").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Triggers recovered from {{.Model}}</title>
<style>
body { font: 15px/1.4 sans-serif; margin: 2rem; color: #222 }
ol { display: flex; flex-wrap: wrap; gap: 1rem; padding: 0; list-style: none }
li { border: 1px solid #bbb; padding: .75rem }
img { width: 7rem; image-rendering: pixelated }
p { margin: .2rem 0 }
</style></head><body>
<h1>Triggers recovered from {{.Model}}</h1>
<p>Of each class: a clean record, the record with the trigger, and what the trigger changes, enlarged.</p>
<ol>{{range .Triggers}}
<li><p>{{range .Pictures}}<img src="{{.}}" alt=""> {{end}}</p>
<p><strong>Class {{.Class}}</strong>, by {{.Detector}}, size {{printf "%.3g" .Size}}</p>
<p>moves {{.Successes}} of {{.N}} records</p></li>{{end}}
</ol></body></html>
`))

type triggerPicture struct {
	Class, Detector string
	Size            float64
	Successes, N    int
	Pictures        []template.URL
}

// writeTriggers writes a page with the triggers that were recovered.
func writeTriggers(path, model string, clean *dataset.Dataset, findings []*backdoor.Finding) error {
	page := struct {
		Model    string
		Triggers []triggerPicture
	}{Model: model}
	shape := clean.Schema.RecordShape()
	columns := clean.Schema.Columns()
	low, high := float64(columns[0].Min), float64(columns[0].Max)
	record := clean.Record(0)
	for k, d := range backdoor.All() {
		if findings[k] == nil {
			continue
		}
		for _, c := range findings[k].Classes {
			if c.Trigger == nil {
				continue
			}
			p, err := report.NewPictures(record, c.Trigger.Apply(record), shape[0], shape[1], shape[2], low, high)
			if err != nil {
				return err
			}
			line := triggerPicture{Class: clean.Schema.Label.Classes[c.Class], Detector: d.Describe().Name, Size: c.Size, Successes: c.Success.Successes, N: c.Success.N}
			for _, file := range [][]byte{p.Clean, p.Adversarial, p.Difference} {
				line.Pictures = append(line.Pictures, template.URL("data:image/png;base64,"+base64.StdEncoding.EncodeToString(file)))
			}
			page.Triggers = append(page.Triggers, line)
		}
	}
	return writeWhole(path, func(w io.Writer) error { return triggerSheet.Execute(w, page) })
}
