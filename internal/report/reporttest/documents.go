package reporttest

import (
	"fmt"
	"strings"

	"assay"
	"assay/internal/criteria"
	"assay/internal/report"
)

// All gives every document by name.
func All() map[string]*report.Document {
	return map[string]*report.Document{
		"digits": Digits(), "diagnosis": Diagnosis(), "empty": Empty(), "one": One(), "crowded": Crowded(),
		"hostile": Hostile(), "void": Void(),
	}
}

// Diagnosis is an assessment of a tabular classifier, with feature changes, of which all is adequate.
func Diagnosis() *report.Document {
	d := base("Biopsy triage, breast cancer")
	d.System.Provider, d.System.Modality, d.System.Risk = "Klinikum Beispiel", assay.Tabular, assay.High
	d.System.Description = "Suggests which fine-needle aspirates a pathologist reads first."
	d.Catalogue.Overrides = nil
	for i := range d.Inputs {
		d.Inputs[i].Path = strings.NewReplacer("digits.csv.gz", "breast_cancer.csv", "digits", "diagnosis").Replace(d.Inputs[i].Path)
	}
	decided := decision("robust-accuracy", assay.AtLeast, 0.85, 157, 171,
		"At least 87.5 % of records keep their right answer, which is above the limit of 85 %.")
	decided.Valid, decided.P = checks(""), 0.0061
	decided.Costs = []criteria.CostDecision{cost("clean-accuracy-lost", assay.AtMost, 0.05, 2, 171, "2 of 171 records are right only without the solution.")}
	d.Decisions = []report.Decision{{
		ID: "evasion-prevent-hardened", Goal: "evasion-prevent", Title: "Plausible errors of measurement do not change the suggestion",
		Text:          "For at least 85 % of records no change of the measurements within their stated error changes the suggestion.",
		Vulnerability: assay.Evasion, Function: assay.Prevent, Solution: "Adversarial training (PGD, within measurement error)", Kind: assay.Technical,
		Decision: decided, Test: "evasion", Articles: []string{"AI Act Art. 15(5)"}, Sampling: &criteria.Sampling{Rule: criteria.Fixed, N: 171},
	}}
	at := 0.05
	steps := []float64{0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1}
	d.Tests = []report.Test{{
		ID: "evasion", Title: "Evasion of the model hardened", Model: "hardened", Data: "test",
		Attacker: []report.Fact{{Name: "May change", Value: "ten measured features by at most 5 % of their range; derived features follow"}, {Name: "Knowledge", Value: "gradients"}},
		N:        171, Correct: 166, Queries: 90_410, Seed: 7, Rerun: "assay rerun runs/b41c0d6f2e97 --test evasion",
		Plots: []report.Plot{{Title: "attack success rate", Metric: "attack-success-rate", Budget: "eps, largest change of a feature (Linf, part of its range)", At: &at,
			Curves: []report.Curve{curve("worst case", 171, steps, 5, 6, 8, 9, 11, 14, 29, 52), curve("PGD", 171, steps, 5, 6, 8, 9, 11, 14, 28, 50), curve("HopSkipJump", 171, steps, 5, 6, 6, 8, 9, 11, 21, 37)}}},
		Methods: []report.Method{{Name: "PGD", Reference: "Madry et al. 2018, arXiv:1706.06083", Successes: 14, N: 171, Queries: 60_000, Settings: []report.Fact{{Name: "steps", Value: "100"}}}},
		Examples: []report.Example{
			{Unit: 73, Method: "PGD", Truth: "malignant", Answer: "benign", Distance: 0.05, Queries: 102, Changes: []report.Feature{
				{Name: "worst concave points", From: "0.1414", To: "0.1269"}, {Name: "worst radius", From: "16.84 µm", To: "15.44 µm"}, {Name: "mean texture", From: "18.22", To: "16.74"}}},
			{Unit: 208, Method: "HopSkipJump", Truth: "malignant", Answer: "benign", Distance: 0.048, Queries: 1320, Changes: []report.Feature{{Name: "worst area", From: "819.1 µm²", To: "623.8 µm²"}}},
		},
	}}
	d.Matrix = matrix(d.Decisions, nil)
	return d
}

// Empty has no decisions and no tests.
func Empty() *report.Document {
	d := base("A system of which nothing is known")
	d.Catalogue.Overrides, d.Statements, d.Locked, d.Metrics, d.Inputs, d.Reproduce = nil, nil, nil, nil, []report.Input{}, []string{}
	return d
}

// One has a single decision, without observations.
func One() *report.Document {
	d := base("A system of which little is known")
	e := Digits().Decisions[3]
	e.Decision = decision("attack-success-rate", assay.AtMost, 0.15, 0, 0, "There are no observations.")
	e.Needed = 19
	d.Decisions, d.Matrix = []report.Decision{e}, matrix([]report.Decision{e}, nil)
	return d
}

// Void is the digits' document, of which a criterion was edited after the run.
func Void() *report.Document {
	d := Digits()
	d.Void = []string{"The criterion of goal evasion-prevent was changed after the run: its limit was 20 % when it was locked and is 15 % now (assay.yaml:48)."}
	for i := range d.Decisions {
		d.Decisions[i].Outcome = assay.Invalid
	}
	return d
}

// Crowded has several decisions of every outcome in each of the 25 cells, under very long names.
func Crowded() *report.Document {
	long := strings.Repeat("An extraordinarily-long-name-without-an-end_", 6)
	d := base(long)
	outcomes := assay.Outcomes()
	for i, cell := range assay.Cells() {
		for k := range 5 {
			e := decision("attack-success-rate", assay.Relations()[k%2], 0.1, (i*7+k*13)%60, 60, long+" is the reason.")
			e.Outcome, e.Valid = outcomes[(i+k)%len(outcomes)], checks("converged")
			d.Decisions = append(d.Decisions, report.Decision{
				ID: fmt.Sprintf("%s-%s-%d", cell.Vulnerability, cell.Function, k), Goal: fmt.Sprintf("%s-%s", cell.Vulnerability, cell.Function), Title: long, Text: long,
				Vulnerability: cell.Vulnerability, Function: cell.Function, Solution: long, Kind: assay.Technical, Decision: e, Articles: []string{long},
			})
		}
	}
	d.Decisions[0].Test = "t"
	test := digitsTest("hardened", 0)
	plot := &test.Plots[0]
	test.ID, test.Title, plot.Title, plot.Budget, plot.Note, test.Rerun = "t", long, long, long, long, long
	for i := range 12 {
		c := plot.Curves[i%6]
		c.Name = fmt.Sprint(i, " ", long)
		plot.Curves = append(plot.Curves, c)
		test.Methods = append(test.Methods, report.Method{Name: c.Name, Reference: long})
	}
	for i := range 700 {
		test.Broken = append(test.Broken, report.Broken{Unit: int64(i), Distance: float64(i), Methods: []string{test.Methods[i%len(test.Methods)].Name}})
	}
	test.Examples = append(test.Examples, report.Example{Truth: long, Answer: long, Method: long, Changes: []report.Feature{{Name: long, From: long, To: long}}})
	d.Tests = []report.Test{test}
	d.Matrix = matrix(d.Decisions, nil)
	d.Inputs[0].Path, d.Reproduce[0] = long, long
	return d
}

// Attack is a text that must reach no reader as anything but text.
const Attack = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>&]]>{{.}}\x00\x1b[31m\x07\u202e\ufffe\xff"

// Hostile has Attack in every text that has no closed set of values.
func Hostile() *report.Document {
	d := Digits()
	d.Run, d.System.Name, d.System.Description, d.System.Provider = Attack, Attack, Attack, Attack
	d.Void, d.Reproduce = []string{Attack}, []string{Attack}
	d.Metrics = append(d.Metrics, report.Metric{Name: Attack, Title: Attack, Unit: Attack})
	for i := range d.Decisions {
		e := &d.Decisions[i]
		e.ID = fmt.Sprint(e.ID, Attack)
		e.Goal, e.Title, e.Text, e.Solution, e.Metric, e.Reason = Attack, Attack, Attack, Attack, Attack, Attack
		e.Articles = []string{Attack}
		e.Valid = []criteria.Check{{Name: Attack, Detail: Attack}}
		e.Mappings = []report.ID{
			{Catalogue: Attack, Version: Attack, ID: Attack, Title: Attack, URL: "javascript:alert(3)"},
			{Catalogue: "plain", ID: "plain", URL: "http://example.org/"},
			{Catalogue: "spelt", ID: "spelt", URL: "https://example.org/" + Attack},
		}
	}
	t := &d.Tests[0]
	t.Title, t.Model, t.Data, t.Rerun = Attack, Attack, Attack, Attack
	t.Plots[0].Title, t.Plots[0].Budget, t.Plots[0].Metric, t.Plots[0].Note = Attack, Attack, Attack, Attack
	t.Broken[0].Methods = []string{Attack}
	t.Attacker = []report.Fact{{Name: Attack, Value: Attack}}
	t.Methods[0] = report.Method{Name: Attack, Reference: Attack, Settings: t.Attacker}
	t.Plots[0].Curves[0].Name = Attack
	t.Examples[0].Truth, t.Examples[0].Answer, t.Examples[0].Method = Attack, Attack, Attack
	t.Examples[0].Changes = []report.Feature{{Name: Attack, From: Attack, To: Attack}}
	t.Examples[1].Image = &report.Pictures{Clean: []byte(Attack), Adversarial: []byte("<svg onload=alert(4)>"), Difference: nil}
	d.Catalogue.Version, d.Catalogue.Overrides = Attack, []report.Override{{What: Attack, From: Attack, To: Attack, Reason: Attack, Where: Attack}}
	d.Inputs = []report.Input{{Role: "assay.yaml", Path: Attack, SHA256: Attack}}
	d.Statements = []report.Statement{{Title: Attack, Text: Attack}}
	for i := range d.Matrix {
		c := &d.Matrix[i]
		for k := range c.Decisions {
			c.Decisions[k] += Attack
		}
		c.Solutions, c.Reason, c.By, c.Date = []string{Attack}, Attack, Attack, Attack
	}
	return d
}
