package method_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"assay"
	"assay/internal/method"
	"assay/internal/model"
)

// scorer is a classifier made of a function of one row, and of the batch it is in.
type scorer struct {
	size, classes int
	score         func(row, batch []float64) []float64
	err           error
	calls         atomic.Int64
	rows          atomic.Int64
}

func (s *scorer) Describe() model.Description {
	d := model.Description{Shape: []int64{int64(s.size)}, Layout: model.Tabular, Range: model.Unbounded("a test"), Output: model.Logits}
	for i := range s.classes {
		d.Classes = append(d.Classes, strconv.Itoa(i))
	}
	return d
}

func (s *scorer) Predict(ctx context.Context, rows, scores []float64) error {
	if s.err != nil {
		return s.err
	}
	s.calls.Add(1)
	n, err := s.Describe().Rows(rows, scores)
	for i := range n {
		s.rows.Add(1)
		copy(scores[i*s.classes:], s.score(rows[i*s.size:(i+1)*s.size], rows))
	}
	if err != nil {
		return err
	}
	return ctx.Err()
}

func (s *scorer) Close() error { return nil }

// linear is a classifier of two classes: the second where the numbers' sum is above 0.
func linear(size int) *scorer {
	return &scorer{size: size, classes: 2, score: func(row, _ []float64) []float64 {
		sum := 0.0
		for _, v := range row {
			sum += v
		}
		return []float64{0, sum}
	}}
}

// climber gives the gradients of linear.
type climber struct{ *scorer }

func (c climber) Batch() int { return 8 }

func (c climber) Gradient(ctx context.Context, _ model.Loss, rows []float32, labels, _ []int32, scores, losses, gradient []float32) error {
	wide, answers := make([]float64, len(rows)), make([]float64, len(scores))
	for i, v := range rows {
		wide[i] = float64(v)
	}
	if err := c.Predict(ctx, wide, answers); err != nil {
		return err
	}
	for i, label := range labels {
		sign := float32(1 - 2*label)
		scores[2*i], scores[2*i+1] = float32(answers[2*i]), float32(answers[2*i+1])
		losses[i] = sign * scores[2*i+1]
		for j := range c.size {
			gradient[i*c.size+j] = sign
		}
	}
	return nil
}

// function is a method made of a function.
type function struct {
	method.Description
	perturb func(ctx context.Context, u method.Unit) error
}

func (f function) Describe() method.Description { return f.Description }

func (f function) Perturb(ctx context.Context, u method.Unit) error { return f.perturb(ctx, u) }

// ascent climbs a loss from a random start: PGD (Madry et al. 2018) in short.
func ascent(steps int) method.Method {
	return function{method.Description{Name: "ascent", Access: assay.Gradients, Iterative: true}, func(ctx context.Context, u method.Unit) error {
		x := slices.Clone(u.Clean())
		u.Space().Random(u.Rand(), x)
		for range steps {
			g, err := u.Gradient(ctx, model.CrossEntropy, 0, x)
			if err != nil {
				return err
			}
			u.Space().Step(x, g.Slope, u.Space().Eps/4)
		}
		_, err := u.Scores(ctx, x)
		return err
	}}
}

// draws asks for the labels of random points.
func draws(n int) method.Method {
	return function{method.Description{Name: "draws", Access: assay.Labels, Undirected: true}, func(ctx context.Context, u method.Unit) error {
		x := slices.Clone(u.Clean())
		for range n {
			u.Space().Random(u.Rand(), x)
			if _, err := u.Labels(ctx, x); err != nil {
				return err
			}
		}
		return nil
	}}
}

func box(size int, low, high float32) *method.Domain {
	return &method.Domain{Low: slices.Repeat([]float32{low}, size), High: slices.Repeat([]float32{high}, size), Scale: slices.Repeat([]float32{1}, size)}
}

func linearTarget(size int) method.Target {
	m := linear(size)
	return method.Target{Model: m, Gradient: climber{m}, Confirm: linear(size), Domain: box(size, -10, 10)}
}

var whiteBox = method.Attacker{Access: assay.Gradients, Norm: method.Linf, Eps: 0.5}

// TestLinearModelInClosedForm: a linear model is robust exactly where its margin is
// above eps times the dual norm of its weights.
func TestLinearModelInClosedForm(t *testing.T) {
	const size = 4
	var inputs []method.Input
	for i := range 101 {
		v := float32(i-50) / 50 // sum 4v: margin 4|v|, reach 4·0.5 or 2·0.5
		label := 0
		if v > 0 {
			label = 1
		}
		inputs = append(inputs, method.Input{Index: int64(i), X: slices.Repeat([]float32{v}, size), Label: label})
	}
	for _, norm := range method.Norms() {
		a, tgt := whiteBox, linearTarget(size)
		a.Norm = norm
		reach := 0.5
		switch norm { // what each of four equal numbers can do on average
		case method.L2:
			reach = 0.25
		case method.L1:
			reach = 0.125
		case method.L0:
			a.Eps, reach = 2, 0.75
			tgt.Domain = box(size, -0.75, 0.75)
		}
		results, err := method.Run(context.Background(), tgt, a, []method.Method{ascent(12)}, inputs, method.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range results {
			v := float64(inputs[i].X[0])
			if !r.Correct {
				t.Errorf("%g is not correct", v)
			}
			if math.Abs(math.Abs(v)-reach) < 1e-6 {
				continue
			}
			if r.Robust != (math.Abs(v) > reach) {
				t.Errorf("%s: at %g robust is %v, and the reach is %g", norm, v, r.Robust, reach)
			}
			if m := r.Methods[0]; m.Queries != 13 || m.Success == r.Robust || m.Success && (m.Example == nil || r.Answer == inputs[i].Label || m.Distance > a.Eps) {
				t.Errorf("%+v", r)
			}
		}
	}
}

// TestOnlyWhatHoldsAloneCounts: a model whose answers depend on the batch around a row,
// as with batch normalisation in training mode, looks broken in batches only.
func TestOnlyWhatHoldsAloneCounts(t *testing.T) {
	target := linearTarget(2)
	target.Model = &scorer{size: 2, classes: 2, score: func(row, batch []float64) []float64 {
		return []float64{float64(len(batch)), 0} // never the second class, but alone
	}}
	inputs := []method.Input{{Index: 7, X: []float32{3, 3}, Label: 1}}
	results, err := method.Run(context.Background(), target, whiteBox, []method.Method{draws(10)}, inputs, method.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if r := results[0]; !r.Correct || !r.Robust || !r.Methods[0].Unconfirmed || r.Methods[0].Success || r.Methods[0].Example != nil {
		t.Errorf("%+v", r)
	}
}

// TestOutsideTheSpaceNeverCounts: a method may ask about any row.
func TestOutsideTheSpaceNeverCounts(t *testing.T) {
	far := function{method.Description{Name: "far", Access: assay.Labels}, func(ctx context.Context, u method.Unit) error {
		x := slices.Clone(u.Clean())
		for i := range x {
			x[i] -= 5
		}
		labels, err := u.Labels(ctx, x)
		if err == nil && (labels[0] != 0 || u.Found()) {
			t.Error("the row is not answered, or counts")
		}
		return err
	}}
	inputs := []method.Input{{X: []float32{3, 3}, Label: 1}}
	results, err := method.Run(context.Background(), linearTarget(2), whiteBox, []method.Method{far}, inputs, method.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if r := results[0]; !r.Robust || r.Methods[0].Success || r.Methods[0].Unconfirmed || r.Methods[0].Queries != 1 {
		t.Errorf("%+v", r)
	}
}

// TestMethodsCannotMoveTheLimits: what a method makes of its space and input is its own affair.
func TestMethodsCannotMoveTheLimits(t *testing.T) {
	greedy := function{method.Description{Name: "greedy", Access: assay.Labels}, func(ctx context.Context, u method.Unit) error {
		u.Space().Eps = 100
		for i := range u.Clean() {
			u.Clean()[i] = -5
		}
		_, err := u.Labels(ctx, u.Clean())
		return err
	}}
	inputs := []method.Input{{X: []float32{3, 3}, Label: 1}}
	results, err := method.Run(context.Background(), linearTarget(2), whiteBox, []method.Method{greedy}, inputs, method.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if !results[0].Robust || inputs[0].X[0] != 3 {
		t.Errorf("%+v", results[0])
	}
}

func TestWrongUnitsAreNotAttacked(t *testing.T) {
	inputs := []method.Input{{X: []float32{3, 3}, Label: 0}}
	results, err := method.Run(context.Background(), linearTarget(2), whiteBox, []method.Method{draws(10)}, inputs, method.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if r := results[0]; r.Correct || r.Robust || r.Answer != 1 || len(r.Methods) != 0 {
		t.Errorf("%+v", r)
	}
}

func TestBudget(t *testing.T) {
	a := whiteBox
	a.Queries = 5
	target := linearTarget(2)
	inputs := []method.Input{{X: []float32{9, 9}, Label: 1}, {X: []float32{8, 8}, Label: 1}}
	results, err := method.Run(context.Background(), target, a, []method.Method{draws(5), ascent(5)}, inputs, method.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if m := r.Methods[0]; m.Queries != 5 || m.Exhausted {
			t.Errorf("%+v", m)
		}
		if m := r.Methods[1]; m.Queries != 5 || !m.Exhausted || m.Success {
			t.Errorf("%+v", m)
		}
	}
}

// TestErrors: each names what is to be corrected.
func TestErrors(t *testing.T) {
	boom := errors.New("the wire is cut")
	described := func(access assay.Access, perturb func(ctx context.Context, u method.Unit) error) method.Method {
		return function{method.Description{Name: "probe", Access: access}, perturb}
	}
	gradient := func(ctx context.Context, u method.Unit) error {
		_, err := u.Gradient(ctx, model.CrossEntropy, 0, u.Clean())
		return err
	}
	scores := func(ctx context.Context, u method.Unit) error {
		_, _ = u.Scores(ctx, u.Clean()) // even where the method disregards it
		return nil
	}
	tests := []struct {
		name   string
		change func(t *method.Target, a *method.Attacker, in *method.Input)
		method method.Method
		want   string
	}{
		{"gradient undeclared", nil, described(assay.Scores, gradient), "method probe, unit 5: it asked for gradients"},
		{"scores undeclared", nil, described(assay.Labels, scores), "method probe, unit 5: it asked for scores"},
		{"weaker attacker", func(_ *method.Target, a *method.Attacker, _ *method.Input) { a.Access = assay.Labels }, described(assay.Scores, scores), "the method probe needs access to scores"},
		{"no gradients", func(t *method.Target, _ *method.Attacker, _ *method.Input) { t.Gradient = nil }, described(assay.Gradients, gradient), "the model gives none"},
		{"panic", nil, described(assay.Scores, func(context.Context, method.Unit) error { panic("oh") }), "method probe, unit 5: it panicked"},
		{"model panics", func(t *method.Target, _ *method.Attacker, _ *method.Input) {
			t.Model = &scorer{size: 2, classes: 2, score: func(_, _ []float64) []float64 { panic("oh") }}
		}, described(assay.Scores, scores), "the model panicked"},
		{"model fails", func(t *method.Target, _ *method.Attacker, _ *method.Input) {
			t.Model = &scorer{size: 2, classes: 2, err: boom}
		}, described(assay.Scores, scores), boom.Error()},
		{"part of a row", nil, described(assay.Scores, func(ctx context.Context, u method.Unit) error {
			_, err := u.Scores(ctx, make([]float32, 3))
			return err
		}), "no whole rows"},
		{"unknown loss", nil, described(assay.Gradients, func(ctx context.Context, u method.Unit) error {
			_, err := u.Gradient(ctx, "hinge", 0, u.Clean())
			return err
		}), `"hinge"`},
		{"target is the label", nil, described(assay.Gradients, func(ctx context.Context, u method.Unit) error {
			_, err := u.Gradient(ctx, model.TargetedDLR, u.Label(), u.Clean())
			return err
		}), "about class 1"},
		{"label", func(_ *method.Target, _ *method.Attacker, in *method.Input) { in.Label = 2 }, draws(1), "unit 5 has the label 2"},
		{"width", func(_ *method.Target, _ *method.Attacker, in *method.Input) { in.X = in.X[:1] }, draws(1), "unit 5 has 1 numbers"},
		{"NaN in the data", func(_ *method.Target, _ *method.Attacker, in *method.Input) { in.X[1] = float32(math.NaN()) }, draws(1), "unit 5 has NaN as number 1"},
		{"NaN in the pool", func(t *method.Target, _ *method.Attacker, in *method.Input) {
			t.Pool = [][]float32{{0, float32(math.Inf(1))}}
		}, draws(1), "row 0 of the pool"},
		{"no answer", func(t *method.Target, _ *method.Attacker, _ *method.Input) {
			t.Confirm = &scorer{size: 2, classes: 2, score: func(_, _ []float64) []float64 { return []float64{math.NaN(), 1} }}
		}, draws(1), "unit 5: the model's scores are no numbers"},
		{"eps", func(_ *method.Target, a *method.Attacker, _ *method.Input) { a.Eps = math.NaN() }, draws(1), "eps must be finite"},
		{"norm", func(_ *method.Target, a *method.Attacker, _ *method.Input) { a.Norm = "L7" }, draws(1), `"L7"`},
		{"domain", func(t *method.Target, _ *method.Attacker, _ *method.Input) { t.Domain = box(3, 0, 1) }, draws(1), "the domain describes 3"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			target, a, in := linearTarget(2), whiteBox, method.Input{Index: 5, X: []float32{3, 3}, Label: 1}
			if tt.change != nil {
				tt.change(&target, &a, &in)
			}
			// Another unit whose lane waits must not be left waiting.
			inputs := []method.Input{in, {Index: 5, X: []float32{3, 3}, Label: 1}}
			_, err := method.Run(context.Background(), target, a, []method.Method{tt.method}, inputs, method.Options{})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v does not say %q", err, tt.want)
			}
		})
	}
	if _, err := method.Run(context.Background(), linearTarget(2), whiteBox, []method.Method{draws(1), draws(2)}, nil, method.Options{}); err == nil {
		t.Error("a method is listed twice")
	}
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	endless := function{method.Description{Name: "endless", Access: assay.Labels}, func(ctx context.Context, u method.Unit) error {
		for i := 0; ; i++ {
			if _, err := u.Labels(ctx, u.Clean()); err != nil {
				return err
			}
			if i == 3 {
				cancel()
			}
		}
	}}
	var inputs []method.Input
	for i := range 10 {
		inputs = append(inputs, method.Input{X: []float32{float32(i + 3), 3}, Label: 1})
	}
	_, err := method.Run(ctx, linearTarget(2), whiteBox, []method.Method{endless}, inputs, method.Options{Lanes: 4})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// TestUndefinedScores: where the model gives no numbers, no class was shown to be wrong.
func TestUndefinedScores(t *testing.T) {
	target := linearTarget(2)
	target.Model = &scorer{size: 2, classes: 2, score: func(row, _ []float64) []float64 { return []float64{math.NaN(), row[0]} }}
	results, err := method.Run(context.Background(), target, whiteBox, []method.Method{draws(3)}, []method.Input{{X: []float32{3, 3}, Label: 1}}, method.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if m := results[0].Methods[0]; m.Success || m.Unconfirmed || m.Undefined != 3 {
		t.Errorf("%+v", m)
	}
}

func TestPool(t *testing.T) {
	target := linearTarget(2)
	target.Pool = [][]float32{{1, 1}, {-1, -1}, {-2, 0}, {5, 5}}
	for label, want := range map[int][][]float32{1: {{-1, -1}, {-2, 0}}, 0: {{1, 1}, {5, 5}}} {
		m := function{method.Description{Name: "pool", Access: assay.Labels}, func(ctx context.Context, u method.Unit) error {
			rows, err := u.Pool(ctx)
			if !slices.EqualFunc(rows, want, slices.Equal[[]float32]) {
				t.Errorf("label %d: %v", label, rows)
			}
			return err
		}}
		x := float32(2*label-1) * 3
		if _, err := method.Run(context.Background(), target, whiteBox, []method.Method{m}, []method.Input{{X: []float32{x, x}, Label: label}}, method.Options{}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestBatchesAreOfOneSize: the model never sees how many units there are.
func TestBatchesAreOfOneSize(t *testing.T) {
	target := linearTarget(2)
	target.Gradient = nil
	var wrong atomic.Int64
	target.Model = &scorer{size: 2, classes: 2, score: func(row, batch []float64) []float64 {
		if len(batch) != 5*2 {
			wrong.Add(1)
		}
		return []float64{0, row[0] + row[1]}
	}}
	target.Pool = [][]float32{{1, 1}}
	several := function{method.Description{Name: "several", Access: assay.Scores}, func(ctx context.Context, u method.Unit) error {
		if _, err := u.Pool(ctx); err != nil {
			return err
		}
		for n := range 8 {
			if s, err := u.Scores(ctx, slices.Repeat(u.Clean(), n)); err != nil || len(s) != 2*n {
				return errors.Join(err, errors.New("wrong number of scores"))
			}
		}
		return nil
	}}
	var inputs []method.Input
	for i := range 7 {
		inputs = append(inputs, method.Input{X: []float32{float32(i + 1), 3}, Label: 1})
	}
	last := 0
	_, err := method.Run(context.Background(), target, method.Attacker{Access: assay.Scores, Norm: method.L2, Eps: 1}, []method.Method{several}, inputs,
		method.Options{Batch: 5, Lanes: 3, Progress: func(done, total int) {
			if last++; done != last || total != 7 {
				t.Errorf("progress %d of %d after %d", done, total, last)
			}
		}})
	if err != nil || wrong.Load() > 0 || last != 7 {
		t.Errorf("%v, %d wrong batches, %d steps", err, wrong.Load(), last)
	}
}
