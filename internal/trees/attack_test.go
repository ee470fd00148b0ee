package trees_test

import (
	"context"
	"testing"

	"assay"
	"assay/internal/dataset"
	"assay/internal/method"
	"assay/internal/method/evasion"
	"assay/internal/method/target"
	"assay/internal/trees"
	"assay/internal/trees/treestest"
)

// diagnosis gives the records of the example, each number as a share of its range.
func diagnosis(t *testing.T) (*dataset.Dataset, *method.Domain, treestest.Table) {
	t.Helper()
	schema, err := dataset.OpenSchema("../../examples/diagnosis/schema.yaml")
	if err != nil {
		t.Fatal(err)
	}
	d, err := dataset.Load(context.Background(), "../../examples/diagnosis/test.csv", dataset.Options{Schema: schema})
	if err != nil {
		t.Fatal(err)
	}
	domain, err := method.DomainOf(d.Schema, nil, method.ByRange)
	if err != nil {
		t.Fatal(err)
	}
	table := treestest.Table{}
	for i := range d.Len() {
		table.Rows, table.Labels = append(table.Rows, d.Record(i)), append(table.Labels, int(d.Y[i]))
	}
	return d, domain, table
}

// TestTreesOfRealData: on a forest and on boosted trees, learnt from half of the records and attacked on the others, no method
// breaks what the exact one does not, none is nearer, and the search comes close to it.
func TestTreesOfRealData(t *testing.T) {
	_, domain, table := diagnosis(t)
	half := len(table.Rows) / 2
	train := treestest.Table{Rows: table.Rows[:half], Labels: table.Labels[:half]}
	for name, spec := range map[string]treestest.Spec{
		"forest": treestest.Forest(train, 2, 10, 4, 1), "boosted": treestest.Boosted(train, 20, 3, 0.3, 1),
	} {
		for norm, eps := range map[method.Norm]float64{method.Linf: 0.15, method.L2: 0.15, method.L1: 0.15, method.L0: 2} {
			m := spec.Model()
			e, err := trees.Read(m)
			if err != nil {
				t.Fatal(err)
			}
			open, err := target.Open(context.Background(), m, target.Options{Threads: 1})
			if err != nil {
				t.Fatal(err)
			}
			open.Domain = domain
			var inputs []method.Input
			for i := half; i < half+40; i++ {
				inputs = append(inputs, method.Input{Index: int64(i), X: table.Rows[i], Label: table.Labels[i]})
				open.Target.Pool = append(open.Target.Pool, table.Rows[half-1-i%half])
			}
			results, err := method.Run(context.Background(), open.Target, method.Attacker{Access: assay.Gradients, Norm: norm, Eps: eps},
				[]method.Method{evasion.Noise{Draws: 200}, trees.Leaves{Ensemble: e, Starts: 20}, trees.Exact{Ensemble: e, Work: 2e6}}, inputs, method.Options{Seed: 1})
			open.Close()
			if err != nil {
				t.Fatal(err)
			}
			broken, correct, equal := [3]int{}, 0, 0
			for _, r := range results {
				if r.Correct {
					correct++
				}
				for k, got := range r.Methods {
					exact := r.Methods[2]
					if got.Unconfirmed {
						t.Errorf("%s %s: %s has what is not confirmed", name, norm, got.Method)
					}
					if !got.Success {
						continue
					}
					broken[k]++
					if k < 2 && (!exact.Success || got.Distance < exact.Distance) {
						t.Errorf("%s %s: %s at %g, and the nearest is %+v", name, norm, got.Method, got.Distance, exact)
					}
					if k == 1 && got.Distance == exact.Distance {
						equal++
					}
				}
			}
			t.Logf("%s, %s: %d trees, %d leaves: of %d correct noise breaks %d, tree-leaf %d (%d at the minimum), tree-exact %d",
				name, norm, e.Trees(), e.Leaves(), correct, broken[0], broken[1], equal, broken[2])
			if correct < 30 || broken[2] < 3 || broken[1] < broken[2]/2 {
				t.Errorf("%s %s: of %d correct, broken %v", name, norm, correct, broken)
			}
		}
	}
}

func TestMethodsWithoutTrees(t *testing.T) {
	for _, m := range []method.Method{trees.Exact{}, trees.Leaves{}} {
		if err := m.Perturb(context.Background(), nil); err == nil {
			t.Errorf("%s runs without trees", m.Describe().Name)
		}
	}
}
