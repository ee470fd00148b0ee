package trees_test

import (
	"context"
	"math/rand/v2"
	"testing"

	"assay"
	"assay/internal/dataset"
	"assay/internal/method"
	"assay/internal/method/evasion"
	"assay/internal/method/target"
	"assay/internal/realdata"
	"assay/internal/trees"
	"assay/internal/trees/treestest"
)

// tables are real tables with what an attacker, the one who applies or is judged, can change.
var tables = map[string]string{
	"german/german.csv": `
features:
  - {name: age, type: integer, monotone: increasing}
  - {name: personal_status, immutable: true}
  - {name: foreign_worker, immutable: true}
  - {name: credit_history, immutable: true}
  - {name: credit_amount, type: integer, monotone: decreasing}
label: {name: credit}
`,
	"compas/compas.csv": `
features:
  - {name: sex, immutable: true}
  - {name: age, type: integer, monotone: increasing}
  - {name: juv_fel_count, type: integer, immutable: true}
  - {name: priors_count, type: integer, monotone: increasing}
drop: [decile_score]
label: {name: two_year_recid}
`,
}

// TestTablesOfRealData: forests and boosted trees on German credit and COMPAS, with integers, categories, and what is fixed or
// goes one way alone. What is proven robust no method breaks.
func TestTablesOfRealData(t *testing.T) {
	if testing.Short() {
		t.Skip("it learns from real data for a minute")
	}
	for name, text := range tables {
		path := realdata.Path(t, name)
		schema, err := dataset.DecodeSchema([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		d, err := dataset.Load(context.Background(), path, dataset.Options{Schema: schema, BadRecords: 1000})
		if err != nil {
			t.Fatal(err)
		}
		domain, err := method.DomainOf(d.Schema, nil, method.ByRange)
		if err != nil {
			t.Fatal(err)
		}
		order := rand.New(rand.NewPCG(1, 1)).Perm(d.Len())
		var train, test treestest.Table
		for k, i := range order[:min(1000, len(order))] {
			to := &train
			if k%10 == 0 {
				to = &test
			}
			to.Rows, to.Labels = append(to.Rows, d.Record(i)), append(to.Labels, int(d.Y[i]))
		}
		for kind, spec := range map[string]treestest.Spec{
			"forest of 20 trees of depth 5": treestest.Forest(train, 2, 20, 5, 1), "30 boosted trees of depth 3": treestest.Boosted(train, 30, 3, 0.2, 1),
			"100 boosted trees of depth 4": treestest.Boosted(train, 100, 4, 0.1, 1),
		} {
			onTable(t, name+", "+kind, spec, domain, train, test)
		}
	}
}

// onTable attacks the test's records and counts.
func onTable(t *testing.T, name string, spec treestest.Spec, domain *method.Domain, train, test treestest.Table) {
	m := spec.Model()
	e, err := trees.Read(m)
	if err != nil {
		t.Fatal(err)
	}
	open, err := target.Open(context.Background(), m, target.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	open.Domain, open.Target.Pool = domain, train.Rows[:100]
	var inputs []method.Input
	for i, x := range test.Rows {
		inputs = append(inputs, method.Input{Index: int64(i), X: x, Label: test.Labels[i]})
	}
	a := method.Attacker{Access: assay.Gradients, Norm: method.Linf, Eps: 0.05, Groups: 1}
	methods := []method.Method{evasion.Beam{Queries: 500, Width: 10}, trees.Leaves{Ensemble: e, Starts: 20}, trees.Exact{Ensemble: e, Work: 2e6}}
	results, err := method.Run(context.Background(), open.Target, a, methods, inputs, method.Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	verdicts, broken, correct, work := map[trees.Verdict]int{}, map[string]int{}, 0, 0
	for i, r := range results {
		if !r.Correct {
			continue
		}
		correct++
		s := &method.Space{Domain: domain, Norm: a.Norm, Eps: a.Eps, Groups: a.Groups, Clean: inputs[i].X}
		got, err := trees.Verify(context.Background(), e, s, inputs[i].Label, trees.Options{Confirm: func(_ context.Context, x []float32) (int, error) { return e.Class(x), nil }})
		if err != nil {
			t.Fatal(err)
		}
		verdicts[got.Verdict]++
		work += got.Work
		for _, m := range r.Methods {
			if m.Success {
				broken[m.Method]++
			}
		}
		if got.Verdict == trees.Robust && !r.Robust || got.Verdict == trees.Broken && !r.Methods[2].Success {
			t.Errorf("%s: unit %d is %s, and the methods find %+v", name, i, got.Verdict, r.Methods)
		}
	}
	t.Logf("%s (%d leaves): of %d records %d correct; %v, with %d pairs of boxes for each; broken by %v", name, e.Leaves(), len(inputs), correct, verdicts, work/max(correct, 1), broken)
	if correct < 50 {
		t.Errorf("%s: %d correct", name, correct)
	}
}
