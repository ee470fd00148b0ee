package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"assay"
	"assay/internal/assess"
	"assay/internal/report"
	"assay/internal/scan"
	"assay/internal/scan/formats"
	"assay/internal/system"
	"assay/onnx"
)

// admission has every model file scanned before anything opens it: one with a finding is
// refused, unless the user says why it is to be opened all the same.
type admission struct{ despite string }

const admissionFlag = "allow-unsafe-model"

func (a *admission) add(c *cobra.Command) {
	c.Flags().StringVar(&a.despite, admissionFlag, "", "why model files are to be opened in which the scan finds something dangerous")
}

// open opens a model that is admitted.
func (a *admission) open(ctx context.Context, u *ui, path string) (*onnx.Model, error) {
	if _, err := a.admit(ctx, u, path); err != nil {
		return nil, err
	}
	return onnx.Open(path)
}

// admit scans files, and gives those with findings that are to be opened all the same. A file that could
// not be decided is opened, and said so: all that reads it here takes it for hostile.
func (a *admission) admit(ctx context.Context, u *ui, paths ...string) (despite []scan.Result, err error) {
	runner := scan.Runner{Scanners: formats.All()}
	results, err := runner.Paths(ctx, paths)
	if err != nil {
		return nil, err
	}
	for _, r := range results {
		if len(r.Findings) == 0 {
			continue
		}
		worst := r.Findings[0]
		for _, f := range r.Findings {
			if f.Severity != scan.Unknown && worst.Severity == scan.Unknown {
				worst = f
			}
		}
		switch {
		case r.Status == scan.Undecided:
			u.note("%s: the scan could not decide whether it is harmless (%s: %s)", r.Path, worst.Rule, worst.Message)
		case r.Status == scan.Found && strings.TrimSpace(a.despite) == "":
			return nil, assay.WithCode(assay.CodeInput, fmt.Errorf("%s is not opened: the scan finds %s in it (%s) Look at it with assay scan; if it is to be opened all the same, say why with --%s",
				r.Path, worst.Rule, worst.Message, admissionFlag))
		case r.Status == scan.Found:
			u.note("%s is opened although the scan finds %s in it, because: %s", r.Path, worst.Rule, a.despite)
			despite = append(despite, r)
		}
	}
	return despite, nil
}

// system admits the models of a system: first its lock must agree.
func (a *admission) system(ctx context.Context, u *ui, description string, s *system.System) ([]report.Override, error) {
	if err := assess.RefuseOthers(description, s); err != nil {
		return nil, err
	}
	var paths []string
	for i := range s.Models {
		if s.Models[i].File != "" {
			paths = append(paths, s.Path(s.Models[i].File))
		}
	}
	despite, err := a.admit(ctx, u, paths...)
	var told []report.Override
	for _, r := range despite {
		for i := range s.Models {
			if m := &s.Models[i]; m.File != "" && s.Path(m.File) == r.Path {
				told = append(told, report.Override{What: fmt.Sprintf("scan of the model %s: %s", m.Name, r.Findings[0].Rule), From: "refused", To: "opened", Reason: a.despite, Where: "--" + admissionFlag})
			}
		}
	}
	return told, err
}
