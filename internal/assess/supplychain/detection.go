package supplychain

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"assay/internal/assess"
	"assay/internal/criteria"
	"assay/internal/scan"
	"assay/internal/scan/corpus"
)

// detection tests detection: the scanner must report what is planted.
type detection struct {
	tester    *Tester
	artefacts []*artefact
}

const detectionRate = "detection-rate"

// cases are the harmful files of the scanner's corpus.
var cases = sync.OnceValue(func() []corpus.Case {
	return slices.DeleteFunc(slices.Concat(corpus.All(), corpus.Calls()), func(c corpus.Case) bool { return c.Want != scan.Found })
})

// The ways of planting a case.
var ways = []string{"in its place", "beside it in an archive"}

// copied is up to which size a file is copied into an archive; of a larger one it is the beginning.
const copied = 4 << 20

func (d *detection) units(context.Context) (int, error) { return len(cases()) * len(ways), nil }

// planted gives a unit's content, and the file that it was planted into a copy of.
func (d *detection) planted(ctx context.Context, unit int) (u file, c corpus.Case, way string, content []byte, err error) {
	c, way = cases()[unit/len(ways)], ways[unit%len(ways)]
	files, err := unitsOf(ctx, d.artefacts)
	if err != nil {
		return u, c, way, nil, err
	}
	u = files[unit%len(files)].file
	if way == ways[0] {
		return u, c, way, c.Data, nil
	}
	own, err := beginning(u.path)
	if err != nil {
		return u, c, way, nil, err
	}
	return u, c, way, corpus.PackZip(corpus.Member{Name: filepath.Base(u.path), Data: own}, corpus.Member{Name: "data", Data: c.Data}), nil
}

func beginning(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, copied))
}

func (d *detection) observe(ctx context.Context, i int) (assess.Observation, error) {
	u, c, way, content, err := d.planted(ctx, i)
	if err != nil {
		return assess.Observation{}, err
	}
	r := scan.Runner{Scanners: d.tester.scanners, Workers: 1}
	result, err := r.Content(ctx, u.shown, bytes.NewReader(content), int64(len(content)))
	if err != nil {
		return assess.Observation{}, err
	}
	return observation(i, detectionRate, result.Status == scan.Found, detail{File: u.shown, Case: c.Name, Way: way, Status: string(result.Status), Rules: rules(result)})
}

// rules are those that a scan reported, each once.
func rules(r scan.Result) []string {
	var all []string
	for _, f := range r.Findings {
		all = append(all, f.Rule)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// planting is what scans said of the artefacts as they are, and what a scanner that knows no
// format says of the planted.
type planting struct {
	Clean []detail `json:"clean"`
	Blind int      `json:"blind"` // cases that the scanner without formats reports
	Of    int      `json:"of"`
}

// blindUnits is how many planted cases the scanner without formats is given.
const blindUnits = 64

func (d *detection) control(ctx context.Context, _ *assess.Test, order []int) (any, error) {
	files, err := unitsOf(ctx, d.artefacts)
	if err != nil {
		return nil, err
	}
	out := planting{Clean: []detail{}}
	r := scan.Runner{Scanners: d.tester.scanners}
	for _, u := range files {
		results, err := r.Paths(ctx, []string{u.path})
		if err != nil {
			return nil, err
		}
		for _, one := range results {
			out.Clean = append(out.Clean, detail{File: u.shown, Status: string(one.Status), Rules: rules(one)})
		}
	}
	blind := scan.Runner{Workers: 1}
	for _, i := range order[:min(blindUnits, len(order))] {
		_, _, _, content, err := d.planted(ctx, i)
		if err != nil {
			return nil, err
		}
		result, err := blind.Content(ctx, "planted", bytes.NewReader(content), int64(len(content)))
		if err != nil {
			return nil, err
		}
		if out.Of++; result.Status == scan.Found {
			out.Blind++
		}
	}
	return out, nil
}

func (p planting) checks() []criteria.Check {
	weak := criteria.Check{Name: "positive-control", Passed: p.Blind == 0 && p.Of > 0,
		Detail: fmt.Sprintf("of %d planted cases, a scanner that knows no format reports %d: a miss would have been seen", p.Of, p.Blind)}
	var alarms, unsure []string
	for _, d := range p.Clean {
		switch scan.Status(d.Status) {
		case scan.Found:
			alarms = append(alarms, fmt.Sprintf("%s (%s)", d.File, strings.Join(d.Rules, ", ")))
		case scan.Undecided:
			unsure = append(unsure, d.File)
		}
	}
	quiet := criteria.Check{Name: "negative-control", Passed: len(alarms) == 0 && len(p.Clean) > 0,
		Detail: fmt.Sprintf("in %d files as they are nothing is found", len(p.Clean))}
	if len(alarms) > 0 {
		quiet.Detail = "something is found in files as they are: " + strings.Join(alarms, ", ")
	}
	if len(unsure) > 0 {
		quiet.Detail += fmt.Sprintf("; %s could not be decided", strings.Join(unsure, ", "))
	}
	return []criteria.Check{weak, quiet}
}
