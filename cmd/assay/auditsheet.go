package main

import (
	"encoding/base64"
	"html/template"
	"io"

	"assay/internal/method/inversion"
	"assay/internal/report"
)

// leakSheet is a page of pictures. It is whole in itself, and nothing in it runs.
var leakSheet = template.Must(template.New("leaks").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{{.Title}}</title>
<style>
body { font: 15px/1.4 sans-serif; margin: 2rem; color: #222 }
table { border-collapse: collapse }
th, td { padding: .5rem .75rem; border-bottom: 1px solid #bbb; text-align: left; vertical-align: top }
img { width: 6rem; image-rendering: pixelated; display: block; margin-bottom: .25rem }
</style></head><body>
<h1>{{.Title}}</h1>
<p>{{.Summary}}</p>
<table><thead><tr>{{range .Columns}}<th scope="col">{{.}}</th>{{end}}</tr></thead><tbody>{{range .Rows}}
<tr><td><img src="{{index .Sources 0}}" alt="{{index $.Columns 0}}">{{.Class}}</td><td><img src="{{index .Sources 1}}" alt="{{index $.Columns 1}}">error {{printf "%.2g" .Error}}, SSIM {{printf "%.3f" .SSIM}}</td><td><img src="{{index .Sources 2}}" alt="{{index $.Columns 2}}">error {{printf "%.2g" .OfMean}}</td><td><img src="{{index .Sources 3}}" alt="{{index $.Columns 3}}">error {{printf "%.2g" .OfNearest}}</td></tr>{{end}}
</tbody></table></body></html>
`))

// leakPage is what the page shows: of each attempt the truth, what was made, and what was known.
type leakPage struct {
	Title, Summary string
	Columns        [4]string
	Rows           []leakRow
}

type leakRow struct {
	inversion.Attempt
	Class   string
	Sources []template.URL
}

// write draws the attempts, whose truths are given, with their limits.
func (p *leakPage) write(w io.Writer, attempts []inversion.Attempt, truths [][]float32, classes []string, o inversion.Options) error {
	low, high := float64(o.Low[0]), float64(o.High[0])
	for i := range o.Low {
		low, high = min(low, float64(o.Low[i])), max(high, float64(o.High[i]))
	}
	for i, t := range attempts {
		row := leakRow{Attempt: t, Class: classes[t.Label]}
		for _, two := range [][2][]float32{{truths[i], t.Made}, {t.Mean, t.Nearest}} {
			drawn, err := report.NewPictures(two[0], two[1], o.Image[0], o.Image[1], o.Image[2], low, high)
			if err != nil {
				return err
			}
			for _, png := range [][]byte{drawn.Clean, drawn.Adversarial} {
				row.Sources = append(row.Sources, template.URL("data:image/png;base64,"+base64.StdEncoding.EncodeToString(png)))
			}
		}
		p.Rows = append(p.Rows, row)
	}
	return leakSheet.Execute(w, p)
}
