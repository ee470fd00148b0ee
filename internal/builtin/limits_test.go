package builtin_test

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"assay"
	"assay/internal/builtin"
	"assay/internal/method"
	"assay/internal/model"
)

// weighted is a linear model of three classes. As the one that confirms it has other biases, so that
// near the boundary what one says the other denies.
type weighted struct {
	model.Description
	weights [][]float64
	bias    []float64
	alone   bool // it must be asked about one row at a time
	t       *testing.T
}

func (w *weighted) Describe() model.Description { return w.Description }
func (w *weighted) Batch() int                  { return 16 }
func (w *weighted) Close() error                { return nil }

func (w *weighted) scores(x []float64) []float64 {
	out := slices.Clone(w.bias)
	for k := range out {
		for j, v := range x {
			out[k] += w.weights[k][j] * v
		}
	}
	return out
}

func (w *weighted) Predict(_ context.Context, rows, scores []float64) error {
	n, classes := w.RowSize(), len(w.bias)
	if w.alone && len(rows) != n {
		w.t.Errorf("the model that confirms is asked about %d numbers at once", len(rows))
	}
	for i := range len(rows) / n {
		copy(scores[i*classes:], w.scores(rows[i*n:(i+1)*n]))
	}
	return nil
}

// Gradient gives that of the margin over the best other class, or over the target, for all losses.
func (w *weighted) Gradient(_ context.Context, _ model.Loss, rows []float32, labels, targets []int32, scores, losses, slope []float32) error {
	n, classes := w.RowSize(), len(w.bias)
	for i, y := range labels {
		x := make([]float64, n)
		for j := range x {
			x[j] = float64(rows[i*n+j])
		}
		own := w.scores(x)
		other := int(y+1) % classes
		for k, s := range own {
			scores[i*classes+k] = float32(s)
			if k != int(y) && s > own[other] {
				other = k
			}
		}
		if targets != nil {
			other = int(targets[i])
		}
		losses[i] = float32(own[other] - own[y])
		for j := range n {
			slope[i*n+j] = float32(w.weights[other][j] - w.weights[y][j])
		}
	}
	return nil
}

// attacked is a random model and domain: records with whole and fixed numbers, a category and a relation, or images.
func attacked(t *testing.T, r *rand.Rand, image bool) (method.Target, []method.Input) {
	d := model.Description{Shape: []int64{9}, Layout: model.Tabular, Classes: []string{"a", "b", "c"}, Output: model.Logits, Range: model.Range{Low: 0, High: 1}}
	if image {
		d.Shape, d.Layout = []int64{2, 6, 6}, model.NCHW
	}
	domain := method.DomainOfModel(d)
	n := len(domain.Low)
	for range n {
		domain.Cost = append(domain.Cost, 0.5+r.Float64())
	}
	if !image {
		domain.Fixed, domain.Integer = make([]bool, n), make([]bool, n)
		domain.Fixed[r.IntN(3)], domain.Integer[3] = true, true
		domain.High[3], domain.Scale[3], domain.Low[4], domain.High[5] = 10, 5, -2, float32(math.Inf(1))
		domain.Groups = []method.Group{{Start: 6, End: 9}}
		domain.Relations = []method.Relation{{Of: []int{0, 4}, Weights: []float64{1, 1}, Bound: 1.2}}
	}
	w := &weighted{Description: d, t: t}
	for k := range 3 {
		w.weights, w.bias = append(w.weights, make([]float64, n)), append(w.bias, 0.2*r.NormFloat64())
		for j := range n {
			w.weights[k][j] = r.NormFloat64()
		}
	}
	confirm := *w
	confirm.alone, confirm.bias = true, slices.Clone(w.bias)
	for k := range confirm.bias {
		confirm.bias[k] += 0.1 * r.NormFloat64()
	}
	target := method.Target{Model: w, Gradient: w, Confirm: &confirm, Domain: domain}
	var inputs []method.Input
	for i := range 12 {
		x, wide := make([]float32, n), make([]float64, n)
		for j := range x {
			x[j] = 0.5 * r.Float32()
		}
		if !image {
			x[3] = float32(r.IntN(11))
			copy(x[6:], []float32{0, 0, 0})
			x[6+r.IntN(3)] = 1
		}
		for j, v := range x {
			wide[j] = float64(v)
		}
		scores := confirm.scores(wide)
		inputs = append(inputs, method.Input{Index: int64(i), X: x, Label: slices.Index(scores, slices.Max(scores))})
		target.Pool = append(target.Pool, x)
	}
	return target, inputs
}

// heldToNoNorm reports whether a method transforms or covers images: package evasion tests those by their own limits.
func heldToNoNorm(t *testing.T, name string) bool {
	methods, err := builtin.Find(name, builtin.Settings{Norm: method.Linf}, nil)
	if err != nil {
		t.Fatal(err)
	}
	d := methods[0].Describe()
	return d.Family != "" || slices.Contains(d.Norms, method.Patch)
}

// beside gives inputs near others, to learn from.
func beside(inputs []method.Input) []method.Input {
	out := slices.Clone(inputs)
	for i, in := range out {
		out[i].X = slices.Clone(in.X)
		out[i].X[1] += 0.01
	}
	return out
}

// No method leaves its budget, in any norm and under any limits, and what counts as a success is one for the model
// that confirms, asked alone. Each method runs in some norm, and refuses the others.
func TestEveryMethodKeepsItsLimits(t *testing.T) {
	budgets := map[method.Norm][]float64{method.Linf: {0.02, 0.1, 0.5}, method.L2: {0.05, 0.3, 1}, method.L1: {0.1, 0.6, 2}, method.L0: {1, 2, 4}, method.Cost: {0.1, 0.6, 2}}
	successes, denied := map[method.Norm]int{}, 0
	for _, m := range builtin.Methods() {
		if m.Trees || heldToNoNorm(t, m.Name) { // what reads trees is tested beside them
			continue
		}
		ran := 0
		for _, norm := range method.Budgets() {
			r := rand.New(rand.NewPCG(uint64(len(m.Name)), 5))
			for i, eps := range budgets[norm] {
				target, inputs := attacked(t, r, i%2 == 1)
				settings := builtin.Settings{Norm: norm, Surrogates: []model.Differentiable{target.Gradient}}
				for _, s := range []struct {
					flag string
					to   *int
					of   int
				}{{"steps", &settings.Steps, 12}, {"queries", &settings.Queries, 150}, {"draws", &settings.Draws, 100}} {
					if slices.Contains(m.Takes, s.flag) {
						*s.to = s.of
					}
				}
				methods, err := builtin.Find(m.Name, settings, nil)
				if err != nil {
					t.Fatal(err)
				}
				a := method.Attacker{Access: assay.Gradients, Norm: norm, Eps: eps, Groups: i % 2, Queries: 300}
				results, err := method.Run(context.Background(), target, a, methods, inputs, method.Options{Seed: 3, UntilBroken: true, Lessons: beside(inputs)})
				if able := !slices.ContainsFunc(methods, func(m method.Method) bool { return !m.Describe().In(norm) }); able != (err == nil) {
					t.Fatalf("%s in %s: %v", m.Name, norm, err)
				}
				if err != nil {
					continue
				}
				ran++
				for k, result := range results {
					space := method.Space{Domain: target.Domain, Norm: norm, Eps: eps, Groups: a.Groups, Clean: inputs[k].X}
					for _, found := range result.Methods {
						if found.Queries > a.Queries {
							t.Errorf("%s, %s: %d queries", found.Method, norm, found.Queries)
						}
						if found.Unconfirmed {
							denied++
						}
						if !found.Success {
							continue
						}
						successes[norm]++
						if err := space.Contains(found.Example); err != nil || found.Distance != space.Distance(found.Example) {
							t.Errorf("%s, %s: at %v: %v", found.Method, norm, found.Distance, err)
						}
						wide := make([]float64, len(found.Example))
						for j, v := range found.Example {
							wide[j] = float64(v)
						}
						scores := target.Confirm.(*weighted).scores(wide)
						if slices.Index(scores, slices.Max(scores)) == inputs[k].Label {
							t.Errorf("%s, %s: the example is of the class %d, as the input", found.Method, norm, inputs[k].Label)
						}
					}
				}
			}
		}
		if ran == 0 {
			t.Errorf("%s ran in no norm", m.Name)
		}
	}
	for _, norm := range method.Budgets() {
		if successes[norm] < 30 {
			t.Errorf("%d successes in %s, which shows little", successes[norm], norm)
		}
	}
	if denied == 0 {
		t.Error("nothing was denied by the model that confirms, so the test cannot tell whether it is asked")
	}
	t.Logf("successes %v, denied %d", successes, denied)
}
