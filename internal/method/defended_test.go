package method_test

import (
	"context"
	"reflect"
	"slices"
	"testing"

	"assay"
	"assay/internal/method"
	"assay/internal/model"
	"assay/onnx"
)

// refusing is linear with a refusal as the last class, which wins where a row lies within a distance of the boundary.
type refusing struct {
	*scorer
	within float64
}

func (r refusing) Describe() model.Description {
	d := r.scorer.Describe()
	d.Reject = true
	return d
}

func newRefusing(within float64) refusing {
	plain := linear(2)
	return refusing{&scorer{size: 2, classes: 3, score: func(row, batch []float64) []float64 {
		s := plain.score(row, batch)
		refusal := -1e9
		if s[1] > -within && s[1] < within {
			refusal = 1e9
		}
		return append(s, refusal)
	}}, within}
}

func TestRefusal(t *testing.T) {
	m := newRefusing(0.5)
	tg := method.Target{Model: m, Confirm: m, Domain: box(2, -10, 10), Pool: [][]float32{{0.1, 0.1}, {3, 3}, {-3, -3}}}
	var seen []string
	look := function{method.Description{Name: "look", Access: assay.Scores}, func(ctx context.Context, u method.Unit) error {
		if u.Classes() != 2 {
			t.Errorf("there are %d classes", u.Classes())
		}
		scores, err := u.Scores(ctx, []float32{-0.1, -0.1, 0.1, 0.1, 1, 1})
		if err != nil {
			return err
		}
		// A refusal is the label's.
		if len(scores) != 6 || scores[u.Label()] != 1e9 || scores[2+u.Label()] != 1e9 || scores[4+u.Label()] > 1e8 {
			t.Errorf("of label %d the scores are %v", u.Label(), scores)
		}
		pool, err := u.Pool(ctx)
		if err != nil || len(pool) != 1 {
			t.Errorf("the pool of label %d is %v (%v): what is refused is no start", u.Label(), pool, err)
		}
		if u.Found() {
			seen = append(seen, "found")
		}
		return nil
	}}
	inputs := []method.Input{{Index: 0, X: []float32{-1, -1}, Label: 0}, {Index: 1, X: []float32{0.1, 0.1}, Label: 1}}
	for eps, robust := range map[float64]bool{1.2: true, 2: false} { // (1, 1) is the nearest that was asked about and is not refused
		results, err := method.Run(context.Background(), tg, method.Attacker{Access: assay.Scores, Norm: method.Linf, Eps: eps}, []method.Method{look}, inputs, method.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if !results[0].Correct || results[0].Robust != robust {
			t.Errorf("eps %g: the input far from the boundary has %+v", eps, results[0])
		}
		if results[1].Correct || results[1].Answer != 2 {
			t.Errorf("eps %g: the refused input has %+v", eps, results[1])
		}
	}
	if !slices.Equal(seen, []string{"found"}) {
		t.Errorf("found was %v", seen)
	}
	inputs[0].Label = 2
	if _, err := method.Run(context.Background(), tg, method.Attacker{Access: assay.Scores, Norm: method.Linf, Eps: 1}, nil, inputs, method.Options{}); err == nil {
		t.Error("a refusal can be a label")
	}
}

// noisy is a linear model of ten numbers under noise, of which it draws a row for each row.
func noisy(t *testing.T, deviation float32) *onnx.Model {
	t.Helper()
	b := onnx.NewBuilder("noisy")
	x := b.Input("x", onnx.Float32, "N", 10)
	drawn := b.Op("Add", nil, x, b.Op("RandomNormalLike", onnx.Attrs{"scale": deviation}, x))
	weights := make([]float32, 20)
	for i := range 10 {
		weights[2*i], weights[2*i+1] = -1, 1
	}
	b.Output(b.OpAs("logits", "MatMul", nil, drawn, b.Weight(onnx.NewTensor("w", weights, 10, 2))), onnx.Float32, onnx.Dims("N", 2))
	return b.Model()
}

// What comes of a unit depends neither on those with it nor on batches, though the model draws at random.
func TestRandomModel(t *testing.T) {
	tg := target(t, noisy(t, 0.3), 8)
	inputs := units(t, tg.Model, 24)
	a := method.Attacker{Access: assay.Gradients, Norm: method.Linf, Eps: 0.2}
	run := func(inputs []method.Input, o method.Options) []method.Result {
		t.Helper()
		o.Seed = 3
		results, err := method.Run(context.Background(), tg, a, []method.Method{ascent(8), draws(20)}, inputs, o)
		if err != nil {
			t.Fatal(err)
		}
		return results
	}
	want := run(inputs, method.Options{})
	broken := 0
	for i, r := range want {
		if !r.Robust && r.Correct {
			broken++
		}
		if i%5 == 0 {
			if alone := run(inputs[i:i+1], method.Options{Lanes: 1}); !reflect.DeepEqual(alone[0], r) {
				t.Errorf("alone unit %d has %+v, among others %+v", i, alone[0], r)
			}
		}
		if r.Methods != nil && r.Methods[0].Queries != 8*method.GradientDraws+1 && r.Methods[0].Queries%method.GradientDraws > 1 {
			t.Errorf("unit %d: %d queries", i, r.Methods[0].Queries)
		}
	}
	if broken == 0 || broken == len(want) {
		t.Errorf("%d of %d units are broken: that shows little", broken, len(want))
	}
	if again := run(inputs, method.Options{Lanes: 3}); !reflect.DeepEqual(again, want) {
		t.Error("three lanes give other results")
	}
	slices.Reverse(inputs)
	again := run(inputs, method.Options{})
	slices.Reverse(again)
	if !reflect.DeepEqual(again, want) {
		t.Error("another order gives other results")
	}
}

// A chance is no success: one draw of many that goes wrong does not break a unit, and most do.
func TestRandomConfirmed(t *testing.T) {
	tg := target(t, noisy(t, 0.5), 8) // the margin has a deviation of 2·0.5·√10 = 3.2
	many := function{method.Description{Name: "ask", Access: assay.Labels, Undirected: true}, func(ctx context.Context, u method.Unit) error {
		wrong := 0
		for range 200 {
			labels, err := u.Labels(ctx, u.Clean())
			if err != nil {
				return err
			}
			if labels[0] != u.Label() {
				wrong++
			}
		}
		if wrong == 0 || wrong > 60 {
			t.Errorf("%d of 200 answers are wrong", wrong)
		}
		return nil
	}}
	x := make([]float32, 10)
	for i := range x {
		x[i] = 0.16 // a margin of 3.2: of one draw in six wrong
	}
	results, err := method.Run(context.Background(), tg, method.Attacker{Access: assay.Labels, Norm: method.Linf, Eps: 1}, []method.Method{many},
		[]method.Input{{X: x, Label: 1}}, method.Options{Seed: 1})
	if err != nil || !results[0].Correct || !results[0].Robust {
		t.Errorf("%+v (%v)", results, err)
	}
}
