package evasion_test

import (
	"context"
	"math/rand/v2"
	"reflect"
	"testing"

	"assay"
	"assay/internal/method"
	"assay/internal/method/evasion"
	"assay/internal/method/evasion/linear"
	"assay/internal/model"
)

// records are of three real numbers, a whole one and a categorical feature of three, of which a
// classifier looks at some.
func records(weights []float64, bias float64) (method.Target, []method.Input) {
	c := &linear.Classifier{Width: 7, Classes: []int32{0, 1}, Weights: append(make([]float64, 7), weights...), Bias: []float64{0, bias}}
	d := &method.Domain{
		Low: []float32{0, 0, 0, 0, 0, 0, 0}, High: []float32{1, 1, 1, 10, 1, 1, 1}, Scale: []float32{1, 1, 1, 5, 1, 1, 1},
		Integer: []bool{false, false, false, true, false, false, false}, Fixed: make([]bool, 7),
		Groups:    []method.Group{{Start: 4, End: 7}},
		Relations: []method.Relation{{Of: []int{0, 1}, Weights: []float64{1, 1}, Bound: 1.2}},
	}
	t := method.Target{Model: exact{c}, Gradient: exact{c}, Confirm: exact{c}, Domain: d}
	r := rand.New(rand.NewPCG(5, 5))
	var inputs []method.Input
	for i := range 40 {
		x := []float32{0.5 * r.Float32(), 0.5 * r.Float32(), r.Float32(), float32(r.IntN(11)), 0, 0, 0}
		x[4+r.IntN(3)] = 1
		inputs = append(inputs, method.Input{Index: int64(i), X: x, Label: c.Label(x)})
		t.Pool = append(t.Pool, x)
	}
	return t, inputs
}

// everything is one method of each kind that there is for a norm.
func everything(norm method.Norm) []method.Method {
	return evasion.Defaults(assay.Gradients, norm, evasion.Effort{Steps: 20, Restarts: 2, Queries: 300, Draws: 100})
}

// Where the category alone decides, an attacker who may change it succeeds by each method,
// and one who may not by none. The harness sees to it that what counts keeps all constraints.
func TestCategoriesChange(t *testing.T) {
	target, inputs := records([]float64{0, 0, 0, 0, 2, -2, -2}, 0)
	for groups, want := range []int{0, len(inputs)} {
		a := method.Attacker{Access: assay.Gradients, Norm: method.Linf, Eps: 0.1, Groups: groups}
		results, err := method.Run(context.Background(), target, a, everything(a.Norm), inputs, method.Options{Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		broken := map[string]int{}
		for _, r := range results {
			for _, m := range r.Methods {
				broken[m.Method] += 0
				if m.Success {
					broken[m.Method]++
				}
			}
		}
		if len(broken) != 7 {
			t.Errorf("%d methods ran", len(broken))
		}
		for name, n := range broken {
			if n < want*9/10 || n > want {
				t.Errorf("with %d groups to change %s breaks %d of %d units", groups, name, n, len(inputs))
			}
		}
	}
}

// On whole numbers and under a relation, methods find what random draws find.
func TestWholeNumbersAndRelations(t *testing.T) {
	for _, norm := range method.Norms() {
		target, inputs := records([]float64{1, 1, 0, 0.3, 0, 0, 0}, -2)
		a := method.Attacker{Access: assay.Gradients, Norm: norm, Eps: 0.6}
		if norm == method.L0 {
			target, inputs = records([]float64{1, 1, 0, 0.3, 0, 0, 0}, -3.4)
			a.Eps = 1
		}
		results, err := method.Run(context.Background(), target, a, everything(a.Norm), inputs, method.Options{Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		broken, any := map[string]int{}, 0
		for _, r := range results {
			if !r.Robust {
				any++
			}
			for _, m := range r.Methods {
				if m.Success {
					broken[m.Method]++
				}
			}
		}
		t.Logf("%s: %d of %d, by %v", norm, any, len(inputs), broken)
		if any < 10 || any == len(inputs) {
			t.Errorf("%s: %d of %d units can be broken, so methods cannot be compared", norm, any, len(inputs))
		}
		for _, m := range everything(norm)[1:] {
			name, atLeast := m.Describe().Name, any*8/10
			if name == "hopskipjump" && norm == method.L1 { // it estimates directions for L2
				atLeast = any / 2
			}
			if name != "fgsm" && broken[name] < atLeast {
				t.Errorf("%s: %s breaks %d of the %d units that all together break", norm, name, broken[name], any)
			}
		}
	}
}

// An attacker's queries are kept to by every method.
func TestQueriesAreKeptTo(t *testing.T) {
	target, inputs := records([]float64{0, 0, 1, 0, 0, 0, 0}, -0.5)
	a := method.Attacker{Access: assay.Gradients, Norm: method.L2, Eps: 1e-6, Queries: 17}
	results, err := method.Run(context.Background(), target, a, everything(a.Norm), inputs, method.Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	for _, r := range results {
		for _, m := range r.Methods {
			asked += m.Queries
			if m.Queries > 17 {
				t.Errorf("%s asked %d queries", m.Method, m.Queries)
			}
		}
	}
	if asked == 0 {
		t.Error("nothing was asked")
	}
}

// Units can be observed in any parts: what is found of one does not depend on the others.
func TestObserveInParts(t *testing.T) {
	target, inputs := records([]float64{1, 1, 0, 0.3, 0, 0, 0}, -2)
	b := &evasion.Battery{
		Attacker: method.Attacker{Access: assay.Gradients, Norm: method.L2, Eps: 0.4, Groups: 1, Queries: 150},
		Effort:   evasion.Effort{Steps: 10, Restarts: 2, Queries: 1000, Draws: 200}, Shape: []int64{7}, Layout: model.Tabular,
	}
	whole, err := b.Observe(context.Background(), target, inputs, method.Options{Seed: 4})
	if err != nil {
		t.Fatal(err)
	}
	var parts []method.Result
	for _, part := range [][]method.Input{inputs[:7], inputs[7:8], inputs[8:]} {
		r, err := b.Observe(context.Background(), target, part, method.Options{Seed: 4, Lanes: 3})
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, r...)
	}
	if !reflect.DeepEqual(whole, parts) {
		t.Error("observed in parts, units give other results")
	}
	robust := 0
	for _, r := range whole {
		if r.Robust {
			robust++
		}
		for _, m := range r.Methods {
			if m.Queries == 0 {
				t.Errorf("%s asked nothing of unit %d: it must make do with what the attacker has", m.Method, r.Index)
			}
		}
	}
	if robust == 0 || robust == len(whole) {
		t.Errorf("%d of %d units are robust: the test shows one side alone", robust, len(whole))
	}
}

// A unit that withstands is asked about as often as is said before; none more often.
func TestMostQueries(t *testing.T) {
	target, inputs := records([]float64{0, 0, 1, 0, 0, 0, 0}, -0.5)
	for _, queries := range []int{0, 17} {
		b := &evasion.Battery{
			Attacker: method.Attacker{Access: assay.Gradients, Norm: method.Linf, Eps: 0.05, Queries: queries},
			Effort:   evasion.Effort{Steps: 10, Restarts: 2, Queries: 100, Draws: 60}, Shape: []int64{7}, Layout: model.Tabular,
		}
		results, err := b.Observe(context.Background(), target, inputs, method.Options{Seed: 4})
		if err != nil {
			t.Fatal(err)
		}
		largest := 0
		for _, r := range results {
			asked := 0
			for _, m := range r.Methods {
				asked += m.Queries
			}
			largest = max(largest, asked)
		}
		if most := b.Most(target); largest != most {
			t.Errorf("with %d queries a unit is asked about %d times, and %d were said", queries, largest, most)
		}
	}
}
