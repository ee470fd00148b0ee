package main

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/spf13/cobra"

	"assay"
	"assay/cmd/internal/scanning"
	"assay/internal/scan"
)

// scanFlags say how to scan.
type scanFlags struct{ options scanning.Options }

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
	c.Flags().StringVar(&f.options.Format, "format", "text", "of the result: text, json or sarif")
	c.Flags().StringVar(&f.options.Ignores, "ignores", "", "a YAML file of findings to ignore, with reasons and days of expiry")
	c.Flags().IntVar(&f.options.Workers, "workers", 0, "files at a time, up to 4 (as many as there are processors)")
	return c
}

func (f *scanFlags) run(c *cobra.Command, u *ui, paths []string) error {
	f.options.Progress = u.files
	worst, err := f.options.Run(c.Context(), u.streams.Out, paths)
	u.done()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return assay.WithCode(assay.CodeInput, err)
	case err != nil:
		return err
	case worst == scan.Found:
		return errFailed
	case worst == scan.Undecided:
		return errUndecided
	}
	return nil
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

// bytes shows how much of what is hashed is done.
func (u *ui) bytes(done, total int64) {
	const mega = 1 << 20
	now := time.Now()
	if u.started.IsZero() {
		u.started, u.line = now, now
	}
	if now.Sub(u.started) < quiet || total == 0 {
		return
	}
	if !u.terminal {
		if now.Sub(u.line) >= quiet && done < total {
			u.line = now
			u.note("%d of %d MB", done/mega, total/mega)
		}
		return
	}
	if u.bar == nil {
		u.bar = u.newBar(1000)
	}
	u.bar.Describe(fmt.Sprintf("%d/%d MB", done/mega, total/mega))
	u.bar.Set(int(float64(done) / float64(total) * 1000))
}
