package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"assay"
	"assay/internal/assess"
	"assay/internal/builtin"
	"assay/internal/evidence"
	"assay/internal/report"
	"assay/internal/report/html"
	reportjson "assay/internal/report/json"
	"assay/internal/report/junit"
	"assay/internal/report/sarif"
	"assay/internal/signing"
	"assay/internal/system"
)

// today gives what the description that a run was made from asks for now, nil where it is not at hand.
func today(e *assess.Engine, run, path string) ([]assess.PlannedDecision, error) {
	if path == "" {
		path = filepath.Join(run, "..", "..", system.FileName)
		if _, err := os.Stat(path); err != nil {
			return nil, nil // handed over without it
		}
	}
	s, c, err := openSystem(path)
	if err != nil {
		return nil, err
	}
	plan, err := e.Resolve(s, c)
	if err != nil {
		return nil, err
	}
	return plan.Decisions, nil
}

// verifyFlags are those of commands that check a run.
type verifyFlags struct {
	system, format string
	keys           []string
}

func (f *verifyFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.system, "system", "", "the description that the run was made from, to see whether its criteria were edited since (assay.yaml two folders above the run, where there is one)")
	c.Flags().StringSliceVar(&f.keys, "key", nil, "public keys that are trusted (your own key, where you have one)")
}

// verify checks a run. Where files were changed so that the run cannot even be read, that is
// what it finds, and nothing is recorded.
func (f *verifyFlags) verify(folder string) (*assess.Engine, *assess.Recorded, *assess.Verification, error) {
	trusted, err := f.trusted()
	if err != nil {
		return nil, nil, nil, err
	}
	recorded, err := assess.Read(folder)
	if err != nil {
		if v, failed := evidence.Inspect(folder, trusted...); failed == nil && len(v.Problems) > 0 {
			return nil, nil, &assess.Verification{Verification: v}, nil
		}
		return nil, nil, nil, err
	}
	testers, _ := builtin.Testers(nil, "", clock)
	e := &assess.Engine{Testers: testers}
	now, err := today(e, folder, f.system)
	if err != nil {
		return nil, nil, nil, err
	}
	v, err := e.Verify(recorded, now, trusted...)
	return e, recorded, v, err
}

// trusted opens the keys that are trusted.
func (f *verifyFlags) trusted() ([]signing.PublicKey, error) {
	var trusted []signing.PublicKey
	for _, path := range f.keys {
		key, err := signing.ReadPublicKey(path)
		if err != nil {
			return nil, err
		}
		trusted = append(trusted, key)
	}
	if config, err := os.UserConfigDir(); err == nil && len(f.keys) == 0 {
		if key, err := signing.ReadPublicKey(filepath.Join(config, "assay", "key.pem")); err == nil {
			trusted = append(trusted, key)
		}
	}
	return trusted, nil
}

func verifyCommand(u *ui) *cobra.Command {
	f := &verifyFlags{}
	c := &cobra.Command{
		Use:   "verify RUN",
		Short: "Verify that a run is as it was signed, and that its decisions follow from its records",
		Long: `Verify that a run is as it was signed, and that its decisions follow from its records.

Every file is compared with the digest that was signed, the decisions are made again from
the records, and the criteria compared with those locked before the run and, where the
system's description is at hand, with what it asks for today.

Exit codes: 0 nothing is wrong, 1 the run was changed, 2 evidence is void.`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := checkFormat(f.format); err != nil {
				return err
			}
			_, recorded, v, err := f.verify(args[0])
			if err != nil {
				return err
			}
			return u.verified(f, args[0], recorded, v)
		},
	}
	f.add(c)
	c.Flags().StringVar(&f.format, "format", "text", "of the result: text or json")
	return c
}

// verified prints what verifying found.
func (u *ui) verified(f *verifyFlags, folder string, r *assess.Recorded, v *assess.Verification) error {
	var err error
	run := filepath.Base(folder)
	if r != nil {
		run = r.Run.Manifest().Run
	}
	switch {
	case len(v.Problems) > 0:
		err = errFailed
	case len(v.Void) > 0:
		err = errUndecided
	}
	if f.format == "json" {
		problems := v.Problems
		if problems == nil {
			problems = []evidence.Problem{}
		}
		void := v.Void
		if void == nil {
			void = map[string]string{}
		}
		return errors.Join(u.json(map[string]any{"run": run, "files": v.Files, "key": v.Key, "trusted": v.Trusted, "problems": problems, "void": void}), err)
	}
	for _, p := range v.Problems {
		u.row("changed", "%s", p)
	}
	for _, id := range slices.Sorted(maps.Keys(v.Void)) {
		u.row("void", "%s: %s", id, v.Void[id])
	}
	u.row("run", "%s, %d files are as they were signed", run, v.Files)
	if v.Key != "" {
		whose := "which is not among the trusted ones: compare it with what its owner tells you, and give it with --key"
		if v.Trusted {
			whose = "which is trusted"
		}
		u.row("key", "%s, %s", v.Key, whose)
	}
	return err
}

func rerunCommand(u *ui) *cobra.Command {
	f := &systemFlags{}
	var path string
	c := &cobra.Command{
		Use:   "rerun RUN [UNIT...]",
		Short: "Repeat a run, or some of its units, and compare with what was recorded",
		Long: `Repeat a run, or some of its units, and compare with what was recorded.

A unit is the index of a record in its data, from 0, as the records of the run name it. Models
and data are those of the system's description, and must be those of the run.

Exit codes: 0 everything came out the same, 1 something did not.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			f.path = path
			if path == "" {
				f.path = filepath.Join(args[0], "..", "..", system.FileName)
			}
			return f.rerun(c.Context(), u, args[0], args[1:])
		},
	}
	f.add(c)
	c.Flags().StringVar(&path, "system", "", "the description that the run was made from (assay.yaml two folders above the run)")
	return c
}

func (f *systemFlags) rerun(ctx context.Context, u *ui, folder string, args []string) error {
	recorded, err := assess.Read(folder)
	if err != nil {
		return err
	}
	var units []int
	for _, text := range args {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return fmt.Errorf("%q is no unit: give the index of a record, from 0", text)
		}
		units = append(units, n)
	}
	b, err := f.prepare(ctx, u)
	if err != nil {
		return err
	}
	defer b.close()
	if err := assess.SameInputs(recorded.Run.Manifest(), b.system); err != nil {
		return err
	}
	compared, differ, err := b.engine.Rerun(ctx, recorded, units)
	u.done()
	if err != nil {
		return err
	}
	if f.format == "json" {
		if differ == nil {
			differ = []assess.Difference{}
		}
		err = u.json(map[string]any{"run": recorded.Run.Manifest().Run, "compared": compared, "differ": differ})
	} else {
		for _, d := range differ {
			u.row("differs", "%s, unit %d: recorded %s, now %s", d.Test, d.Unit, d.Recorded, d.Again)
		}
		u.row("run", "%s, %d observations repeated, %d differ", recorded.Run.Manifest().Run, compared, len(differ))
	}
	if err == nil && len(differ) > 0 {
		err = errFailed
	}
	return err
}

// renderers write a report in its forms.
var renderers = map[string]func(io.Writer, *report.Document) error{
	"html": html.Write, "json": reportjson.Write, "sarif": sarif.Write, "junit": junit.Write,
}

func reportCommand(u *ui) *cobra.Command {
	f := &verifyFlags{}
	var format, out string
	c := &cobra.Command{
		Use:   "report RUN",
		Short: "Write the report of a run: a page, JSON, SARIF or JUnit",
		Long: `Write the report of a run: a page for people (html), or json, sarif or junit for programs.

The run is verified first, and the decisions are made again from its records. What is void by
now, such as evidence for a criterion that was edited since, is shown as invalid.`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			render := renderers[format]
			if render == nil {
				return usagef("--format %s: use html, json, sarif or junit", format)
			}
			e, recorded, v, err := f.verify(args[0])
			if err != nil {
				return err
			}
			if len(v.Problems) > 0 {
				return assay.WithCode(assay.CodeEvidence, fmt.Errorf("%s was changed since it was signed (%s), so there is nothing to report: assay verify lists all", args[0], v.Problems[0]))
			}
			doc, err := e.Document(recorded.Run, recorded.Plan, v.Decisions, v.Void)
			if err != nil {
				return err
			}
			if err := u.render(doc, render, out); err != nil {
				return err
			}
			if len(v.Void) > 0 {
				u.note("evidence is void: %s", doc.Void[0])
				return errUndecided
			}
			return nil
		},
	}
	f.add(c)
	c.Flags().StringVar(&format, "format", "html", "html, json, sarif or junit")
	c.Flags().StringVarP(&out, "out", "o", "-", "the file to write, - for the output")
	return c
}

func (u *ui) render(doc *report.Document, render func(io.Writer, *report.Document) error, out string) error {
	if out == "-" {
		return render(u.streams.Out, doc)
	}
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	return errors.Join(render(f, doc), f.Close())
}
