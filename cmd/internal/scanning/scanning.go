// Package scanning is what the programs that scan share: assay scan, and assay-scan, which
// has nothing else and needs no C library.
package scanning

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"time"

	"assay"
	"assay/internal/scan"
	"assay/internal/scan/formats"
	"assay/internal/scan/render"
)

// memory is what the garbage collector is asked to stay within: a scan needs less.
const memory = 200 << 20

// Options say how to scan.
type Options struct {
	Format   string // text, json or sarif
	Ignores  string // a YAML file; empty for none
	Workers  int    // files at a time; 0 for as many as there are processors
	Progress func(done, total int, path string)
}

// Run scans files and folders and writes what it finds. It gives the worst status of all.
func (o *Options) Run(ctx context.Context, out io.Writer, paths []string) (scan.Status, error) {
	if o.Format != "text" && o.Format != "json" && o.Format != "sarif" {
		return "", fmt.Errorf("--format %s: use text, json or sarif", o.Format)
	}
	scanners := formats.All()
	rules := render.Rules(scanners)
	ignores, err := o.readIgnores(rules)
	if err != nil {
		return "", err
	}
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(memory))
	runner := scan.Runner{Scanners: scanners, Workers: o.Workers, Progress: o.Progress}
	results, err := runner.Paths(ctx, paths)
	if err != nil {
		return "", err
	}
	ignored, stale := ignores.Apply(results, time.Now())
	report := render.New(results, ignored, stale)
	switch o.Format {
	case "json":
		err = render.JSON(out, report)
	case "sarif":
		err = render.SARIF(out, report, rules)
	default:
		err = render.Text(out, report)
	}
	var worst scan.Status
	for i := range results {
		worst = worst.Worse(results[i].Status)
	}
	return worst, err
}

func (o *Options) readIgnores(rules []scan.Rule) (*scan.Ignores, error) {
	if o.Ignores == "" {
		return &scan.Ignores{}, nil
	}
	data, err := os.ReadFile(o.Ignores)
	if err != nil {
		return nil, assay.WithCode(assay.CodeInput, err)
	}
	var ids []string
	for _, r := range rules {
		ids = append(ids, r.ID)
	}
	ignores, err := scan.ReadIgnores(o.Ignores, data, ids)
	return ignores, assay.WithCode(assay.CodeInput, err)
}
