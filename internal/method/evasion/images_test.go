package evasion_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"assay"
	"assay/internal/method"
	"assay/internal/method/evasion"
	"assay/internal/method/evasion/corruption"
	"assay/internal/method/evasion/linear"
	"assay/internal/model"
)

// pictures are images of some channels of which each of two classes is brighter on one side, and a linear classifier of them.
func pictures(n, channels, side int, last bool) (*linear.Classifier, method.Target, []method.Input) {
	g := &method.Image{Channels: channels, Height: side, Width: side, Last: last}
	width := channels * side * side
	r := rand.New(rand.NewPCG(5, 0))
	var rows []float32
	labels, inputs := make([]int32, n), make([]method.Input, n)
	for i := range n {
		labels[i] = int32(i % 2)
		x := make([]float32, width)
		for c := range channels {
			for py := range side {
				for px := range side {
					v := 0.4 + 0.1*r.NormFloat64()
					if (px < side/2) == (i%2 == 0) {
						v += 0.06
					}
					x[g.At(c, py, px)] = float32(min(max(v, 0), 1))
				}
			}
		}
		rows = append(rows, x...)
		inputs[i] = method.Input{Index: int64(i), X: x, Label: i % 2}
	}
	c, err := linear.Fit(rows, width, labels)
	if err != nil {
		panic(err)
	}
	d := &method.Domain{Image: g}
	for range width {
		d.Low, d.High, d.Scale = append(d.Low, 0), append(d.High, 1), append(d.Scale, 1)
	}
	return c, method.Target{Model: exact{c}, Gradient: entropy{exact{c}}, Confirm: exact{c}, Domain: d}, inputs
}

// entropy gives the gradients of the cross-entropy of two classes, where exact has the margin's.
type entropy struct{ exact }

func (e entropy) Gradient(ctx context.Context, loss model.Loss, rows []float32, labels, targets []int32, scores, losses, gradient []float32) error {
	err := e.exact.Gradient(ctx, loss, rows, labels, targets, scores, losses, gradient)
	if loss != model.CrossEntropy {
		return err
	}
	for i, margin := range losses {
		wrong := 1 / (1 + math.Exp(-float64(margin)))
		losses[i] = float32(-math.Log1p(-wrong))
		for j := range e.c.Width {
			gradient[i*e.c.Width+j] *= float32(wrong)
		}
	}
	return err
}

// budgets are the methods with attackers who may use them.
func budgets() map[method.Method]method.Attacker {
	rotation, corrupted := evasion.RotationTranslation{}, evasion.CommonCorruption{}
	all := map[method.Method]method.Attacker{
		evasion.CarliniWagner{Steps: 50, Searches: 4}:           {Norm: method.L2, Eps: 0.7},
		evasion.DeepFool{Steps: 10, Targets: 9}:                 {Norm: method.L2, Eps: 0.7},
		evasion.EAD{Steps: 50, Searches: 4, Beta: 0.01}:         {Norm: method.L1, Eps: 4},
		evasion.SparseRS{Queries: 100, Share: 0.3}:              {Norm: method.L0, Eps: 8},
		evasion.MinimumNorm{Steps: 10, Searches: 4, Targets: 2}: {Norm: method.Linf, Eps: 0.1},
		evasion.RayS{Queries: 200}:                              {Norm: method.Linf, Eps: 0.1},
		evasion.Rotation{Draws: 20}:                             {Family: rotation, Eps: 1},
		evasion.Rotation{}:                                      {Family: rotation, Eps: 0.5},
	}
	for k := range corruption.Kinds() {
		all[evasion.Corruption{Kind: k}] = method.Attacker{Family: corrupted, Eps: 4}
	}
	return all
}

// Nothing leaves its budget, on images of either layout, with fixed and whole numbers: what is found is in the attacker's
// space, or made again by its parameters. It is the same for any number of lanes.
func TestBudgets(t *testing.T) {
	for _, layout := range []struct {
		last  bool
		whole bool
	}{{false, false}, {true, true}} {
		_, target, inputs := pictures(40, 3, 8, layout.last)
		d := *target.Domain
		d.Fixed = make([]bool, len(d.Low))
		for j := range d.Fixed {
			d.Fixed[j] = j%11 == 0
		}
		scale := float32(1)
		if layout.whole {
			scale = 16
			d.Integer = slices.Repeat([]bool{true}, len(d.Low))
			d.High = slices.Repeat([]float32{16}, len(d.Low))
			d.Scale = d.High
			inputs = slices.Clone(inputs)
			for i, in := range inputs {
				x := slices.Clone(in.X)
				for j := range x {
					x[j] = float32(math.Round(float64(x[j]) * 16))
				}
				inputs[i].X = x
			}
			sixteenth := target.Model.(exact)
			c := *sixteenth.c
			c.Weights = slices.Clone(c.Weights)
			for j := range c.Weights {
				c.Weights[j] /= 16
			}
			target.Model, target.Gradient, target.Confirm = exact{&c}, exact{&c}, exact{&c}
		}
		target.Domain = &d
		type attack struct {
			m method.Method
			a method.Attacker
		}
		var attacks []attack
		for m, a := range budgets() {
			attacks = append(attacks, attack{m, a})
		}
		attacks = append(attacks, attack{evasion.Universal{Steps: 20, Batch: 8}, method.Attacker{Norm: method.Linf, Eps: 0.15}},
			attack{evasion.Universal{Steps: 20, Batch: 8}, method.Attacker{Norm: method.L2, Eps: 1}},
			attack{evasion.Universal{Steps: 20, Batch: 8}, method.Attacker{Norm: method.L1, Eps: 10}},
			attack{evasion.AdversarialPatch{Steps: 10, Batch: 8, Targets: 2, Places: 5}, method.Attacker{Norm: method.Patch, Eps: 0.2}})
		broken := 0
		for _, at := range attacks {
			name := at.m.Describe().Name
			at.a.Access = assay.Gradients
			var first []method.Result
			for _, lanes := range []int{1, 7} {
				results, err := method.Run(context.Background(), target, at.a, []method.Method{at.m}, inputs[:20],
					method.Options{Seed: 3, Lanes: lanes, Lessons: inputs[20:]})
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if first == nil {
					first = results
				}
				if a, b := fmt.Sprint(first), fmt.Sprint(results); a != b {
					t.Errorf("%s: %d lanes change the result", name, lanes)
				}
			}
			for i, r := range first {
				for _, m := range r.Methods {
					if !m.Success {
						continue
					}
					broken++
					outside(t, name, at.a, &d, inputs[i].X, m)
				}
			}
		}
		if broken < 100 {
			t.Errorf("%d successes say little (scale %v)", broken, scale)
		}
	}
}

func outside(t *testing.T, name string, a method.Attacker, d *method.Domain, clean []float32, m method.MethodResult) {
	t.Helper()
	if a.Family == nil {
		s := &method.Space{Domain: d, Norm: a.Norm, Eps: a.Eps, Clean: clean}
		if err := s.Contains(m.Example); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		return
	}
	if size := a.Family.Size(m.Parameters); !(size <= a.Eps) || size != m.Distance {
		t.Errorf("%s: size %v of %v", name, size, a.Eps)
	}
	again := a.Family.Transform(d, clean, m.Parameters)
	for j, v := range m.Example {
		switch {
		case v == clean[j]: // fixed, or the same
		case d.Fixed[j]:
			t.Fatalf("%s: number %d is fixed, and changed", name, j)
		case v < d.Low[j] || v > d.High[j] || d.Integer != nil && d.Integer[j] && v != float32(math.Round(float64(again[j]))):
			t.Fatalf("%s: number %d is %v, and made again %v", name, j, v, again[j])
		case (d.Integer == nil || !d.Integer[j]) && math.Abs(float64(v-min(max(again[j], d.Low[j]), d.High[j]))) > 1e-6:
			t.Fatalf("%s: number %d is %v, and made again %v", name, j, v, again[j])
		}
	}
}

// One perturbation for all breaks those that a closed form says it can, and none that nothing can break.
func TestUniversalAgainstExactAnswer(t *testing.T) {
	c, target, inputs := pictures(120, 1, 8, false)
	broken := map[float64]int{}
	for _, eps := range []float64{0.02, 0.3} {
		a := method.Attacker{Access: assay.Gradients, Norm: method.Linf, Eps: eps}
		results, err := method.Run(context.Background(), target, a, []method.Method{evasion.Universal{Steps: 60, Batch: 16}}, inputs[:60],
			method.Options{Seed: 1, Lessons: inputs[60:]})
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range results {
			s := &method.Space{Domain: target.Domain, Norm: method.Linf, Eps: eps, Clean: inputs[i].X}
			if r.Correct && !r.Robust {
				broken[eps]++
				if c.Margin(s, inputs[i].Label) <= 0 {
					t.Errorf("unit %d is broken at %v, which cannot be", r.Index, eps)
				}
			}
		}
	}
	// What moves a linear model of two classes moves it one way: half of the units are lost, and no more.
	if broken[0.02] > 6 || broken[0.3] < 28 || broken[0.3] > 32 {
		t.Errorf("broken: %v", broken)
	}
}

// A patch on a model that counts light breaks exactly the units that white squares can, and none beyond.
func TestPatchAgainstExactAnswer(t *testing.T) {
	const side = 6
	c := &linear.Classifier{Width: side * side, Classes: []int32{0, 1}, Weights: make([]float64, 2*side*side), Bias: []float64{0, -17.83}}
	for j := range side * side {
		c.Weights[side*side+j] = 1 // the second class where the sum is above 17.83
	}
	d := &method.Domain{Image: &method.Image{Channels: 1, Height: side, Width: side}}
	for range side * side {
		d.Low, d.High, d.Scale = append(d.Low, 0), append(d.High, 1), append(d.Scale, 1)
	}
	target := method.Target{Model: exact{c}, Gradient: exact{c}, Confirm: exact{c}, Domain: d}
	var units, lessons []method.Input
	for i := range 30 { // flat images, from black to half light: nine white pixels add 9·(1 - light)
		light := float32(i) / 30 * 0.5
		units = append(units, method.Input{Index: int64(i), X: slices.Repeat([]float32{light}, side*side), Label: 0})
		lessons = append(lessons, method.Input{X: slices.Repeat([]float32{light + 0.001}, side*side), Label: i % 2})
	}
	a := method.Attacker{Access: assay.Gradients, Norm: method.Patch, Eps: 9.0 / 36}
	m := evasion.AdversarialPatch{Steps: 60, Batch: 8, Targets: 2, Places: 4}
	results, err := method.Run(context.Background(), target, a, []method.Method{m}, units, method.Options{Seed: 1, Lessons: lessons})
	if err != nil {
		t.Fatal(err)
	}
	broken := 0
	for i, r := range results {
		light := float64(units[i].X[0])
		can := 36*light+9*(1-light) > 17.83
		if can == r.Robust {
			t.Errorf("light %v: robust %v, and a patch can break it: %v", light, r.Robust, can)
		}
		if !r.Robust {
			broken++
			if r.Methods[0].Distance > a.Eps {
				t.Errorf("the patch covers %v", r.Methods[0].Distance)
			}
		}
	}
	if broken < 5 || broken > 25 {
		t.Errorf("%d of 30 are broken", broken)
	}
}

// Turns and moves do what they say: nothing at 0, whole pixels by whole steps, a quarter turn by 90°.
func TestRotationTranslation(t *testing.T) {
	const side = 10
	g := &method.Image{Channels: 1, Height: side, Width: side}
	d := &method.Domain{Image: g}
	x := make([]float32, side*side)
	for j := range x {
		d.Low, d.High, d.Scale = append(d.Low, 0), append(d.High, 1), append(d.Scale, 1)
		x[j] = float32(j) / 100
	}
	f := evasion.RotationTranslation{}
	if got := f.Transform(d, x, []float64{0, 0, 0}); !slices.Equal(got, x) {
		t.Errorf("nothing: %v", got)
	}
	moved := f.Transform(d, x, []float64{0, 0.1, -0.2}) // one down, two to the left
	for py := range side {
		for px := range side {
			want := float32(0)
			if py >= 1 && px+2 < side {
				want = x[g.At(0, py-1, px+2)]
			}
			if got := moved[g.At(0, py, px)]; math.Abs(float64(got-want)) > 1e-6 {
				t.Fatalf("moved: %v at %d, %d, want %v", got, py, px, want)
			}
		}
	}
	turned := f.Transform(d, x, []float64{90, 0, 0})
	for py := range side {
		for px := range side {
			a, b := x[g.At(0, px, side-1-py)], x[g.At(0, side-1-px, py)]
			if got := turned[g.At(0, py, px)]; math.Abs(float64(got-a)) > 1e-5 && math.Abs(float64(got-b)) > 1e-5 {
				t.Fatalf("turned: %v at %d, %d, want %v or %v", got, py, px, a, b)
			}
		}
	}
	if s := f.Size([]float64{15, 0.02, -0.1}); s != 1 {
		t.Errorf("size %v", s)
	}
	grid := evasion.Rotation{}
	asked := 0
	target := method.Target{Domain: d}
	c := &linear.Classifier{Width: side * side, Classes: []int32{0, 1}, Weights: make([]float64, 2*side*side), Bias: []float64{1, 0}}
	target.Model, target.Confirm = exact{c}, exact{c}
	results, err := method.Run(context.Background(), target, method.Attacker{Access: assay.Labels, Family: f, Eps: 1}, []method.Method{grid},
		[]method.Input{{X: x, Label: 0}}, method.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if asked = results[0].Methods[0].Queries; asked != 775 {
		t.Errorf("the grid has %d points, and the paper's 775", asked)
	}
	_ = model.NCHW
}
