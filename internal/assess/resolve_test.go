package assess

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"assay"
	"assay/internal/criteria"
	"assay/internal/report"
	"assay/internal/strict"
)

func TestOverridesAreOnRecord(t *testing.T) {
	b := newBench(t, with(`data: test, reason: the owner bears less, attacker: {access: gradients, eps: 0.01}, criterion: {limit: 0.05, sampling: {assumed: 0.02}}`))
	p, err := b.engine.Resolve(b.system(), builtinCatalog(t))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]report.Override{}
	for _, o := range p.Catalogue.Overrides {
		got[o.What] = o
	}
	const training = "evasion-prevent for training: "
	for what, want := range map[string]report.Override{
		training + "attacker.access":            {From: "scores", To: "gradients", Reason: "the owner bears less", Where: "assay.yaml:13:110"},
		training + "attacker.eps":               {From: "0.05", To: "0.01", Reason: "the owner bears less", Where: "assay.yaml:13:126"},
		training + "criterion.limit":            {From: "0.1", To: "0.05", Reason: "the owner bears less", Where: "assay.yaml:13:152"},
		training + "criterion.sampling.assumed": {From: "0.05", To: "0.02", Reason: "the owner bears less", Where: "assay.yaml:13:178"},
		"evasion-prevent for none: cost clean-accuracy-loss": {From: "at-most 0.05", To: "left out",
			Reason: "No model without the solution is named, so there is nothing to compare with.", Where: "assay.yaml:12:5"},
	} {
		want.What = what
		if got[what] != want {
			t.Errorf("%s: %+v, want %+v", what, got[what], want)
		}
		delete(got, what)
	}
	if len(got) > 0 {
		t.Errorf("also %v", got)
	}
	if d := p.Decisions[0]; len(d.Criterion.Costs) != 0 || d.Baseline != "" || len(p.Decisions[1].Criterion.Costs) != 1 {
		t.Errorf("a cost without comparison is still there: %+v", d.Criterion.Costs)
	}
}

// allCells is twoModels with a solution that claims everything.
var allCells = func() string {
	var all []string
	for _, c := range assay.Cells() {
		all = append(all, c.String())
	}
	return strings.ReplaceAll(twoModels, "[evasion/prevent]", "["+strings.Join(all, ", ")+"]")
}()

// TestUntested: goals that nothing tests are decided as undecided, with the reason.
func TestUntested(t *testing.T) {
	b := newBench(t, allCells+`  - {goal: confidentiality-prevent, solution: training, data: test}
  - {goal: evasion-detect, solution: training, data: test}
  - {goal: evasion-prevent, solution: policy}
  - {goal: model-flaw-detect, solution: training, data: test}
catalogues: [own.yaml]
`)
	b.write("assay.yaml", strings.Replace(string(files(t, b.folder)["assay.yaml"]), "goals:", "  - {name: policy, kind: organizational, cells: [evasion/prevent]}\ngoals:", 1))
	// A criterion of the user's own is no method to test by.
	b.write("own.yaml", `format: assay-catalogue/1
goals:
  - id: model-flaw-detect
    defaults:
      - level: medium
        modalities: [tabular]
        attacker: basic
        criterion: {metric: detection-rate, relation: at-least, limit: 0.9, confidence: 0.95, sampling: {rule: fixed, n: 100}}
        why: ours
    why: ours
`)
	s := b.system()
	c := catalogWith(t, s.Path("own.yaml"))
	p, err := b.engine.Resolve(s, c)
	if err != nil {
		t.Fatal(err)
	}
	if o := p.Catalogue.Overrides[0]; !strings.HasPrefix(o.Where, "own.yaml:") {
		t.Errorf("a place on this machine is in the plan: %+v", o)
	}
	a, err := b.engine.New(t.Context(), s, c, Setting{Description: s.Path("assay.yaml"), Folder: b.run(), Key: b.key, Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	r, err := a.Make(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]string{
		"confidentiality-prevent.training": "the catalogue has no criterion for confidentiality-prevent",
		"evasion-detect.training":          "the catalogue has no criterion for evasion-detect",
		"evasion-prevent.policy":           "no method of Assay tests an organizational solution",
		"model-flaw-detect.training":       "no method of Assay tests goals of model-flaw",
	} {
		i := slices.IndexFunc(p.Decisions, func(d PlannedDecision) bool { return d.ID == id })
		if i < 0 || p.Decisions[i].Test != "" || r.Decisions[i].ID != id || r.Decisions[i].Outcome != assay.Undecided || !strings.Contains(r.Decisions[i].Reason, want) {
			t.Errorf("%s: %+v", id, r.Decisions)
		}
	}
}

// TestEveryGoalOfTheCatalogue: each can be asked for, tested or not.
func TestEveryGoalOfTheCatalogue(t *testing.T) {
	c := builtinCatalog(t)
	if len(c.Goals) < 25 {
		t.Fatalf("only %d goals", len(c.Goals))
	}
	for _, modality := range []string{"tabular", "image", "text"} {
		description := strings.Replace(allCells, "tabular", modality, 1)
		for _, g := range c.Goals {
			if g.ID != "evasion-prevent" {
				description += "  - {goal: " + g.ID + ", solution: training, data: test}\n"
			}
		}
		b := newBench(t, description)
		r := b.finished()
		if len(r.Decisions) != len(c.Goals)+1 {
			t.Errorf("%s: %d decisions on %d goals", modality, len(r.Decisions), len(c.Goals))
		}
		for _, d := range r.Decisions[2:] {
			if d.Outcome != assay.Undecided {
				t.Errorf("%s: %s is %s", modality, d.ID, d.Outcome)
			}
		}
		if modality == "text" && r.Decisions[0].Outcome != assay.Undecided {
			t.Errorf("without a method for text: %s", r.Decisions[0].Outcome)
		}
	}
}

// TestRefusedPlans: a plan that could never decide names the n that could; all name the place.
func TestRefusedPlans(t *testing.T) {
	for name, c := range map[string]struct {
		description string
		records     int
		line        int
		want        string
	}{
		"never": {with(`data: test, reason: r, criterion: {limit: 0.02, sampling: {rule: fixed, n: 100, power: 0.05, assumed: 0.001}}`), 2000, 13,
			"could never decide for a solution, even if not one were bad"},
		"n that could":      {with(`data: test, reason: r, criterion: {limit: 0.02, sampling: {rule: fixed, n: 100, power: 0.05, assumed: 0.001}}`), 2000, 13, "takes n of at least 183"},
		"power":             {with(`data: test, reason: r, criterion: {sampling: {n: 60}}`), 2000, 13, "it takes n of "},
		"cost of no method": {with(`data: test, reason: r, criterion: {costs: [{metric: latency-p95, relation: at-most, limit: 5}]}`), 2000, 13, "no method measures the cost latency-p95"},
		"norm without eps":  {with(`data: test, reason: r, attacker: {norm: L2}`), 2000, 13, "state eps as well"},
		"unit without eps":  {with(`data: test, reason: r, attacker: {unit: std}`), 2000, 13, "state eps as well"},
		"no goals":          {strings.Split(twoModels, "goals:")[0], 2000, 1, "nothing would be decided"},
		"unknown goal":      {strings.Replace(twoModels, "goal: evasion-prevent, solution: training", "goal: evasion-prevnt, solution: training", 1), 2000, 13, "evasion-prevent"},
		"unknown attacker":  {with(`data: test, reason: r, attacker: {profile: wizard}`), 2000, 13, "wizard"},
		"the same twice":    {strings.Replace(with("data: other"), "data:\n", "data:\n  - {name: other, file: other.csv, label: y}\n", 1) + "  - {goal: evasion-prevent, solution: training, data: test}\n", 2000, 15, "twice"},
	} {
		b := newBench(t, c.description)
		b.coins.records = c.records
		var wrong *strict.Error
		err := b.tryPlan()
		if !errors.As(err, &wrong) || assay.CodeOf(err) != assay.CodeInput || wrong.Mistakes[0].Line != c.line || wrong.Mistakes[0].Column == 0 && c.line > 1 || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if len(b.coins.calls) != 0 {
			t.Errorf("%s: something was observed", name)
		}
	}
}

// TestLacking: data with too few records are remarked upon, and are no error.
func TestLacking(t *testing.T) {
	for name, c := range map[string]struct {
		description string
		records     int
		want        string
	}{
		"fixed":      {with(`data: test, reason: r, criterion: {sampling: {rule: fixed, n: 900}}`), 500, "test gives 500 units, and it takes at least 900 to decide"},
		"sequential": {twoModels, 20, "test gives 20 units, and it takes at least "},
		"cost":       {with(`data: test, reason: r, criterion: {costs: [{metric: clean-accuracy-loss, relation: at-most, limit: 0.001}]}`), 2000, "test gives 2000 units, and it takes at least "},
		"enough":     {twoModels, 2000, ""},
	} {
		b := newBench(t, c.description)
		b.coins.records = c.records
		a, err := b.plan()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var all []string
		for _, planned := range a.Plan.Tests {
			all = append(all, planned.Outline.Remarks...)
		}
		if text := strings.Join(all, "\n"); !strings.Contains(text, c.want) || (text == "") != (c.want == "") {
			t.Errorf("%s: %q", name, text)
		}
	}
}

// TestPlanTells: what is refused above is allowed with the n that was named.
func TestPlanTells(t *testing.T) {
	b := newBench(t, with(`data: test, reason: r, criterion: {limit: 0.02, sampling: {rule: fixed, n: 183, power: 0.05, assumed: 0.001}}`))
	a, err := b.plan()
	if err != nil {
		t.Fatal(err)
	}
	d := a.Plan.Decisions[1]
	if d.Criterion.Sampling.Rule != criteria.Fixed || !strings.HasPrefix(d.Plan, "183 ") || a.Plan.Units(a.Plan.test(d.Test)) != 192 {
		t.Errorf("%+v, %d units", d, a.Plan.Units(a.Plan.test(d.Test)))
	}
}
