package evasion_test

import (
	"context"
	"slices"
	"testing"

	"assay"
	"assay/internal/dataset"
	"assay/internal/method"
	"assay/internal/method/evasion"
	"assay/internal/method/target"
	"assay/internal/model"
	"assay/internal/trees"
	"assay/internal/trees/treestest"
	"assay/onnx"
)

// TestBatteryOnTrees: where the model is a forest the battery runs what reads it, of which tree-exact breaks all that anything
// does, and the control tells that these methods work; where they do not, it says so.
func TestBatteryOnTrees(t *testing.T) {
	schema, err := dataset.OpenSchema("../../../examples/diagnosis/schema.yaml")
	if err != nil {
		t.Fatal(err)
	}
	d, err := dataset.Load(context.Background(), "../../../examples/diagnosis/test.csv", dataset.Options{Schema: schema})
	if err != nil {
		t.Fatal(err)
	}
	domain, err := method.DomainOf(d.Schema, nil, method.ByRange)
	if err != nil {
		t.Fatal(err)
	}
	domain.Monotone = make([]method.Monotone, len(domain.Low))
	domain.Monotone[4] = method.Up
	table := treestest.Table{}
	for i := range d.Len() {
		table.Rows, table.Labels = append(table.Rows, d.Record(i)), append(table.Labels, int(d.Y[i]))
	}
	m := treestest.Forest(table, 2, 10, 4, 1).Model()
	o, err := target.Open(context.Background(), m, target.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	o.Domain = domain
	var inputs []method.Input
	for i := range 40 {
		inputs = append(inputs, method.Input{Index: int64(i), X: table.Rows[i], Label: table.Labels[i]})
		o.Target.Pool = append(o.Target.Pool, table.Rows[100+i])
	}
	read := func(m *onnx.Model) []method.Method {
		e, err := trees.Read(m)
		if err != nil {
			t.Error(err)
		}
		return []method.Method{trees.Leaves{Ensemble: e, Starts: 20}, trees.Exact{Ensemble: e, Work: 2e6}}
	}
	weak := func(*onnx.Model) []method.Method { return []method.Method{evasion.Noise{Draws: 1}} }
	for name, c := range map[string]struct {
		of   func(*onnx.Model) []method.Method
		norm method.Norm
		eps  float64
		ok   bool
	}{
		"the methods": {read, method.Linf, 0.1, true}, "the methods in L1": {read, method.L1, 0.3, true},
		"the methods in L0": {read, method.L0, 2, true}, "a method that finds nothing": {weak, method.Linf, 0.1, false},
	} {
		b := &evasion.Battery{
			Attacker: method.Attacker{Access: assay.Scores, Norm: c.norm, Eps: c.eps}, Shape: o.Shape, Layout: model.Tabular,
			Effort: evasion.Effort{Steps: 20, Restarts: 2, Queries: 300, Draws: 100}, Trees: read(m), TreesOf: c.of,
			Open: func(ctx context.Context, m *onnx.Model) (method.Target, func(), error) {
				o, err := target.Open(ctx, m, target.Options{Threads: 1})
				if err != nil {
					return method.Target{}, nil, err
				}
				return o.Target, o.Close, nil
			},
		}
		e, err := b.Run(context.Background(), o.Target, inputs, 30, method.Options{Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		var failed []string
		seen := false
		for _, check := range e.Checks() {
			t.Logf("%s: %-28s %v  %s", name, check.Name, check.Passed, check.Detail)
			if seen = seen || check.Name == "known-tree"; !check.Passed {
				failed = append(failed, check.Name)
			}
		}
		if !seen || c.ok == slices.Contains(failed, "known-tree") || slices.Contains(failed, "attack-enabled") || slices.Contains(failed, "positive-control") || slices.Contains(failed, "iterative-beats-single-step") {
			t.Errorf("%s: failed %q", name, failed)
		}
		for _, r := range e.Units {
			queries := 0
			for _, m := range r.Methods {
				queries += m.Queries
				if exact := r.Methods[slices.IndexFunc(r.Methods, func(m method.MethodResult) bool { return m.Method == "tree-exact" })]; m.Success && !exact.Success {
					t.Errorf("unit %d: %s breaks what tree-exact does not", r.Index, m.Method)
				}
			}
			if r.Correct && (len(r.Methods) != len(b.Methods(o.Target)) || queries > b.Most(o.Target)) {
				t.Errorf("unit %d: %d methods asked %d times, at most %d", r.Index, len(r.Methods), queries, b.Most(o.Target))
			}
		}
	}
}
