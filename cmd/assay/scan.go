package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"assay"
	"assay/internal/scan"
	"assay/internal/scan/formats"
	"assay/internal/scan/render"
)

// scanMemory is what the garbage collector is asked to stay within: a scan needs less.
const scanMemory = 200 << 20

// scanFlags say how to scan.
type scanFlags struct {
	format, ignores string
	workers         int
}

func scanCommand(u *ui) *cobra.Command {
	f := &scanFlags{}
	c := &cobra.Command{
		Use:   "scan PATH...",
		Short: "Find what is dangerous in model files, without executing anything in them",
		Long: `Find what is dangerous in model files, without executing anything in them.

Formats are recognised by content, never by a name. A file is clean if every byte of it was
understood and all of it is known to be harmless; what is neither that nor known to be
dangerous is undecided. Folders are walked; links that lead out of them are not followed.

Ignores are a YAML file:

  ignores:
    - rule: pickle-unknown-import
      path: models/ours/*.pkl
      reason: the class is our own, and was read
      expires: "2027-03-31"

What is ignored is listed all the same, and an ignore that has expired counts no more.

Exit codes: 0 all is clean or no model, 1 there are findings, 2 something is undecided.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return f.run(c, u, args) },
	}
	c.Flags().StringVar(&f.format, "format", "text", "of the result: text, json or sarif")
	c.Flags().StringVar(&f.ignores, "ignores", "", "a YAML file of findings to ignore, with reasons and days of expiry")
	c.Flags().IntVar(&f.workers, "workers", 0, "files at a time, up to 4 (as many as there are processors)")
	return c
}

func (f *scanFlags) run(c *cobra.Command, u *ui, paths []string) error {
	if f.format != "text" && f.format != "json" && f.format != "sarif" {
		return fmt.Errorf("--format %s: use text, json or sarif", f.format)
	}
	scanners := formats.All()
	rules := render.Rules(scanners)
	ignores, err := f.readIgnores(rules)
	if err != nil {
		return err
	}
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(scanMemory))
	runner := scan.Runner{Scanners: scanners, Workers: f.workers, Progress: u.files}
	results, err := runner.Paths(c.Context(), paths)
	u.done()
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = assay.WithCode(assay.CodeInput, err)
		}
		return err
	}
	ignored, stale := ignores.Apply(results, time.Now())
	report := render.New(results, ignored, stale)
	switch f.format {
	case "json":
		err = render.JSON(u.streams.Out, report)
	case "sarif":
		err = render.SARIF(u.streams.Out, report, rules)
	default:
		err = render.Text(u.streams.Out, report)
	}
	switch {
	case err != nil:
		return err
	case report.Summary.Finding > 0:
		return errFailed
	case report.Summary.Undecided > 0:
		return errUndecided
	}
	return nil
}

func (f *scanFlags) readIgnores(rules []scan.Rule) (*scan.Ignores, error) {
	if f.ignores == "" {
		return &scan.Ignores{}, nil
	}
	data, err := os.ReadFile(f.ignores)
	if err != nil {
		return nil, assay.WithCode(assay.CodeInput, err)
	}
	var ids []string
	for _, r := range rules {
		ids = append(ids, r.ID)
	}
	ignores, err := scan.ReadIgnores(f.ignores, data, ids)
	return ignores, assay.WithCode(assay.CodeInput, err)
}

// files shows how many files a scan has gone through.
func (u *ui) files(done, total int, path string) {
	now := time.Now()
	if u.started.IsZero() {
		u.started, u.line = now, now
	}
	if now.Sub(u.started) < quiet {
		return
	}
	if !u.terminal {
		if now.Sub(u.line) >= quiet && done < total {
			u.line = now
			u.note("file %d of %d: %q", done, total, path)
		}
		return
	}
	if u.bar == nil {
		u.bar = u.newBar(total)
	}
	u.bar.Describe(fmt.Sprintf("file %d/%d", done, total))
	u.bar.Set(done)
}
