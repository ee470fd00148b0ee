package bounds

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"assay/internal/float64eval"
	"assay/internal/model/ort"
	"assay/onnx"
)

// trial is a network whose bounds are tested: a builder from the input, of the shape
// given, to the output.
type trial struct {
	name  string
	shape []int64
	build func(d *drawn, x string) string
	scale float64 // of the inputs, 1 where it is 0
}

// drawn builds networks with weights from a seed.
type drawn struct {
	*onnx.Builder
	rng    *rand.Rand
	spread float64 // weights are scaled by 10 to a power of up to this, either way
}

func (d *drawn) values(deviation float64, shape ...int64) []float32 {
	n, _ := onnx.Count(shape)
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(deviation * d.rng.NormFloat64() * math.Pow(10, d.spread*(2*d.rng.Float64()-1)))
	}
	return v
}

func (d *drawn) weight(deviation float64, shape ...int64) string {
	return d.Weight(onnx.NewTensor("w", d.values(deviation, shape...), shape...))
}

func (d *drawn) positive(shape ...int64) string {
	v := d.values(1, shape...)
	for i := range v {
		v[i] = float32(math.Abs(float64(v[i]))) + 0.1
	}
	return d.Weight(onnx.NewTensor("w", v, shape...))
}

func (d *drawn) dense(x string, in, out int64) string {
	return d.Op("Gemm", nil, x, d.weight(1/math.Sqrt(float64(in)), in, out), d.weight(0.3, out))
}

func (d *drawn) conv(x string, in, out int64, attrs onnx.Attrs) string {
	return d.Op("Conv", attrs, x, d.weight(0.4, out, in, 3, 3), d.weight(0.3, out))
}

func (c trial) model(seed uint64, spread float64) *onnx.Model {
	d := &drawn{onnx.NewBuilder(c.name), rand.New(rand.NewPCG(seed, 5)), spread}
	dims := []any{"batch"}
	for _, s := range c.shape {
		dims = append(dims, s)
	}
	x := d.Input("x", onnx.Float32, dims...)
	y := c.build(d, x)
	d.Graph.Outputs = append(d.Graph.Outputs, onnx.Value{Name: y, Type: onnx.TensorOf(onnx.Float32, nil)})
	return d.Model()
}

func op(name string, attrs onnx.Attrs) func(d *drawn, x string) string {
	return func(d *drawn, x string) string { return d.Op(name, attrs, x) }
}

// networks are whole ones, operators one after a dense or convolutional layer or alone.
var networks = []trial{
	{name: "MLP", shape: []int64{6}, build: func(d *drawn, x string) string {
		h := d.Op("Relu", nil, d.dense(x, 6, 12))
		return d.dense(d.Op("Relu", nil, d.dense(h, 12, 10)), 10, 3)
	}},
	{name: "MatMul and Add", shape: []int64{5}, build: func(d *drawn, x string) string {
		h := d.Op("Add", nil, d.Op("MatMul", nil, x, d.weight(0.5, 5, 7)), d.weight(0.2, 7))
		return d.Op("MatMul", nil, d.Op("LeakyRelu", onnx.Attrs{"alpha": float32(0.1)}, h), d.weight(0.5, 7, 3))
	}},
	{name: "CNN", shape: []int64{2, 8, 8}, build: func(d *drawn, x string) string {
		h := d.Op("Relu", nil, d.conv(x, 2, 4, onnx.Attrs{"pads": []int64{1, 1, 1, 1}}))
		h = d.Op("MaxPool", onnx.Attrs{"kernel_shape": []int64{2, 2}, "strides": []int64{2, 2}}, h)
		h = d.Op("Relu", nil, d.conv(h, 4, 3, onnx.Attrs{"strides": []int64{2, 2}, "pads": []int64{1, 1, 1, 1}}))
		h = d.Op("AveragePool", onnx.Attrs{"kernel_shape": []int64{2, 2}}, h)
		return d.dense(d.Op("Flatten", nil, h), 3, 4)
	}},
	{name: "residual", shape: []int64{2, 6, 6}, build: func(d *drawn, x string) string {
		same := onnx.Attrs{"pads": []int64{1, 1, 1, 1}}
		norm := func(x string) string {
			return d.Op("BatchNormalization", nil, x, d.positive(2), d.weight(0.3, 2), d.weight(0.3, 2), d.positive(2))
		}
		h := d.Op("Relu", nil, norm(d.conv(x, 2, 2, same)))
		h = d.Op("Relu", nil, d.Op("Add", nil, norm(d.conv(h, 2, 2, same)), x))
		return d.dense(d.Op("Flatten", nil, d.Op("GlobalAveragePool", nil, h)), 2, 3)
	}},
	{name: "attention", shape: []int64{3, 4}, build: func(d *drawn, x string) string {
		project := func() string { return d.Op("MatMul", nil, x, d.weight(0.4, 4, 4)) }
		score := d.Op("MatMul", nil, project(), d.Op("Transpose", onnx.Attrs{"perm": []int64{0, 2, 1}}, project()))
		mixed := d.Op("MatMul", nil, d.Op("Softmax", nil, score), project())
		h := d.Op("Add", nil, x, mixed)
		return d.dense(d.Op("Flatten", nil, d.Op("Gelu", nil, h)), 12, 3)
	}},
	{name: "shapes", shape: []int64{4, 6}, build: func(d *drawn, x string) string {
		parts := d.Ops("Split", onnx.Attrs{"axis": int64(2), "num_outputs": int64(2)}, 2, x)
		h := d.Op("Concat", onnx.Attrs{"axis": int64(1)}, d.Op("Relu", nil, parts[1]), parts[0])
		h = d.Op("Slice", nil, h, d.Ints(1), d.Ints(7), d.Ints(1), d.Ints(2))
		h = d.Op("Gather", onnx.Attrs{"axis": int64(2)}, h, d.Ints(2, 0, 2))
		h = d.Op("Pad", nil, h, d.Ints(0, 1, 0, 0, 0, 1), d.Number(onnx.Float32, 0.7))
		h = d.Op("Sub", nil, h, d.Op("ReduceMean", nil, h, d.Ints(2)))
		h = d.Op("Mul", nil, d.Op("Neg", nil, h), d.weight(1, 1, 4, 4))
		h = d.Op("Div", nil, h, d.Number(onnx.Float32, 0.3))
		return d.Op("Sub", nil, d.Op("Reshape", nil, h, d.Ints(0, -1)), d.weight(1, 16))
	}},
	{name: "Clip and PRelu", shape: []int64{5}, build: func(d *drawn, x string) string {
		h := d.Op("Clip", nil, d.dense(x, 5, 8), d.Number(onnx.Float32, -0.2), d.Number(onnx.Float32, 0.4))
		slopes := d.Weight(onnx.NewTensor("slopes", []float32{0, 0.1, 0.2, 0.5, 1, 0.9}, 6))
		return d.dense(d.Op("PRelu", nil, d.dense(h, 8, 6), slopes), 6, 2)
	}},
	{name: "Sigmoid and Tanh", shape: []int64{4}, build: func(d *drawn, x string) string {
		return d.dense(d.Op("Tanh", nil, d.dense(d.Op("Sigmoid", nil, d.dense(x, 4, 8)), 8, 6)), 6, 2)
	}},
	{name: "wide Sigmoid and Tanh", shape: []int64{4}, scale: 20, build: func(d *drawn, x string) string {
		return d.dense(d.Op("Tanh", nil, d.dense(d.Op("Sigmoid", nil, d.dense(x, 4, 8)), 8, 6)), 6, 2)
	}},
	{name: "Gelu", shape: []int64{4}, build: func(d *drawn, x string) string {
		return d.dense(d.Op("Gelu", nil, d.dense(d.Op("Gelu", nil, d.dense(x, 4, 8)), 8, 6)), 6, 2)
	}},
	{name: "ConvTranspose", shape: []int64{2, 4, 4}, build: func(d *drawn, x string) string {
		h := d.Op("ConvTranspose", onnx.Attrs{"strides": []int64{2, 2}}, x, d.weight(0.4, 2, 3, 3, 3), d.weight(0.2, 3))
		return d.Op("ReduceSum", onnx.Attrs{"keepdims": int64(0)}, d.Op("Relu", nil, h), d.Ints(2, 3))
	}},
	{name: "rows of groups", shape: []int64{4, 5, 5}, build: func(d *drawn, x string) string {
		attrs := onnx.Attrs{"group": int64(2), "dilations": []int64{2, 2}}
		return d.Op("Flatten", nil, d.Op("Relu", nil, d.Op("Conv", attrs, x, d.weight(0.5, 4, 2, 2, 2))))
	}},
	{name: "Softplus, Erf and Exp", shape: []int64{4}, build: func(d *drawn, x string) string {
		h := d.Op("Erf", nil, d.dense(d.Op("Softplus", nil, d.dense(x, 4, 6)), 6, 6))
		return d.Op("Exp", nil, d.dense(h, 6, 2))
	}},
}

// question is a batch of boxes and, from each, some points.
type question struct {
	shape        []int64
	lower, upper []float32
	points       [][]float32 // each a batch
}

// ask draws boxes of several widths, and points in them: corners, faces, any.
func (c trial) ask(seed uint64, boxes, points int) question {
	rng := rand.New(rand.NewPCG(seed, 9))
	n, _ := onnx.Count(c.shape)
	scale := c.scale
	if scale == 0 {
		scale = 1
	}
	q := question{shape: append([]int64{int64(boxes)}, c.shape...)}
	for i := range boxes {
		width := scale * math.Pow(10, -float64(i%5))
		if i%7 == 6 {
			width = 0
		}
		for range n {
			x := scale * rng.NormFloat64()
			q.lower = append(q.lower, float32(x-width*rng.Float64()))
			q.upper = append(q.upper, max(q.lower[len(q.lower)-1], float32(x+width*rng.Float64())))
		}
	}
	for range points {
		p := make([]float32, len(q.lower))
		corner := rng.Float64()
		for i := range p {
			l, u := q.lower[i], q.upper[i]
			p[i] = min(max(l+float32(rng.Float64())*(u-l), l), u)
			if rng.Float64() < corner {
				p[i] = []float32{l, u}[rng.IntN(2)]
			}
		}
		q.points = append(q.points, p)
	}
	return q
}

// session runs a model whose tensors have the batch first.
type session struct{ *ort.Session }

func open(t *testing.T, m *onnx.Model, o ort.Optimization) session {
	t.Helper()
	s, err := ort.New(m, ort.Options{Threads: 1, Optimization: o})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return session{s}
}

func (s session) run(t *testing.T, inputs ...*ort.Tensor) [][]float32 {
	t.Helper()
	outputs := make([]*ort.Tensor, len(s.Outputs()))
	if err := s.Run(context.Background(), inputs, outputs); err != nil {
		t.Fatal(err)
	}
	all := make([][]float32, len(outputs))
	for i, o := range outputs {
		all[i] = ort.Data[float32](o)
	}
	return all
}

// truth evaluates the model in float64.
func truth(t *testing.T, m *onnx.Model) func(x []float32, shape []int64) []float64 {
	t.Helper()
	wide, err := float64eval.Convert(m)
	if err != nil {
		t.Fatal(err)
	}
	e, err := float64eval.New(wide)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return func(x []float32, shape []int64) []float64 {
		v := make([]float64, len(x))
		for i := range x {
			v[i] = float64(x[i])
		}
		out, err := e.Run(map[string]float64eval.Value{"x": ort.NewTensor(v, shape...)})
		if err != nil {
			t.Fatal(err)
		}
		return ort.Data[float64](out[m.Graph.Outputs[0].Name].(*ort.Tensor))
	}
}

// climbed moves the points of a batch to where the model's outputs, in the signs given,
// are greater: coordinate by coordinate from end to end, kept where it helps.
func (q question) climbed(t *testing.T, f session, start []float32, signs []float32) []float32 {
	t.Helper()
	boxes := int(q.shape[0])
	score := func(x []float32) []float64 {
		y := f.run(t, ort.NewTensor(x, q.shape...))[0]
		n := len(y) / boxes
		s := make([]float64, boxes)
		for i := range y {
			s[i/n] += float64(signs[i%n]) * float64(y[i])
		}
		return s
	}
	best := slices.Clone(start)
	value := score(best)
	n := len(best) / boxes
	for j := range n {
		for _, ends := range [][]float32{q.lower, q.upper} {
			next := slices.Clone(best)
			for i := range boxes {
				next[i*n+j] = ends[i*n+j]
			}
			for i, s := range score(next) {
				if s > value[i] {
					value[i] = s
					best[i*n+j] = next[i*n+j]
				}
			}
		}
	}
	return best
}

// violations counts outputs outside of their bounds, in float64 and in float32, and says
// one of them.
func (q question) violations(t *testing.T, m, bounded *onnx.Model) (count, compared int, example string) {
	t.Helper()
	bounds := open(t, bounded, ort.OptimizeAll).run(t, ort.NewTensor(q.lower, q.shape...), ort.NewTensor(q.upper, q.shape...))
	exact := truth(t, m)
	f := open(t, m, ort.OptimizeAll)
	see := func(how string, i int, y float64) {
		compared++
		l, u := float64(bounds[0][i]), float64(bounds[1][i])
		if !(l <= y && y <= u) && !math.IsNaN(y) && !math.IsInf(y, 0) || math.IsNaN(l) || math.IsNaN(u) {
			count++
			example = fmt.Sprintf("output %d in %s is %v, outside of [%v, %v]", i, how, y, l, u)
		}
	}
	points := slices.Clone(q.points)
	outputs := len(bounds[0]) / int(q.shape[0])
	signs := make([]float32, outputs)
	for i := range min(4, outputs) {
		clear(signs)
		signs[i/2] = []float32{1, -1}[i%2]
		points = append(points, q.climbed(t, f, q.points[0], signs))
	}
	for _, x := range points {
		for i, y := range exact(x, q.shape) {
			see("float64", i, y)
		}
		for i, y := range f.run(t, ort.NewTensor(x, q.shape...))[0] {
			see("float32", i, float64(y))
		}
	}
	return count, compared, example
}

func TestBoundsContain(t *testing.T) {
	for _, c := range networks {
		for _, method := range []Method{IBP, CROWNIBP, CROWN} {
			t.Run(fmt.Sprintf("%s/%d", c.name, method), func(t *testing.T) {
				m := c.model(3, 0)
				bounded, err := New(m, Options{Method: method})
				if err != nil {
					t.Fatal(err)
				}
				count, compared, example := c.ask(1, 35, 12).violations(t, m, bounded)
				if count > 0 || compared < 500 {
					t.Errorf("%d of %d are outside: %s", count, compared, example)
				}
			})
		}
	}
}

// TestScaled has weights from 1e-30 to 1e30, and inputs to match.
func TestScaled(t *testing.T) {
	for _, c := range networks {
		for seed := range uint64(4) {
			t.Run(fmt.Sprintf("%s/%d", c.name, seed), func(t *testing.T) {
				m := c.model(seed, []float64{3, 8, 15, 30}[seed])
				c.scale = []float64{1, 1e-10, 1e10, 1}[seed]
				bounded, err := New(m, Options{Method: Method(seed % 3)})
				if err != nil {
					t.Fatal(err)
				}
				count, compared, example := c.ask(seed, 21, 6).violations(t, m, bounded)
				if count > 0 || compared < 200 {
					t.Errorf("%d of %d are outside: %s", count, compared, example)
				}
			})
		}
	}
}
