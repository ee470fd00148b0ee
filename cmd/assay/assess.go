package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"assay"
	"assay/internal/assess"
	"assay/internal/builtin"
	"assay/internal/catalog"
	"assay/internal/evidence"
	"assay/internal/model/ort"
	"assay/internal/report"
	"assay/internal/signing"
	"assay/internal/system"
)

// systemFlags say which system is assessed, and with what.
type systemFlags struct {
	path, library string
	workers       int
	format        string
	admission     admission
}

func (f *systemFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.library, "library", "", "the ONNX Runtime library, where it is not found by itself")
	c.Flags().IntVar(&f.workers, "workers", 0, "shards at once (as many as there are processors); results do not depend on it")
	c.Flags().StringVar(&f.format, "format", "text", "of the result: text or json")
	f.admission.add(c)
}

// description is the path of the description that an argument means: a file, or the one
// in a folder.
func description(args []string) string {
	path := "."
	if len(args) > 0 {
		path = args[0]
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, system.FileName)
	}
	return path
}

// bench is what an assessment is made with. Close it.
type bench struct {
	system  *system.System
	catalog *catalog.Catalog
	engine  *assess.Engine
	despite []report.Override // what is opened although the scan finds something in it
	close   func()
}

// openSystem opens a description, and the catalogue with its own files laid over it.
func openSystem(path string) (*system.System, *catalog.Catalog, error) {
	s, err := system.Open(path)
	if err != nil {
		return nil, nil, err
	}
	var own []string
	for _, p := range s.Catalogues {
		own = append(own, s.Path(p))
	}
	c, err := catalog.Open(own...)
	return s, c, err
}

// prepare opens a description and its catalogues, and has its models scanned.
func (f *systemFlags) prepare(ctx context.Context, u *ui) (*bench, error) {
	if err := checkFormat(f.format); err != nil {
		return nil, err
	}
	if f.workers < 0 {
		return nil, usagef("--workers %d: give how many shards are to run at once, or 0 for as many as there are processors", f.workers)
	}
	s, c, err := openSystem(f.path)
	if err != nil {
		return nil, err
	}
	despite, err := f.admission.system(ctx, u, f.path, s)
	if err != nil {
		return nil, err
	}
	testers, closing := builtin.Testers(s, f.library, clock)
	e := &assess.Engine{Testers: testers, Workers: cmp.Or(f.workers, runtime.NumCPU()), Progress: u.assessing}
	return &bench{s, c, e, despite, closing}, nil
}

// plan opens the models and data.
func (b *bench) plan(ctx context.Context, f *systemFlags, set assess.Setting) (*assess.Assessment, error) {
	var err error
	if set.Program, err = thisProgram(f.library); err != nil {
		return nil, err
	}
	set.Description, set.Now = f.path, clock
	a, err := b.engine.New(ctx, b.system, b.catalog, set)
	if err == nil {
		a.Plan.Catalogue.Overrides = append(a.Plan.Catalogue.Overrides, b.despite...)
	}
	return a, err
}

// clock is the time, or the one that SOURCE_DATE_EPOCH fixes, as for reproducible builds.
func clock() time.Time {
	if seconds, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64); err == nil {
		return time.Unix(seconds, 0)
	}
	return time.Now()
}

// thisProgram tells which program and runtime make a run.
func thisProgram(library string) (p evidence.Program, err error) {
	if err := ort.Load(library); err != nil {
		return p, err
	}
	path, runtimeVersion := ort.Loaded()
	if _, p.Library, err = evidence.DigestFile(path); err != nil {
		return p, err
	}
	exe, err := os.Executable()
	if err != nil {
		return p, err
	}
	if _, p.SHA256, err = evidence.DigestFile(exe); err != nil {
		return p, err
	}
	this := aboutThis()
	p.Version, p.Runtime, p.Go, p.System = this.Version, runtimeVersion, this.Go, this.System
	return p, nil
}

func planCommand(u *ui) *cobra.Command {
	f := &systemFlags{}
	c := &cobra.Command{
		Use:   "plan [FOLDER | assay.yaml]",
		Short: "Show what an assessment would run, without running it",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			f.path = description(args)
			b, err := f.prepare(c.Context(), u)
			if err != nil {
				return err
			}
			defer b.close()
			a, err := b.plan(c.Context(), f, assess.Setting{})
			if err != nil {
				return err
			}
			if f.format == "json" {
				return u.json(planJSON(a))
			}
			u.planned(a)
			return nil
		},
	}
	f.add(c)
	return c
}

func planJSON(a *assess.Assessment) any {
	type estimate struct {
		Test    string  `json:"test"`
		Units   int     `json:"units"`
		Queries int     `json:"queries"`
		Seconds float64 `json:"seconds"`
	}
	out := struct {
		*assess.Plan
		Estimates []estimate `json:"estimates"`
	}{Plan: a.Plan, Estimates: []estimate{}}
	for _, t := range a.Plan.Tests {
		n := a.Plan.Units(t)
		out.Estimates = append(out.Estimates, estimate{t.ID, n, n * t.Outline.Queries, float64(n) * t.Outline.Seconds})
	}
	return out
}

// planned prints a plan.
func (u *ui) planned(a *assess.Assessment) {
	p := a.Plan
	u.row("system", "%s (%s, %s risk, %s)", p.System.Name, p.System.Modality, p.System.Risk, p.System.Stage)
	for _, d := range p.Decisions {
		u.row("decide", "%s: %s", d.ID, d.Title)
		if d.Test == "" {
			u.row("", "undecided: %s", d.Untested)
			continue
		}
		u.row("", "%s", d.Criterion)
		u.row("", "%s", d.Plan)
	}
	total := 0.0
	for _, t := range p.Tests {
		n := p.Units(t)
		total += float64(n) * t.Outline.Seconds
		names := make([]string, len(t.Outline.Methods))
		for i, m := range t.Outline.Methods {
			names[i] = m.Name
		}
		u.row("test", "%s: about %d units, at most %d queries each", t.Title, n, t.Outline.Queries)
		u.row("", "%s", strings.Join(names, ", "))
		for _, remark := range t.Outline.Remarks {
			u.row("", "%s", remark)
		}
	}
	if total > 0 {
		u.row("time", "at most about %s, if nothing is decided or broken early", (time.Duration(total/float64(max(a.Engine.Workers, 1))*1e9) * time.Nanosecond).Round(time.Second))
	}
}

func assessCommand(u *ui) *cobra.Command {
	f := &systemFlags{}
	var folder, key string
	c := &cobra.Command{
		Use:   "assess [FOLDER | assay.yaml]",
		Short: "Assess a system: decide whether its solutions achieve their goals",
		Long: `Assess a system: decide whether its solutions achieve their goals.

The criteria are locked in assay.lock before anything is observed. What is observed,
the decisions and the report go into a run folder, which is signed. A run that was
interrupted goes on where it stood when the same command is given again.

Exit codes: 0 all adequate, 1 a solution is inadequate, 2 something is undecided or
invalid, 3 the description or what it names cannot be used.`,
		Example: `  assay assess examples/diagnosis
  assay assess --run evidence/2026-11 --format json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			f.path = description(args)
			return f.assess(c.Context(), u, folder, key)
		},
	}
	f.add(c)
	c.Flags().StringVar(&folder, "run", "", "the run folder (runs/ID beside the description)")
	c.Flags().StringVar(&key, "key", "", "the key that signs (made in your configuration folder)")
	return c
}

func (f *systemFlags) assess(ctx context.Context, u *ui, folder, keyPath string) error {
	b, err := f.prepare(ctx, u)
	if err != nil {
		return err
	}
	defer b.close()
	key, err := u.key(keyPath)
	if err != nil {
		return err
	}
	a, err := b.plan(ctx, f, assess.Setting{Folder: folder, Key: key})
	if err != nil {
		return err
	}
	for _, t := range a.Plan.Tests {
		for _, remark := range t.Outline.Remarks {
			u.note("%s: %s", t.Title, remark)
		}
	}
	changed, err := a.Changed()
	if err != nil {
		return err
	}
	for _, c := range changed {
		u.note("the criterion of %s was locked on %s and is another one now: evidence of runs made under the former one is void", c.Decision, c.Time.Format(time.DateOnly))
	}
	result, err := a.Make(ctx)
	u.done()
	if err != nil {
		if ctx.Err() != nil {
			u.note("the same command goes on where this run stood")
		}
		return err
	}
	if f.format == "json" {
		err = u.json(assessJSON{result.Run.Manifest().Run, result.Run.Dir(), result.Page, result.Decisions})
	} else {
		u.decided(result.Decisions)
		u.row("run", "%s", result.Run.Dir())
		u.row("report", "%s", result.Page)
	}
	if err != nil {
		return err
	}
	return worst(result.Decisions)
}

type assessJSON struct {
	Run       string            `json:"run"`
	Folder    string            `json:"folder"`
	Report    string            `json:"report"`
	Decisions []report.Decision `json:"decisions"`
}

// worst is the error that stands for decisions: none where all are adequate.
func worst(decisions []report.Decision) (err error) {
	for _, d := range decisions {
		switch d.Outcome {
		case assay.Inadequate:
			return errFailed
		case assay.Undecided, assay.Invalid:
			err = errUndecided
		}
	}
	return err
}

// decided prints decisions.
func (u *ui) decided(decisions []report.Decision) {
	for _, d := range decisions {
		u.row(u.outcome(d.Outcome), "%s: %s", d.ID, d.Reason)
		if d.Ablation != nil {
			u.row("", "%s is %s with the solution and %s without it", d.Ablation.Metric, percent(d.Ablation.With), percent(d.Ablation.Without))
		}
	}
}

// outcome gives the name of an outcome, in colour on a terminal.
func (u *ui) outcome(o assay.Outcome) string {
	colour := map[assay.Outcome]string{assay.Adequate: "32", assay.Inadequate: "31", assay.Undecided: "33", assay.Invalid: "35"}[o]
	if !u.colours || colour == "" {
		return string(o)
	}
	return fmt.Sprintf("\x1b[%sm%-12s\x1b[0m", colour, o)
}

// key opens the user's signing key, and says so where it made one.
func (u *ui) key(path string) (*signing.Key, error) {
	if path == "" {
		folder, err := os.UserConfigDir()
		if err != nil {
			return nil, fmt.Errorf("there is no folder for the signing key (%w): name one with --key", err)
		}
		path = filepath.Join(folder, "assay", "key.pem")
	}
	key, created, err := signing.OpenKey(path)
	if created {
		u.note("made a signing key, %s: keep it to yourself, and give its public half (key.pub.pem of any run) to those who verify", path)
	}
	return key, err
}

// assessing shows where an assessment stands.
func (u *ui) assessing(p assess.Progress) {
	now := time.Now()
	if u.started.IsZero() {
		u.started, u.line = now, now
	}
	if now.Sub(u.started) < quiet || p.Total == 0 {
		return
	}
	rate := ""
	if seconds := p.Spent.Seconds(); seconds > 0 && p.Done > 0 {
		perSecond := float64(p.Done) / seconds
		left := time.Duration(float64(p.Total-p.Done) / perSecond * float64(time.Second)).Round(time.Second)
		rate = fmt.Sprintf("  %.1f/s, at most %s left", perSecond, left)
	}
	text := fmt.Sprintf("%s: %s %d/%d%s", p.Test, p.Step, p.Done, p.Total, rate)
	if !u.terminal {
		if now.Sub(u.line) >= quiet {
			u.line = now
			u.note("%s", text)
		}
		return
	}
	if u.bar == nil || u.barOf != p.Test+p.Step {
		u.done()
		u.bar, u.barOf = u.newBar(p.Total), p.Test+p.Step
	}
	u.bar.ChangeMax(p.Total)
	u.bar.Describe(text)
	u.bar.Set(p.Done)
}
