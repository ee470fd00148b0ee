package evasion_test

import (
	"context"
	"encoding/json"
	"reflect"
	"slices"
	"sync"
	"testing"

	"assay"
	"assay/internal/dataset"
	"assay/internal/method"
	"assay/internal/method/evasion"
	"assay/internal/method/target"
	"assay/internal/model"
	"assay/internal/train"
	"assay/internal/train/network"
	"assay/onnx"
)

// subject is real data in two parts and what an attacker may do to them.
type subject struct {
	training, test *dataset.Dataset
	domain         *method.Domain
	attacker       method.Attacker
}

func read(t testing.TB, path string, o dataset.Options, unit method.Scaling, eps float64) *subject {
	t.Helper()
	d, err := dataset.Load(context.Background(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	parts, err := d.Split(1, 0.7, 0.3)
	if err != nil {
		t.Fatal(err)
	}
	s := &subject{training: d.Select(parts[0]), test: d.Select(parts[1])}
	if s.domain, err = method.DomainOf(d.Schema, d.Statistics(), unit); err != nil {
		t.Fatal(err)
	}
	s.attacker = method.Attacker{Access: assay.Gradients, Norm: method.Linf, Eps: eps}
	return s
}

func digits(t testing.TB) *subject {
	schema, err := dataset.OpenSchema("../../../examples/digits/schema.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return read(t, "../../../examples/digits/digits.csv.gz", dataset.Options{Schema: schema}, method.Raw, 1)
}

func diagnosis(t testing.TB) *subject {
	return read(t, "../../../examples/diagnosis/breast_cancer.csv", dataset.Options{Label: "diagnosis"}, method.Deviation, 0.3)
}

func fit(t testing.TB, m *onnx.Model, d *train.Data, epochs int) *onnx.Model {
	t.Helper()
	r, err := train.Run(context.Background(), m, d, train.Options{Epochs: epochs, Optimizer: train.Optimizer{Method: train.Adam, Rate: 0.003}, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	return r.Model
}

func standardized(t testing.TB, m *onnx.Model, s *subject) *onnx.Model {
	t.Helper()
	m, err := train.Standardize(m, train.FromDataset(s.training))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// convolutional is a network of digits, trained once for all tests.
var convolutional struct {
	once  sync.Once
	model *onnx.Model
}

func cnn(t testing.TB, s *subject) *onnx.Model {
	convolutional.once.Do(func() {
		convolutional.model = fit(t, standardized(t, network.CNN(1, 8, 8, []int{8, 16}, 10, 1), s), train.FromDataset(s.training), 15)
	})
	if convolutional.model == nil {
		t.Fatal("the network was not trained")
	}
	return convolutional.model
}

func mlp(t testing.TB, s *subject) *onnx.Model {
	return fit(t, standardized(t, network.MLP(s.training.Schema.Width(), []int{32, 16}, 2, 1), s), train.FromDataset(s.training), 20)
}

// harden trains a model further on what PGD makes of its training data, round by round.
func harden(t testing.TB, s *subject, m *onnx.Model, rounds int) *onnx.Model {
	t.Helper()
	for range rounds {
		o := open(t, s, m)
		inputs := units(t, s.training, o, s.training.Len())
		d := &train.Data{Shape: s.training.Schema.RecordShape(), Classes: append(slices.Clone(s.training.Y), s.training.Y...)}
		d.X = slices.Concat(s.training.X, adversarial(t, s, o, inputs))
		o.Close()
		m = fit(t, m, d, 2)
	}
	return m
}

// adversarial takes ten steps from each input, whatever the model says of them.
func adversarial(t testing.TB, s *subject, o *target.Model, inputs []method.Input) (rows []float32) {
	t.Helper()
	classes := len(o.Classes)
	for batch := range slices.Chunk(inputs, o.Gradient.Batch()) {
		var at []float32
		var labels []int32
		for _, in := range batch {
			at, labels = append(at, in.X...), append(labels, int32(in.Label))
		}
		scores, losses, slope := make([]float32, len(batch)*classes), make([]float32, len(batch)), make([]float32, len(at))
		for range 10 {
			if err := o.Gradient.Gradient(context.Background(), model.CrossEntropy, at, labels, nil, scores, losses, slope); err != nil {
				t.Fatal(err)
			}
			for i, in := range batch {
				space := method.Space{Domain: s.domain, Norm: s.attacker.Norm, Eps: s.attacker.Eps, Clean: in.X}
				w := len(in.X)
				space.Step(at[i*w:(i+1)*w], slope[i*w:(i+1)*w], s.attacker.Eps/4)
			}
		}
		rows = append(rows, at...)
	}
	return rows
}

func open(t testing.TB, s *subject, m *onnx.Model) *target.Model {
	t.Helper()
	o, err := target.Open(context.Background(), m, target.Options{})
	if err != nil {
		t.Fatal(err)
	}
	o.Domain = s.domain
	return o
}

func units(t testing.TB, d *dataset.Dataset, o *target.Model, n int) []method.Input {
	t.Helper()
	rows, err := target.NewRows(d.Schema, o.Description)
	if err != nil {
		t.Fatal(err)
	}
	var indices []int
	for i := range min(n, d.Len()) {
		indices = append(indices, i)
	}
	return rows.Inputs(d, indices)
}

// before puts nodes between the input of a model and what it was read by.
func before(t testing.TB, m *onnx.Model, add func(b *onnx.Builder, x string) string) *onnx.Model {
	t.Helper()
	m = m.Clone()
	input := m.Graph.FreeInputs()[0].Name
	old := slices.Clone(m.Graph.Nodes)
	b := onnx.Extend(m.Graph)
	y := add(b, input)
	for _, n := range old {
		for i, name := range n.Inputs {
			if name == input {
				n.Inputs[i] = y
			}
		}
	}
	if err := m.Sort(); err != nil {
		t.Fatal(err)
	}
	return m
}

func battery(s *subject, o *target.Model) *evasion.Battery {
	return &evasion.Battery{
		Attacker: s.attacker, Shape: o.Shape, Layout: o.Layout,
		Effort: evasion.Effort{Steps: 20, Restarts: 2, Queries: 400, Draws: 200},
		Open: func(ctx context.Context, m *onnx.Model) (method.Target, func(), error) {
			o, err := target.Open(ctx, m, target.Options{})
			if err != nil {
				return method.Target{}, nil, err
			}
			return o.Target, func() { o.Close() }, nil
		},
	}
}

// judge attacks a model and gives the checks that fail.
func judge(t testing.TB, s *subject, m *onnx.Model, n int) (failed []string, e *evasion.Evidence) {
	t.Helper()
	o := open(t, s, m)
	defer o.Close()
	inputs := units(t, s.test, o, n)
	for _, in := range inputs {
		o.Pool = append(o.Pool, in.X)
	}
	e, err := battery(s, o).Run(context.Background(), o.Target, inputs, n, method.Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	// The checks rest on what is written and nothing else.
	text, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	recorded := &evasion.Evidence{}
	if err := json.Unmarshal(text, recorded); err != nil {
		t.Fatal(err)
	}
	checks := e.Checks()
	if again := recorded.Checks(); !reflect.DeepEqual(checks, again) {
		t.Errorf("checks of the record differ: %v, %v", checks, again)
	}
	for _, c := range checks {
		t.Logf("%-28s %v  %s", c.Name, c.Passed, c.Detail)
		if !c.Passed {
			failed = append(failed, c.Name)
		}
	}
	robust := 0
	by := map[string]int{}
	for _, r := range e.Units {
		if r.Robust {
			robust++
		}
		for _, m := range r.Methods {
			if m.Success {
				by[m.Method]++
			}
		}
	}
	t.Logf("robust %d of %d; broken by %v", robust, len(e.Units), by)
	return failed, e
}

// Layers that hide gradients, and one that does not.
var layers = map[string]func(b *onnx.Builder, x string) string{
	"rounding": func(b *onnx.Builder, x string) string {
		step := b.Number(onnx.Float32, 4)
		return b.Op("Mul", nil, b.Op("Round", nil, b.Op("Div", nil, x, step)), step)
	},
	"coarse quantisation": quantised(4),
	"fine quantisation":   quantised(16. / 255),
	"noise": func(b *onnx.Builder, x string) string {
		return b.Op("Add", nil, x, b.Op("RandomNormalLike", onnx.Attrs{"scale": float32(0.5)}, x))
	},
	"noise within a branch": func(b *onnx.Builder, x string) string { // where it is not found
		noisy, plain := b.Body("noisy"), b.Body("plain")
		noisy.Output(noisy.Op("Add", nil, x, noisy.Op("RandomNormalLike", onnx.Attrs{"scale": float32(0.5)}, x)), onnx.Float32, nil)
		plain.OutputAs("same", x, onnx.Float32, nil)
		return b.Op("If", onnx.Attrs{"then_branch": noisy.Graph, "else_branch": plain.Graph}, b.Number(onnx.Bool, 1))
	},
	"refining": func(b *onnx.Builder, x string) string { // the input is changed in three passes
		body := onnx.NewBuilder("pass")
		shape := onnx.Dims("n", 1, 8, 8)
		state, step := body.Input("state", onnx.Float32, "n", 1, 8, 8), body.Input("step", onnx.Float32)
		body.OutputAs("next", body.Op("Mul", nil, state, step), onnx.Float32, shape)
		return b.Op("Scan", onnx.Attrs{"body": body.Graph, "num_scan_inputs": int64(1)}, x, b.Weight(onnx.NewTensor(b.Name("steps"), []float32{0.9, 1, 1.1}, 3)))
	},
	"table": func(b *onnx.Builder, x string) string { // each level is looked up
		places := b.Op("Cast", onnx.Attrs{"to": int64(onnx.Int64)}, b.Op("Clip", nil, x, b.Number(onnx.Float32, 0), b.Number(onnx.Float32, 16)))
		levels := make([]float32, 17)
		for i := range levels {
			levels[i] = float32((i + 2) / 4 * 4)
		}
		return b.Op("Gather", nil, b.Weight(onnx.NewTensor("levels", levels)), places)
	},
	"saturation": func(b *onnx.Builder, x string) string {
		steep := b.Op("Mul", nil, b.Op("Sub", nil, x, b.Number(onnx.Float32, 7.5)), b.Number(onnx.Float32, 20))
		return b.Op("Mul", nil, b.Op("Sigmoid", nil, steep), b.Number(onnx.Float32, 16))
	},
}

func quantised(step float64) func(b *onnx.Builder, x string) string {
	return func(b *onnx.Builder, x string) string {
		scale, zero := b.Number(onnx.Float32, step), b.Constant(onnx.NewTensor("", []uint8{0}))
		return b.Op("DequantizeLinear", nil, b.Op("QuantizeLinear", nil, x, scale, zero), scale, zero)
	}
}

// sharpened is a model with all its logits multiplied, as after defensive distillation: the gradient of
// cross-entropy is 0 to rounding, and that of the margin is not.
func sharpened(t testing.TB, m *onnx.Model, by float32) *onnx.Model {
	t.Helper()
	m = m.Clone()
	scaled := 0
	for i, w := range m.Graph.Initializers {
		if w.Name != "dense.weight" && w.Name != "dense.bias" {
			continue
		}
		values, err := onnx.View[float32](w)
		if err != nil {
			t.Fatal(err)
		}
		values = slices.Clone(values)
		for j := range values {
			values[j] *= by
		}
		m.Graph.Initializers[i] = onnx.NewTensor(w.Name, values, w.Shape...)
		scaled++
	}
	if scaled != 2 {
		t.Fatalf("%d weights of the last layer", scaled)
	}
	return m
}

// Honest models pass all checks, whether they withstand or not; those that only hide their
// gradients fail the check that is about them.
func TestChecksInBothDirections(t *testing.T) {
	if testing.Short() {
		t.Skip("trains and attacks models")
	}
	d, b := digits(t), diagnosis(t)
	images, dense := cnn(t, d), mlp(t, b)
	for _, c := range []struct {
		name    string
		subject *subject
		model   *onnx.Model
		access  assay.Access
		norm    method.Norm
		eps     float64
		fails   string // a check that must fail; empty where all must pass
	}{
		{"CNN", d, images, assay.Gradients, method.Linf, 1, ""},
		{"CNN by scores", d, images, assay.Scores, method.Linf, 1, ""},
		{"hardened CNN", d, harden(t, d, images, 6), assay.Gradients, method.Linf, 1, ""},
		{"MLP", b, dense, assay.Gradients, method.Linf, 0.3, ""},
		{"MLP in L2", b, dense, assay.Gradients, method.L2, 1, ""},
		{"MLP by decisions", b, dense, assay.Labels, method.L2, 1, ""},
		{"fine quantisation", d, before(t, images, layers["fine quantisation"]), assay.Gradients, method.Linf, 1, ""},

		{"overconfident MLP", b, sharpened(t, dense, 1000), assay.Gradients, method.Linf, 0.3, ""},

		// What hides gradients alone is seen through, and what draws at random by what is declared: the test is valid.
		{"rounding", d, before(t, images, layers["rounding"]), assay.Gradients, method.Linf, 1, ""},
		{"coarse quantisation", d, before(t, images, layers["coarse quantisation"]), assay.Gradients, method.Linf, 1, ""},
		{"noise", d, before(t, images, layers["noise"]), assay.Gradients, method.Linf, 1, ""},

		{"rounding that cannot be seen through", d, before(t, images, layers["table"]), assay.Gradients, method.Linf, 1, "gradients-not-masked"},
		{"an input that is refined in a loop", d, before(t, images, layers["refining"]), assay.Gradients, method.Linf, 1, "gradients-not-masked"},
		{"saturation", d, before(t, images, layers["saturation"]), assay.Gradients, method.Linf, 1, "gradients-not-masked"},
		{"noise within a branch", d, before(t, images, layers["noise within a branch"]), assay.Gradients, method.Linf, 1, "answers-repeat"},
		{"no budget", b, dense, assay.Gradients, method.Linf, 0, "attack-enabled"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := *c.subject
			s.attacker = method.Attacker{Access: c.access, Norm: c.norm, Eps: c.eps}
			failed, _ := judge(t, &s, c.model, 50)
			if c.fails == "" && len(failed) > 0 {
				t.Errorf("an honest test fails %v", failed)
			}
			if c.fails != "" && !slices.Contains(failed, c.fails) {
				t.Errorf("%s passes; what fails is %v", c.fails, failed)
			}
		})
	}
	t.Run("three units", func(t *testing.T) {
		if failed, _ := judge(t, b, dense, 3); !slices.Contains(failed, "enough-units") {
			t.Errorf("three units are enough; what fails is %v", failed)
		}
	})
}

// The linear model in ONNX gives the scores that its exact answers rest on.
func TestLinearModelInONNX(t *testing.T) {
	c, _, inputs := clouds(30, 12, 4, 2)
	for _, shape := range [][]int64{{12}, {3, 2, 2}} {
		o, err := target.Open(context.Background(), c.Model(shape), target.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, in := range inputs {
			row, got := make([]float64, 12), make([]float64, 4)
			for j, v := range in.X {
				row[j] = float64(v)
			}
			if err := o.Confirm.Predict(context.Background(), row, got); err != nil {
				t.Fatal(err)
			}
			for k, want := range c.Scores(in.X) {
				if d := got[k] - want; d > 1e-4 || d < -1e-4 {
					t.Errorf("shape %v: scores %v, want %v", shape, got, c.Scores(in.X))
				}
			}
		}
		o.Close()
	}
}

// What methods achieve on a real network, each beside those that know less. Numbers are
// continuous here: on whole ones a step cannot be small.
func TestMethodsOnDigits(t *testing.T) {
	if testing.Short() {
		t.Skip("trains and attacks a model")
	}
	s := digits(t)
	s.domain.Integer = nil
	m := cnn(t, s)
	o := open(t, s, m)
	defer o.Close()
	inputs := units(t, s.test, o, 80)
	for _, in := range inputs {
		o.Pool = append(o.Pool, in.X)
	}
	for norm, eps := range map[method.Norm]float64{method.Linf: 1, method.L2: 4} {
		broken, right := map[string]int{}, 0
		a := method.Attacker{Access: assay.Gradients, Norm: norm, Eps: eps}
		methods := evasion.Defaults(assay.Gradients, norm, evasion.Effort{Steps: 40, Restarts: 2, Queries: 2000, Draws: 500})
		results, err := method.Run(context.Background(), o.Target, a, methods, inputs, method.Options{Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range results {
			if r.Correct {
				right++
			}
			for _, m := range r.Methods {
				if m.Success {
					broken[m.Method]++
				}
			}
		}
		t.Logf("%s %v: of %d units broken by %v", norm, eps, right, broken)
		pgd := broken["apgd-ce"]
		if pgd < 20 || pgd > right-5 {
			t.Errorf("%s: %d of %d units are broken by Auto-PGD: eps is too large or too small to compare methods", norm, pgd, right)
		}
		// One step cannot do more than many, nor draws more than a step along the slope, but for a unit by chance.
		if pgd < broken["fgsm"] || broken["fgsm"] < broken["noise"]-1 || pgd < broken["noise"]+10 {
			t.Errorf("%s: Auto-PGD, FGSM and noise are not in their order: %v", norm, broken)
		}
		// The papers report both to come near white-box attacks with thousands of queries.
		for _, name := range []string{"square", "hopskipjump"} {
			if n := broken[name]; float64(n) < 0.7*float64(pgd) || n > pgd+2 {
				t.Errorf("%s: %s broke %d units, and Auto-PGD %d", norm, name, n, pgd)
			}
		}
	}
}
