package assess

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"assay"
	"assay/internal/evidence"
	"assay/internal/report"
	"assay/internal/signing"
)

// Recorded is a run folder, read.
type Recorded struct {
	Run       *evidence.Run
	Plan      *Plan
	Lock      *Lock
	Decisions []report.Decision // as they were written
}

// Read opens a run folder that came to its end.
func Read(folder string) (*Recorded, error) {
	run, err := evidence.Open(folder)
	if err != nil {
		return nil, assay.WithCode(assay.CodeInput, err)
	}
	r := &Recorded{Run: run, Plan: &Plan{}, Lock: &Lock{}}
	for name, into := range map[string]any{planFile: r.Plan, lockFile: r.Lock, decisionsFile: &r.Decisions} {
		if !run.Has(name) {
			return nil, assay.WithCode(assay.CodeEvidence, fmt.Errorf("%s has no %s: the run did not come to its end (the same assay assess goes on with it), or the file was removed", folder, name))
		}
		if err := run.Get(name, into); err != nil {
			return nil, assay.WithCode(assay.CodeEvidence, err)
		}
	}
	if r.Plan.Schema != planSchema {
		return nil, assay.WithCode(assay.CodeInput, fmt.Errorf("%s has a plan of the form %q, and this program reads %q", folder, r.Plan.Schema, planSchema))
	}
	if err := r.Plan.whole(); err != nil {
		return nil, assay.WithCode(assay.CodeEvidence, fmt.Errorf("%s: its plan is damaged: %w", folder, err))
	}
	return r, nil
}

// Verification is what verifying a run found.
type Verification struct {
	*evidence.Verification
	Void      map[string]string // by decision: why its evidence does not count
	Decisions []report.Decision // as they follow from the records
}

// Verify compares a run with its signature, and its decisions with what its records lead
// to. Now is what the system's description asks for today, nil where it is not at hand.
func (e *Engine) Verify(r *Recorded, now []PlannedDecision, trusted ...signing.PublicKey) (*Verification, error) {
	signed, err := r.Run.Verify(trusted...)
	if err != nil {
		return nil, assay.WithCode(assay.CodeEvidence, err)
	}
	v := &Verification{Verification: signed, Void: Void(r.Plan.Decisions, r.Lock, now)}
	problem := func(file, format string, args ...any) {
		v.Problems = append(v.Problems, evidence.Problem{File: file, Detail: fmt.Sprintf(format, args...)})
	}
	if sum := evidence.DigestOf(r.Plan); sum != r.Run.Manifest().Plan {
		problem(planFile, "it is not the plan that the manifest names")
	}
	then := Void(r.Plan.Decisions, r.Lock, nil)
	again, err := e.Judge(r.Run, r.Plan, then)
	if err != nil {
		problem(decisionsFile, "the decisions cannot be made again from the records: %v", err)
		return v, nil
	}
	if evidence.DigestOf(again) != evidence.DigestOf(r.Decisions) {
		problem(decisionsFile, "the records lead to other decisions")
	}
	if v.Decisions = again; maps.Equal(then, v.Void) {
		return v, nil
	}
	if v.Decisions, err = e.Judge(r.Run, r.Plan, v.Void); err != nil {
		return nil, err
	}
	return v, nil
}

// Difference is a unit of which a repetition saw something else.
type Difference struct {
	Test     string `json:"test"` // its title
	Unit     int    `json:"unit"`
	Recorded string `json:"recorded"`
	Again    string `json:"again"`
}

// Rerun observes units of a run again and compares them with the record. Units are indices of
// the data's records; none stands for all that were observed. It gives how many observations were compared.
func (e *Engine) Rerun(ctx context.Context, r *Recorded, units []int) (compared int, differ []Difference, err error) {
	for _, t := range r.Plan.Tests {
		tester, err := e.tester(t)
		if err != nil {
			return compared, differ, err
		}
		was, err := observed(r.Run, t)
		if err != nil {
			return compared, differ, assay.WithCode(assay.CodeEvidence, err)
		}
		if len(units) > 0 {
			was = slices.DeleteFunc(was, func(o Observation) bool { return !slices.Contains(units, o.Unit) })
		}
		if slices.ContainsFunc(was, func(o Observation) bool { return o.Unit < 0 || o.Unit >= t.Outline.Records }) {
			return compared, differ, assay.WithCode(assay.CodeEvidence, fmt.Errorf("%s: the records name units that the data do not have: the run folder is damaged", t.Title))
		}
		done := 0
		for part := range slices.Chunk(was, shardSize) {
			indices := make([]int, len(part))
			for i, o := range part {
				indices[i] = o.Unit
			}
			again, err := tester.Observe(ctx, t, indices)
			if err != nil {
				return compared, differ, testError(t, err)
			}
			for i, o := range part {
				if a, b := compact(o.Detail), compact(again[i].Detail); a != b || !reflect.DeepEqual(o.Outcomes, again[i].Outcomes) {
					differ = append(differ, Difference{t.Title, o.Unit, a, b})
				}
			}
			compared += len(part)
			done += len(part)
			e.report(Progress{Test: t.Title, Step: "again", Done: done, Total: len(was)})
		}
	}
	if compared == 0 {
		return 0, nil, fmt.Errorf("the run has observed none of the units %v", units)
	}
	return compared, differ, nil
}
