package assess

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"assay"
	"assay/internal/catalog"
	"assay/internal/evidence"
	"assay/internal/report"
	"assay/internal/report/html"
	"assay/internal/report/json"
	"assay/internal/signing"
	"assay/internal/system"
)

// Setting is what an assessment is made with, beside the system.
type Setting struct {
	Description string // path of the system's description
	Folder      string // of the run; "" for one named after the run, in runs beside the description
	Program     evidence.Program
	Key         *signing.Key
	Now         func() time.Time
}

// Log tells when a run was made. It is the one file of a run that says more than its
// inputs and seed do.
type Log struct {
	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished,omitzero"`
}

const (
	logFile         = "log.json"
	descriptionFile = system.FileName
	reportFile      = "report.json"
	pageFile        = "report.html"
	lockName        = "assay.lock"
)

// Assessment is a run, ready to be made.
type Assessment struct {
	Engine  *Engine
	System  *system.System
	Plan    *Plan
	Setting Setting
}

// New plans the assessment of a system: it opens the models and data, and runs no attack.
func (e *Engine) New(ctx context.Context, s *system.System, c *catalog.Catalog, set Setting) (*Assessment, error) {
	p, err := e.Resolve(s, c)
	if err != nil {
		return nil, err
	}
	if err := e.Outline(ctx, s, p); err != nil {
		return nil, err
	}
	return &Assessment{e, s, p, set}, nil
}

// Changed tells which locked criteria this assessment would replace.
func (a *Assessment) Changed() ([]Locked, error) {
	l, err := OpenLock(a.lockPath())
	if err != nil {
		return nil, assay.WithCode(assay.CodeInput, err)
	}
	return l.Fix(a.Plan.Decisions, a.Setting.Now()), nil
}

func (a *Assessment) lockPath() string { return LockOf(a.Setting.Description) }

// Result is a finished assessment.
type Result struct {
	Run       *evidence.Run
	Decisions []report.Decision
	Page      string // path of the report
}

// Make makes the assessment: it locks the criteria, observes, judges, and writes and signs
// the run folder. A run that was interrupted goes on where it stood.
func (a *Assessment) Make(ctx context.Context) (*Result, error) {
	run, err := a.open()
	if err != nil {
		return nil, err
	}
	if err := a.Engine.Observe(ctx, run, a.Plan); err != nil {
		return nil, err
	}
	return a.finish(ctx, run)
}

// lock fixes the criteria, before anything is observed.
func (a *Assessment) lock() (*Lock, error) {
	l, err := OpenLock(a.lockPath())
	if err != nil {
		return nil, err
	}
	before := evidence.DigestOf(l)
	l.Fix(a.Plan.Decisions, a.Setting.Now())
	if evidence.DigestOf(l) == before {
		return l, nil
	}
	return l, l.Write(a.lockPath())
}

// open begins the run folder, or opens it again, and locks the criteria.
func (a *Assessment) open() (*evidence.Run, error) {
	m, err := a.manifest()
	if err != nil {
		return nil, err
	}
	folder := a.Setting.Folder
	if folder == "" {
		folder = filepath.Join(filepath.Dir(a.Setting.Description), "runs", m.Name())
	}
	run, err := evidence.Create(folder, m)
	if err != nil {
		return nil, assay.WithCode(assay.CodeInput, err)
	}
	if err := errors.Join(untouched(run), dated(run)); err != nil {
		return nil, err
	}
	lock, err := a.lock()
	if err != nil {
		return nil, assay.WithCode(assay.CodeInput, err)
	}
	description, err := os.ReadFile(a.Setting.Description)
	if err != nil {
		return nil, err
	}
	return run, errors.Join(
		once(run, descriptionFile, func() error { return run.Write(descriptionFile, description) }),
		once(run, lockFile, func() error { return run.Put(lockFile, lock.of(a.Plan.Decisions)) }),
		run.Put(planFile, a.Plan),
		once(run, logFile, func() error { return run.Put(logFile, Log{Started: now(a.Setting.Now)}) }))
}

// untouched refuses to go on with a finished run that was changed since.
func untouched(run *evidence.Run) error {
	if !run.Has(evidence.AttestationFile) {
		return nil
	}
	v, err := run.Verify()
	if err != nil {
		return err
	}
	if len(v.Problems) > 0 {
		return assay.WithCode(assay.CodeEvidence, fmt.Errorf("%s is a finished run that was changed since (%s): name another folder, or remove it", run.Dir(), v.Problems[0]))
	}
	return nil
}

// dated refuses to go on with a run whose observations cannot be shown to be younger than their criteria.
func dated(run *evidence.Run) error {
	var l Lock
	err := run.Get(lockFile, &l)
	if errors.Is(err, fs.ErrNotExist) {
		var names []string
		if names, err = run.Names(observationsFolder); err == nil && len(names) > 0 {
			err = fmt.Errorf("%s has observations and no %s, so nothing shows that the criteria were there first: name another folder, or remove it", run.Dir(), lockFile)
		}
	}
	return assay.WithCode(assay.CodeEvidence, err)
}

func once(run *evidence.Run, name string, write func() error) error {
	if run.Has(name) {
		return nil
	}
	return write()
}

func now(clock func() time.Time) time.Time { return clock().UTC().Truncate(time.Second) }

// manifest names all that the run rests on.
func (a *Assessment) manifest() (evidence.Manifest, error) {
	files, err := inputs(a.System, func(system.File) bool { return true })
	return evidence.Manifest{Program: a.Setting.Program, Description: a.System.Digest(), Inputs: files, Seed: a.Plan.Seed, Plan: evidence.DigestOf(a.Plan)}, err
}

// inputs gives the digests of the files that a description names, as far as they are wanted.
func inputs(s *system.System, wanted func(system.File) bool) (all []evidence.Input, err error) {
	for _, f := range s.Files() {
		if !wanted(f) {
			continue
		}
		bytes, sum, err := Digest(s.Path(f.Path))
		if err != nil {
			return nil, assay.WithCode(assay.CodeInput, fmt.Errorf("%s (%s): %w", f.Path, f.Role, err))
		}
		all = append(all, evidence.Input{Role: f.Role, Path: f.Path, Bytes: bytes, SHA256: sum})
	}
	return all, nil
}

// SameInputs refuses a system whose files are not those that a run was made from. What is written
// in the description beside them may have changed, as far as it still names the same models and data.
func SameInputs(m evidence.Manifest, s *system.System) error {
	now, err := inputs(s, func(system.File) bool { return true })
	if err != nil {
		return err
	}
	for _, was := range m.Inputs {
		i := slices.IndexFunc(now, func(in evidence.Input) bool { return in.Role == was.Role })
		if i >= 0 && now[i].SHA256 == was.SHA256 {
			continue
		}
		return assay.WithCode(assay.CodeEvidence, fmt.Errorf("the %s (%s) is not the one that the run was made from, so repeating it would show nothing: restore it", was.Role, was.Path))
	}
	return nil
}

// Digest gives the length and SHA-256 of a file, or of a folder's files by their names.
func Digest(path string) (bytes int64, sum string, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, "", err
	}
	if !info.IsDir() {
		return evidence.DigestFile(path)
	}
	h := sha256.New()
	err = filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		n, one, err := evidence.DigestFile(p)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(path, p)
		if err != nil {
			return err
		}
		bytes += n
		fmt.Fprintf(h, "%s  %s\n", one, filepath.ToSlash(rel))
		return nil
	})
	return bytes, hex.EncodeToString(h.Sum(nil)), err
}

// finish judges what was observed, and writes and signs what comes of it.
func (a *Assessment) finish(ctx context.Context, run *evidence.Run) (*Result, error) {
	e, p := a.Engine, a.Plan
	void, err := a.void(run)
	if err != nil {
		return nil, err
	}
	decisions, err := e.Judge(run, p, void)
	if err != nil {
		return nil, err
	}
	if err := run.Put(decisionsFile, decisions); err != nil {
		return nil, err
	}
	if err := e.Present(ctx, run, p); err != nil {
		return nil, err
	}
	if err := stamp(run, a.Setting.Now); err != nil {
		return nil, err
	}
	doc, err := e.Document(run, p, decisions, void)
	if err != nil {
		return nil, err
	}
	if err := write(run, doc); err != nil {
		return nil, err
	}
	return &Result{run, decisions, filepath.Join(run.Dir(), pageFile)}, run.Seal(a.Setting.Key, attested(decisions))
}

func (a *Assessment) void(run *evidence.Run) (map[string]string, error) {
	var locked Lock
	if err := run.Get(lockFile, &locked); err != nil {
		return nil, err
	}
	return Void(a.Plan.Decisions, &locked, a.Plan.Decisions), nil
}

// stamp notes when the run came to its end, the first time.
func stamp(run *evidence.Run, clock func() time.Time) error {
	var l Log
	if err := run.Get(logFile, &l); err != nil {
		return err
	}
	l.Finished = cmp.Or(l.Finished, now(clock))
	return run.Put(logFile, l)
}

// write writes the report for people and for programs.
func write(run *evidence.Run, doc *report.Document) error {
	var page, data buffer
	if err := errors.Join(html.Write(&page, doc), json.Write(&data, doc)); err != nil {
		return err
	}
	return errors.Join(run.Write(pageFile, page), run.Write(reportFile, data))
}

type buffer []byte

func (b *buffer) Write(p []byte) (int, error) {
	*b = append(*b, p...)
	return len(p), nil
}

// attested sums decisions up for the signed statement.
func attested(decisions []report.Decision) evidence.TestResult {
	r := evidence.TestResult{Result: "PASSED"}
	for _, d := range decisions {
		switch d.Outcome {
		case assay.Adequate, assay.NotApplicable:
			r.PassedTests = append(r.PassedTests, d.ID)
		case assay.Inadequate:
			r.FailedTests = append(r.FailedTests, d.ID)
		default:
			r.WarnedTests = append(r.WarnedTests, d.ID)
		}
	}
	switch {
	case len(r.FailedTests) > 0:
		r.Result = "FAILED"
	case len(r.WarnedTests) > 0:
		r.Result = "WARNED"
	}
	return r
}

// Present has the testers describe their tests for readers, and records that.
func (e *Engine) Present(ctx context.Context, run *evidence.Run, p *Plan) error {
	for _, t := range p.primary() {
		seen, err := observed(run, t)
		if err != nil {
			return err
		}
		tester := e.Testers[t.Vulnerability]
		controls, err := controlled(run, tester, t)
		if err != nil {
			return err
		}
		described, err := tester.Present(ctx, t, seen, controls)
		if err != nil {
			return testError(t, err)
		}
		described.ID, described.Title, described.Model, described.Data, described.Seed = t.ID, t.Title, t.Model, t.Data, t.Seed
		described.Rerun = "assay rerun RUN"
		if err := run.Put(presentFile(t.ID), described); err != nil {
			return err
		}
	}
	return nil
}
