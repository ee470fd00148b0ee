// Package reporttest has documents on which renderers are tested and looked at. Their
// figures are made up, within what such systems show; their bounds are computed.
package reporttest

import (
	"fmt"
	"strings"
	"time"

	"assay"
	"assay/internal/criteria"
	"assay/internal/report"
)

var created = time.Date(2026, time.November, 23, 14, 5, 0, 0, time.UTC)

// Digits is an assessment of two image classifiers, one hardened, with pictures.
func Digits() *report.Document {
	d := base("Meter reading, digit recognition")
	d.System.Description = "Reads the digits of electricity meters from photographs, 8×8 pixels each, for billing."
	d.Decisions = digitsDecisions()
	d.Tests = []report.Test{digitsTest("hardened", 0), digitsTest("undefended", 1)}
	d.Matrix = matrix(d.Decisions, map[string]report.Cell{
		"evasion/detect":        {State: report.Covered, Solutions: []string{"Query monitor"}},
		"data-poisoning/detect": {State: report.Covered, Solutions: []string{"Label audit"}},
		"confidentiality/prevent": {
			State: report.Excused, By: "R. Okafor, CISO", Date: "2026-10-02",
			Reason: "The training data are published; there is nothing to keep confidential.",
		},
	})
	return d
}

func base(name string) *report.Document {
	digest := strings.Repeat("3f9ac1d0", 8)
	return &report.Document{
		Schema: report.Version, Run: "b41c0d6f2e97", Created: created,
		Locked:  &report.Lock{Time: created.Add(-42 * time.Minute), SHA256: digest},
		Program: report.Program{Version: "v0.3.0", Runtime: "1.27.0", Go: "go1.26.0", System: "linux/amd64"},
		System:  report.System{Name: name, Provider: "Stadtwerke Musterstadt", Stage: assay.Verification, Modality: assay.Image, Risk: assay.Medium},
		Metrics: []report.Metric{
			{Name: "clean-accuracy-lost", Title: "clean accuracy lost"},
			{Name: "latency-p99", Title: "latency, 99th percentile", Unit: "ms"},
		},
		Decisions: []report.Decision{}, Tests: []report.Test{}, Matrix: matrix(nil, nil),
		Catalogue: report.Catalogue{Version: "assay-catalogue/2026-11", Overrides: []report.Override{{
			What: "goal evasion-prevent: limit", From: "20 %", To: "15 %", Where: "assay.yaml:48",
			Reason: "Contract with the distribution operator, annex 3: at most 15 % of readings may be forced wrong.",
		}}},
		Inputs: []report.Input{
			{Role: "assay.yaml", Path: "examples/digits/assay.yaml", Bytes: 2811, SHA256: digest},
			{Role: "model hardened", Path: "examples/digits/hardened.onnx", Bytes: 151_220, SHA256: strings.Repeat("a07be522", 8)},
			{Role: "model undefended", Path: "examples/digits/undefended.onnx", Bytes: 151_220, SHA256: strings.Repeat("910cde4f", 8)},
			{Role: "data test", Path: "examples/digits/digits.csv.gz", Bytes: 57_523, SHA256: strings.Repeat("58dd02a9", 8)},
		},
		Reproduce: []string{"assay verify runs/b41c0d6f2e97", "assay rerun runs/b41c0d6f2e97"},
		Statements: []report.Statement{
			{Title: "No presumption of conformity", Text: "This report is evidence for those who judge conformity. It claims no presumption of conformity with Regulation (EU) 2024/1689 or with any harmonised standard."},
			{Title: "What the figures are about", Text: "Rates hold for the population from which the test data were drawn, against the attackers stated, and for the artefacts with the digests below."},
		},
	}
}

// matrix gives all cells: decided where there are decisions, as told, and otherwise open.
func matrix(decisions []report.Decision, told map[string]report.Cell) []report.Cell {
	var cells []report.Cell
	for _, at := range assay.Cells() {
		cell := told[at.String()]
		cell.Cell = at
		if cell.State == "" {
			cell.State = report.Open
		}
		for _, d := range decisions {
			if d.Vulnerability == at.Vulnerability && d.Function == at.Function {
				cell.State = report.Decided
				cell.Decisions = append(cell.Decisions, d.ID)
				cell.Solutions = append(cell.Solutions, d.Solution)
			}
		}
		cells = append(cells, cell)
	}
	return cells
}

func digitsDecisions() []report.Decision {
	mappings := []report.ID{
		{Catalogue: "MITRE ATLAS", Version: "5.1.0", ID: "AML.T0015", Title: "Evade ML Model", URL: "https://atlas.mitre.org/techniques/AML.T0015"},
		{Catalogue: "OWASP AI Exchange", Version: "2026-09", ID: "evasion", Title: "Evasion", URL: "https://owaspai.org/goto/evasion/"},
		{Catalogue: "NIST AI 100-2", Version: "E2025", ID: "NISTAML.022", Title: "Evasion"},
		{Catalogue: "ETSI EN 304 223", Version: "2.1.1", ID: "5.2.5-1"},
	}
	make := func(id, goal, title, text, solution, test string, function assay.Function, d criteria.Decision) report.Decision {
		return report.Decision{
			ID: id, Goal: goal, Title: title, Text: text, Vulnerability: assay.Evasion, Function: function, Solution: solution,
			Kind: assay.Technical, Decision: d, Test: test, Articles: []string{"AI Act Art. 15(5)", "AI Act Annex IV(2)(h)"}, Mappings: mappings,
			Sampling: &criteria.Sampling{Rule: criteria.Sequential, N: 400, Power: 0.9, Assumed: 0.075},
		}
	}
	const (
		title = "Small changes of an image do not change the reading"
		text  = "An attacker who knows the model and changes each pixel by at most 1/16 of its range succeeds on at most 15 % of the images that are read correctly."
	)
	hardened := decision("attack-success-rate", assay.AtMost, 0.15, 21, 240,
		"At most 12.4 % of images can be forced wrong, which is below the limit of 15 %; decided after 240 of at most 400 images.")
	hardened.Valid = checks("")
	hardened.P = 0.0021
	hardened.Costs = []criteria.CostDecision{
		cost("clean-accuracy-lost", assay.AtMost, 0.04, 3, 360, "3 of 360 images are read correctly only without the solution."),
		latency(1.84, 1.79, 1.91, 5),
	}
	first := make("evasion-prevent-hardened", "evasion-prevent", title, text, "Adversarial training (PGD, Linf 1/16)", "evasion-hardened", assay.Prevent, hardened)
	first.Ablation = &report.Change{Metric: "attack-success-rate", Without: 0.862, With: 0.0875, Difference: -0.7745, Lower: -0.823, Upper: -0.719, Confidence: 0.95, N: 240}

	undefended := decision("attack-success-rate", assay.AtMost, 0.15, 28, 40,
		"At least 56.0 % of images can be forced wrong, which is above the limit of 15 %; decided after 40 of at most 400 images.")
	undefended.Valid = checks("")
	undefended.P = 1e-9
	second := make("evasion-prevent-undefended", "evasion-prevent", title, text, "No measure (baseline)", "evasion-undefended", assay.Prevent, undefended)

	masked := decision("attack-success-rate", assay.AtMost, 0.15, 2, 240,
		"The test could not have found the failure: gradients are masked, for Square finds more than PGD with the model's own gradients.")
	masked.Outcome = assay.Invalid
	masked.Valid = checks("white-box-beats-black-box")
	third := make("evasion-control-quantised", "evasion-control", "The protection keeps working after each update of the model",
		"After an update, the success rate of the same attacker stays at most 15 %.", "Input quantisation to 4 levels", "evasion-hardened", assay.Control, masked)

	few := decision("attack-success-rate", assay.AtMost, 0.15, 2, 24, "24 images are too few to tell 8.3 % from the limit of 15 %.")
	few.Needed, few.Valid = 140, checks("")
	fourth := make("evasion-respond-fallback", "evasion-respond", "A rejected image goes to a person before it is billed",
		"Of the images that the detector rejects, at most 15 % are billed without a person having read them.", "Fallback to manual reading", "", assay.Respond, few)
	fourth.Kind = assay.Organizational
	return []report.Decision{first, second, third, fourth}
}

func latency(estimate, lower, upper, limit float64) criteria.CostDecision {
	return criteria.CostDecision{
		Metric: "latency-p99", Relation: assay.AtMost, Outcome: assay.Adequate, Estimate: &estimate, Lower: &lower, Upper: &upper,
		Limit: limit, Confidence: confidence, N: 2000, Reason: "2,000 single images on one core.",
	}
}

// checks gives validity checks of which all pass but the one that is named.
func checks(failed string) []criteria.Check {
	all := []criteria.Check{
		{Name: "positive-control", Detail: "The same attacks break the undefended twin on 39 of 40 images."},
		{Name: "negative-control", Detail: "At a budget of 0 no attack succeeds on any of 40 images."},
		{Name: "known-answer", Detail: "On a linear model PGD reaches 99.98 % of the exact smallest loss margin."},
		{Name: "iterative-beats-single-step", Detail: "PGD succeeds on 21 images, FGSM on 13; on none is FGSM alone."},
		{Name: "grows-with-budget", Detail: "Successes do not fall as the budget grows: 0, 4, 9, 15, 21, 49, 118, 221."},
		{Name: "white-box-beats-black-box", Detail: "PGD 21, Square 17, HopSkipJump 14 of 240 images."},
		{Name: "converged", Detail: "With twice the steps 1 more of 240 images falls (0.4 %, tolerance 2 %)."},
		{Name: "confirmed-alone", Detail: "All 21 counterexamples hold on a second session without graph optimisation."},
	}
	for i := range all {
		all[i].Passed = all[i].Name != failed
		if !all[i].Passed {
			all[i].Detail = "Square succeeds on 61 images on which PGD fails: the gradient does not show the way (0 of 240 gradients are other than zero)."
		}
	}
	return all
}

var budgets = []float64{0, 1. / 64, 1. / 32, 3. / 64, 1. / 16, 3. / 32, 1. / 8, 3. / 16}

const budgetOf = "eps, largest change of a pixel (Linf, of the range 0 to 1)"

func digitsTest(model string, row int) report.Test {
	at := 1. / 16
	n := 240
	t := report.Test{
		ID: "evasion-" + model, Title: "Evasion of the model " + model, Model: model, Data: "test",
		Attacker: []report.Fact{{Name: "Knowledge", Value: "the model and its gradients (white-box)"}, {Name: "May change", Value: "each pixel by at most 1/16 of its range (Linf)"},
			{Name: "Queries", Value: "at most 2,000 for each image"}, {Name: "Attack potential", Value: "Enhanced-Basic (14 points, Common Methodology)"}},
		N: n, Correct: 233, Queries: 214_880, Seed: 20261123,
		Rerun: fmt.Sprintf("assay rerun runs/b41c0d6f2e97 --test evasion-%s", model),
		Plots: []report.Plot{
			{Title: "attack success rate", Metric: "attack-success-rate", Budget: budgetOf, At: &at, Curves: []report.Curve{
				curve("worst case", n, budgets, 0, 4, 9, 15, 21, 49, 118, 221),
				curve("PGD", n, budgets, 0, 4, 9, 15, 20, 48, 116, 221),
				curve("Square", n, budgets, 0, 2, 6, 10, 17, 35, 82, 180),
				curve("HopSkipJump", n, budgets, 0, 1, 4, 9, 14, 33, 71, 166),
				curve("FGSM", n, budgets, 0, 3, 7, 10, 13, 24, 48, 77),
				curve("noise", n, budgets, 0, 0, 0, 1, 1, 3, 7, 12),
			}},
			{Title: "robust accuracy", Metric: "robust-accuracy", Budget: budgetOf, At: &at, Note: "The truth is between what is certified and what no attack broke.", Curves: []report.Curve{
				curve("no attack broke", n, budgets, 233, 229, 224, 218, 212, 184, 115, 12),
				curve("certified", n, budgets, 230, 221, 210, 196, 170, 90, 21, 0),
			}},
		},
		Broken: []report.Broken{
			{Unit: 17, Distance: 1. / 64, Methods: []string{"PGD", "Square", "HopSkipJump", "FGSM"}},
			{Unit: 48, Distance: 3. / 64, Methods: []string{"PGD", "Square"}},
			{Unit: 79, Distance: 1. / 16, Methods: []string{"HopSkipJump"}},
		},
		Methods: []report.Method{
			{Name: "PGD", Reference: "Madry et al. 2018, arXiv:1706.06083, section 2.1", Successes: 20, N: n, Queries: 120_400,
				Settings: []report.Fact{{Name: "steps", Value: "50"}, {Name: "restarts", Value: "5"}, {Name: "step size", Value: "eps/10"}}},
			{Name: "Square", Reference: "Andriushchenko et al. 2020, arXiv:1912.00049, algorithm 1", Successes: 17, N: n, Queries: 61_300,
				Settings: []report.Fact{{Name: "queries", Value: "2,000"}, {Name: "p", Value: "0.8"}}},
			{Name: "HopSkipJump", Reference: "Chen et al. 2020, arXiv:1904.02144, algorithm 2", Successes: 14, N: n, Queries: 32_180,
				Settings: []report.Fact{{Name: "queries", Value: "2,000"}}},
			{Name: "FGSM", Reference: "Goodfellow et al. 2015, arXiv:1412.6572, section 4", Successes: 13, N: n, Queries: 480},
			{Name: "noise", Reference: "Gilmer et al. 2019, arXiv:1901.10513", Successes: 1, N: n, Queries: 520},
		},
	}
	if model == "undefended" {
		t.N, t.Correct, t.Queries = 40, 39, 9_120
		t.Plots, t.Broken = t.Plots[:1], nil
		t.Plots[0].Curves = []report.Curve{curve("worst case", 40, budgets, 0, 6, 14, 22, 28, 37, 40, 40), curve("PGD", 40, budgets, 0, 6, 14, 22, 28, 37, 40, 40)}
		t.Methods = t.Methods[:1]
		t.Methods[0].Successes, t.Methods[0].N, t.Methods[0].Queries = 28, 40, 9_120
	}
	for i, answer := range []string{"6", "9", "3"} {
		image := digit(i + row)
		t.Examples = append(t.Examples, report.Example{
			Unit: int64(17 + 31*i), Method: "PGD", Truth: fmt.Sprint([]int{0, 7, 8}[(i+row)%3]), Answer: answer,
			Distance: 1. / 16, Queries: 51, Image: image,
		})
	}
	return t
}

// digit draws one of three digits of the UCI set, and a change of it by 1/16 of the range.
func digit(i int) *report.Pictures {
	clean := digits[i%len(digits)]
	adversarial := make([]float32, len(clean))
	for k, v := range clean {
		adversarial[k] = min(max(v+float32((k*7+i*5)%3)-1, 0), 16)
	}
	p, err := report.NewPictures(clean, adversarial, 1, 8, 8, 0, 16)
	if err != nil {
		panic(err) // the rows are above
	}
	return p
}

var digits = [][]float32{
	{0, 0, 5, 13, 9, 1, 0, 0, 0, 0, 13, 15, 10, 15, 5, 0, 0, 3, 15, 2, 0, 11, 8, 0, 0, 4, 12, 0, 0, 8, 8, 0, 0, 5, 8, 0, 0, 9, 8, 0, 0, 4, 11, 0, 1, 12, 7, 0, 0, 2, 14, 5, 10, 12, 0, 0, 0, 0, 6, 13, 10, 0, 0, 0},
	{0, 0, 7, 8, 13, 16, 15, 1, 0, 0, 7, 7, 4, 11, 12, 0, 0, 0, 0, 0, 8, 13, 1, 0, 0, 4, 8, 8, 15, 15, 6, 0, 0, 2, 11, 15, 15, 4, 0, 0, 0, 0, 0, 16, 5, 0, 0, 0, 0, 0, 9, 15, 1, 0, 0, 0, 0, 0, 13, 5, 0, 0, 0, 0},
	{0, 0, 10, 11, 4, 0, 0, 0, 0, 0, 10, 15, 13, 13, 1, 0, 0, 0, 8, 11, 0, 14, 4, 0, 0, 0, 0, 13, 15, 13, 0, 0, 0, 1, 11, 16, 16, 0, 0, 0, 0, 1, 15, 3, 9, 10, 0, 0, 0, 0, 14, 6, 15, 10, 0, 0, 0, 0, 8, 14, 7, 1, 0, 0},
}
